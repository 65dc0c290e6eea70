package workbench

import (
	"bytes"
	"os"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Update writes what became of the cases into the file that they are from, as expected. What is the
// same as before stays as it stands there, with its comments.
func (c *Cases) Update(path string) error {
	before, err := LoadCases(path)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return err
	}
	u := updating{lines: strings.SplitAfter(string(b), "\n")}
	if err := u.list(valueOf(doc.Content[0], "cases"), before.Cases, c.Cases, len(u.lines)); err != nil {
		return err
	}
	out := u.text()
	if u.flow { // there are no lines to put it in between
		if out, err = encode(&doc); err != nil {
			return err
		}
	}
	return os.WriteFile(path, out, info.Mode().Perm())
}

// updating is a file some of whose lines are replaced.
type updating struct {
	lines    []string
	replaced []replacement
	flow     bool // a case stands in braces: the nodes are what counts
}

// replacement is new text in place of lines.
type replacement struct {
	from, to int
	text     string
}

// list updates the cases, or the steps of one, which end before a line.
func (u *updating) list(n *yaml.Node, before, after []Case, end int) error {
	for i := range after {
		last := end
		if i+1 < len(n.Content) {
			last = n.Content[i+1].Line - 1
		}
		if err := u.one(n.Content[i], before[i], after[i], last); err != nil {
			return err
		}
	}
	return nil
}

func (u *updating) one(n *yaml.Node, before, after Case, end int) error {
	if len(after.Steps) > 0 {
		steps := valueOf(n, "steps")
		if next := behind(n, "steps"); next != nil {
			end = next.Line - 1
		}
		return u.list(steps, before.Steps, after.Steps, end)
	}
	if before.Expect.differ(after.Expect) == "" {
		return nil
	}
	b, err := encode(map[string]Expect{"expect": after.Expect})
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return err
	}
	u.flow = u.flow || n.Style&yaml.FlowStyle != 0
	key, value := doc.Content[0].Content[0], doc.Content[0].Content[1]
	at := slices.IndexFunc(n.Content, func(x *yaml.Node) bool { return x.Value == "expect" && x.Column == n.Content[0].Column })
	from, begin := end, strings.Repeat(" ", max(n.Column-1, 0))
	indent := begin
	if at < 0 || at%2 != 0 {
		n.Content = append(n.Content, key, value)
	} else {
		from = n.Content[at].Line - 1
		begin = u.lines[from][:n.Content[at].Column-1] // or the dash of a list
		if at+2 < len(n.Content) {
			end = n.Content[at+2].Line - 1
		}
		n.Content[at+1] = value
	}
	end = u.rest(min(from, end), end)
	text := begin + strings.TrimSuffix(strings.ReplaceAll(string(b), "\n", "\n"+indent), indent)
	u.replaced = append(u.replaced, replacement{min(from, end), end, text})
	return nil
}

// rest leaves lines at the end to what comes then: blank ones and comments.
func (u *updating) rest(from, end int) int {
	if from == end {
		for end > 0 && u.empty(end-1) {
			end--
		}
		return end
	}
	for end > from+1 && u.empty(end-1) {
		end--
	}
	return end
}

func (u *updating) empty(i int) bool {
	line := strings.TrimSpace(u.lines[i])
	return line == "" || line[0] == '#'
}

// text is the file with the new lines.
func (u *updating) text() []byte {
	var out bytes.Buffer
	at := 0
	for _, r := range u.replaced {
		out.WriteString(strings.Join(u.lines[at:r.from], ""))
		if b := out.Bytes(); len(b) > 0 && b[len(b)-1] != '\n' {
			out.WriteByte('\n')
		}
		out.WriteString(r.text)
		at = r.to
	}
	out.WriteString(strings.Join(u.lines[at:], ""))
	return out.Bytes()
}

// valueOf is the value of a key; nil if there is none.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// behind is the key that follows another.
func behind(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+2 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+2]
		}
	}
	return nil
}
