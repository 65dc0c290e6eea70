package config

import (
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// guide is what a file that shows every field says of one: the values that stand for it there, and
// their keys.
type guide struct{ keys, values []*yaml.Node }

var (
	// shown is a setting that stands in a comment, since it is not in force in the guide.
	shown = regexp.MustCompile(`(?m)^( *)# ( *(?:- )?[a-z_0-9]+:(?: .*)?)$`)
	// sample begins the comment of a value that is none by default.
	sample = regexp.MustCompile(`^example(: |; |$)`)
)

func newGuide(source []byte) (guide, error) {
	for range 2 { // one may stand in a comment of another
		source = shown.ReplaceAll(source, []byte("$1$2"))
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(source, &doc); err != nil {
		return guide{}, err
	}
	return guide{values: doc.Content}, nil
}

// at is what is said of a key.
func (g guide) at(key string) (out guide) {
	for _, v := range g.values {
		if k, inner := entry(v, key); inner != nil {
			out.keys, out.values = append(out.keys, k), append(out.values, inner)
		}
	}
	return out
}

// any is what is said of all entries of a map or list.
func (g guide) any() (out guide) {
	for _, v := range g.values {
		if v.Kind == yaml.SequenceNode {
			out.values = append(out.values, v.Content...)
		}
		each(v, func(_ int, _, inner *yaml.Node) { out.values = append(out.values, inner) })
	}
	return out
}

// text is the comment of the first one that has one: beside it, or above.
func (g guide) text() string {
	for i, k := range g.keys {
		for _, comment := range []string{g.values[i].LineComment, k.LineComment, k.HeadComment} {
			var words []string
			for line := range strings.Lines(comment) {
				words = append(words, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")))
			}
			if text := sample.ReplaceAllString(strings.Join(words, " "), ""); text != "" {
				return text
			}
		}
	}
	return ""
}
