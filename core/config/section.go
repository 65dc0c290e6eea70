package config

import (
	"errors"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/v2"
	"gopkg.in/yaml.v3"
)

// Section is a part of the file that is decoded later, by whom it concerns.
type Section struct {
	file string
	node *yaml.Node
	path []string
}

// Path is the section's place in the file: keys, and indexes of lists.
func (s Section) Path() []string { return slices.Clone(s.path) }

// Resolve makes a path of the section absolute: it is relative to the folder of the file.
func (s Section) Resolve(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(s.file), path)
}

// Decode checks the section strictly against the struct that v points to (tags koanf) and fills it.
// The error is an Errors with everything that is wrong.
func (s Section) Decode(v any) error {
	return s.Partly(v).Err()
}

// Partly is Decode for who goes on with what is right, to tell all that is wrong: what is not is
// left as it was in v. Use And to add to the result.
func (s Section) Partly(v any) Errors {
	if s.node == nil || isNull(s.node) {
		return nil
	}
	n := clone(s.node) // check gives it types
	errs := check(s.file, n, reflect.TypeOf(v).Elem(), s.path)
	return append(errs, unmarshal(s.file, n, s.path, v)...)
}

// sectionMap is a section as a provider of koanf.
type sectionMap map[string]any

func (m sectionMap) Read() (map[string]any, error) { return m, nil }

func (sectionMap) ReadBytes() ([]byte, error) { return nil, errors.ErrUnsupported }

// unmarshal decodes a checked map through koanf.
func unmarshal(file string, n *yaml.Node, path []string, v any) Errors {
	var m map[string]any
	if err := n.Decode(&m); err != nil {
		return Errors{errorAt(file, n, path, "%v", err)}
	}
	k := koanf.New("\x00") // names of topics contain dots
	if err := k.Load(sectionMap(m), nil); err != nil {
		return Errors{errorAt(file, n, path, "%v", err)}
	}
	err := k.UnmarshalWithConf("", v, koanf.UnmarshalConf{Tag: "koanf", DecoderConfig: &mapstructure.DecoderConfig{
		Result: v, TagName: "koanf", WeaklyTypedInput: true, ErrorUnused: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(mapstructure.StringToTimeDurationHookFunc(), sizeHook),
	}})
	if err != nil {
		return Errors{errorAt(file, n, path, "%v", err)}
	}
	return nil
}

func sizeHook(from, to reflect.Type, v any) (any, error) {
	if from.Kind() == reflect.String && to.Kind() >= reflect.Int && to.Kind() <= reflect.Int64 {
		if n, ok := size(v.(string)); ok {
			return n, nil
		}
	}
	return v, nil
}

// Warnf is Errorf of a warning: of what can come into force, but is probably not meant.
func (s Section) Warnf(path []string, format string, args ...any) *Error {
	return s.Errorf(path, format, args...).warning()
}

// Errorf makes an error at a key below the section, or at the nearest one that exists above it.
func (s Section) Errorf(path []string, format string, args ...any) *Error {
	n := s.node
	for _, p := range path {
		next := find(n, p)
		if next == nil {
			break
		}
		n = next
	}
	return errorAt(s.file, n, append(s.Path(), path...), format, args...)
}
