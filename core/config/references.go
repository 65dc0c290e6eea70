package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// dollar finds everything that begins like a reference: escaped, whole, or neither.
var dollar = regexp.MustCompile(`\$\$\{|\$\{(?:(env|file):([^${}]*)\}|[^}]{0,40}\}?)`)

const referenceForms = "it must be ${env:NAME} or ${file:path}; for a literal ${ write $${"

// hidden stands for what must not be shown.
var hidden = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "*****"}

// references replaces what texts of a file refer to.
type references struct {
	file   string
	before map[string]string // what was in force, by reference
	values map[string]string // what is
	// secrets are what references stand for, passwords and headers.
	secrets secrets
	errs    Errors
}

// expand replaces ${env:NAME} and ${file:path} in every text of n; what it replaces, passwords and
// headers are masked in m, a copy of n.
func (r *references) expand(n, m *yaml.Node, at []string) {
	switch n.Kind {
	case yaml.ScalarNode:
		r.scalar(n, m, at)
	case yaml.MappingNode:
		each(n, func(i int, k, v *yaml.Node) {
			if strings.Contains(k.Value, "${") {
				r.errs = append(r.errs, errorAt(r.file, k, at, "the key %q holds ${: references stand in values alone", k.Value))
			}
			r.expand(v, m.Content[2*i+1], sub(at, k.Value))
			if k.Value == "password" || underHeaders(at) {
				*m.Content[2*i+1] = hidden
				r.secrets = append(r.secrets, v.Value)
			}
		})
	case yaml.SequenceNode:
		for i := range n.Content {
			r.expand(n.Content[i], m.Content[i], sub(at, strconv.Itoa(i)))
		}
	}
}

// underHeaders reports the place of headers that are sent with something: they may hold secrets.
func underHeaders(at []string) bool {
	return len(at) == 3 && at[2] == "headers" && (at[0] == "telemetry" || at[0] == "failover" && at[1] == "fence")
}

func (r *references) scalar(n, m *yaml.Node, at []string) {
	if !strings.Contains(n.Value, "${") {
		return
	}
	secret, before := false, len(r.errs)
	n.Value = dollar.ReplaceAllStringFunc(n.Value, func(ref string) string {
		parts := dollar.FindStringSubmatch(ref)
		switch {
		case ref == "$${":
			return "${"
		case parts[1] == "":
			r.errs = append(r.errs, errorAt(r.file, n, at, "%q is no reference: %s", ref, referenceForms))
			return ""
		}
		secret = true
		v, err := r.value(ref, parts[1], parts[2])
		if err != nil {
			r.errs = append(r.errs, errorAt(r.file, n, at, "%v", err))
		}
		return v
	})
	switch {
	case len(r.errs) > before:
		nothing(n) // what it would be is not known: nothing more is said of it
		*m = hidden
	case secret:
		*m = hidden
	default:
		m.Value = n.Value
	}
	if n.Style == 0 && secret && n.Tag != "!!null" {
		n.Tag = "" // it may be a number, but not nothing
		if isNull(n) {
			n.Tag = "!!str"
		}
	}
}

// value is what a reference stands for now, or has stood for so far: what is in force goes on while
// its file is gone.
func (r *references) value(ref, kind, name string) (string, error) {
	v, err := resolve(r.file, kind, name)
	if before, ok := r.before[ref]; ok && err != nil {
		v, err = before, nil
	}
	if err == nil {
		r.values[ref] = v
		r.secrets = append(r.secrets, v)
	}
	return v, err
}

// referenceLimit bounds what ${file:path} takes: a secret, not a device that never ends.
const referenceLimit = 1 << 20

func resolve(path, kind, name string) (string, error) {
	if kind == "env" {
		v, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("environment variable %s is not set", name)
		}
		return v, nil
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(path), name)
	}
	i, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if !i.Mode().IsRegular() || i.Size() > referenceLimit {
		return "", fmt.Errorf("%s is not a file of at most %d bytes", name, referenceLimit)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// Gone says, by reference, why what the snapshot refers to can't be had any more. The values in
// force stay, also over edits of everything else.
func (s *Snapshot) Gone() map[string]error {
	gone := map[string]error{}
	for ref := range s.references {
		parts := dollar.FindStringSubmatch(ref)
		if _, err := resolve(s.Path, parts[1], parts[2]); err != nil {
			gone[ref] = fmt.Errorf("%w; the value in force stays, but a restart would fail", err)
		}
	}
	return gone
}
