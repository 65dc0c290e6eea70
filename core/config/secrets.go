package config

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ErrReference refuses a value that would be replaced by what it names, such as a file's content,
// when the file is read.
var ErrReference = errors.New("`${` is for who edits the file by hand: values that come from elsewhere may not hold it")

// literal refuses an edit whose value, or key, refers to something.
func (e Edit) literal() error {
	if refers(e.Value) || slices.ContainsFunc(e.Path, func(k string) bool { return refers(k) }) {
		return ErrReference
	}
	return nil
}

func refers(v any) bool {
	switch x := v.(type) {
	case string:
		return strings.Contains(x, "${")
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Keys(x)), func(k string) bool { return refers(k) || refers(x[k]) })
	case []any:
		return slices.ContainsFunc(x, refers)
	}
	return false
}

// secrets are what references in a file were replaced by. No error may show them.
type secrets []string

// shortSecret is the length below which a secret is only hidden where it is quoted: it may be a
// part of any word.
const shortSecret = 4

// hide replaces secrets in a text.
func (s secrets) hide(text string) string {
	for _, secret := range s {
		quoted := strconv.Quote(secret)
		if secret == "" {
			continue
		}
		if len(secret) >= shortSecret {
			text = strings.ReplaceAll(text, quoted[1:len(quoted)-1], hidden.Value)
			text = strings.ReplaceAll(text, secret, hidden.Value)
		}
		text = strings.ReplaceAll(text, quoted, strconv.Quote(hidden.Value))
	}
	return text
}

func (s secrets) clean(errs Errors) Errors {
	for _, e := range errs {
		e.Msg, e.Path = s.hide(e.Msg), s.hide(e.Path)
	}
	return errs
}

// Hide returns an error that shows none of the file's secrets.
func (s *Snapshot) Hide(err error) error {
	if err == nil || len(s.secrets) == 0 {
		return err
	}
	var positioned Errors
	if errors.As(err, &positioned) {
		_ = s.secrets.clean(positioned)
	}
	if text := s.secrets.hide(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}
