package workbench

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/sluice-gateway/sluice/sdk"
)

//go:embed templates
var templates embed.FS

// Languages that projects can be in.
var Languages = []string{"go", "rust", "c"}

var projectName = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// New writes a project: a plugin that works, its cases, a configuration to run it with, and the
// SDK, so that it builds without a network.
func New(dir, language, name string) error {
	if !projectName.MatchString(name) {
		return fmt.Errorf("%q: a name begins with a lower-case letter, and has lower-case letters, digits, - and _", name)
	}
	if _, err := fs.Stat(templates, path.Join("templates", language)); err != nil {
		return fmt.Errorf("no language %q: choose one of %s", language, strings.Join(Languages, ", "))
	}
	if _, err := os.Stat(dir); err == nil {
		return fmt.Errorf("%s is there already", dir)
	}
	data := map[string]string{"Name": name, "Crate": strings.ReplaceAll(name, "-", "_")}
	if err := expand(path.Join("templates", "all"), dir, data); err != nil {
		return err
	}
	if err := expand(path.Join("templates", language), dir, data); err != nil {
		return err
	}
	return copySDK(language, filepath.Join(dir, "sluice"))
}

// expand writes templates; a name that ends in .tmpl loses that, so that they are no Go files here,
// and dot- is a dot.
func expand(from, dir string, data map[string]string) error {
	return fs.WalkDir(templates, from, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := templates.ReadFile(p)
		if err != nil {
			return err
		}
		t, err := template.New(p).Parse(string(b))
		if err != nil {
			return err
		}
		var out bytes.Buffer
		if err := t.Execute(&out, data); err != nil {
			return err
		}
		return write(filepath.Join(dir, strings.Replace(strings.TrimSuffix(strings.TrimPrefix(p, from+"/"), ".tmpl"), "dot-", ".", 1)), out.Bytes())
	})
}

func write(file string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}

// copySDK puts the SDK of a language beside a project, with what authors read.
func copySDK(language, dir string) error {
	for _, p := range []string{"ABI.md", "CASES.md", "cases.schema.json"} {
		if err := copyFile(p, filepath.Join(dir, p)); err != nil {
			return err
		}
	}
	from, to := language, "."
	if language == "go" {
		if err := write(filepath.Join(dir, "go.mod"), []byte("module github.com/sluice-gateway/sluice\n\ngo 1.24\n")); err != nil {
			return err
		}
		from, to = ".", "sdk"
	}
	return fs.WalkDir(sdk.Source, from, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return nil
		case language == "go" && (path.Ext(p) != ".go" || p == "source.go" || strings.HasSuffix(p, "_test.go")):
			return nil
		}
		rel, err := filepath.Rel(filepath.FromSlash(from), filepath.FromSlash(p))
		if err != nil {
			return err
		}
		return copyFile(p, filepath.Join(dir, to, rel))
	})
}

// copyFile copies a file of the SDK.
func copyFile(from, to string) error {
	b, err := sdk.Source.ReadFile(from)
	if err != nil {
		return err
	}
	return write(to, b)
}

// Upgrade replaces the SDK of the project in a folder by that of this gateway.
func Upgrade(dir string) error {
	language, err := Language(dir)
	if err != nil {
		return err
	}
	old := filepath.Join(dir, "sluice")
	mark := map[string]string{"go": "sdk/abi/abi.go", "rust": "src/abi.rs", "c": "sluice_abi.h"}[language]
	if _, err := os.Stat(filepath.Join(old, filepath.FromSlash(mark))); err != nil {
		return fmt.Errorf("%s is not the SDK that `gateway plugin new` puts there: %w", old, err)
	}
	next, gone := old+".new", old+".old"
	for _, step := range []func() error{
		func() error { return os.RemoveAll(next) }, func() error { return os.RemoveAll(gone) },
		func() error { return copySDK(language, next) }, func() error { return os.Rename(old, gone) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := os.Rename(next, old); err != nil {
		return errors.Join(err, os.Rename(gone, old))
	}
	return os.RemoveAll(gone)
}

// Language tells what a project is written in.
func Language(dir string) (string, error) {
	for file, language := range map[string]string{"go.mod": "go", "Cargo.toml": "rust", "plugin.c": "c"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			return language, nil
		}
	}
	return "", fmt.Errorf("%s is no project of a plugin: it has no go.mod, Cargo.toml or plugin.c; make one with `gateway plugin new`", dir)
}
