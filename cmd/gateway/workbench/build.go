package workbench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Build builds the project in a folder and returns the module's file.
func Build(ctx context.Context, dir string) (string, error) {
	language, err := Language(dir)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	out := filepath.Join(dir, filepath.Base(dir)+".wasm")
	part := out + ".part"
	defer func() { _ = os.Remove(part) }()
	switch language {
	case "go":
		env := append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWORK=off", "GOFLAGS=-mod=mod")
		err = command(ctx, dir, env, "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", part, ".")
	case "rust":
		err = buildRust(ctx, dir, part)
	case "c":
		object := part + ".o"
		defer func() { _ = os.Remove(object) }()
		if err = command(ctx, dir, nil, "clang", "--target=wasm32", "-O2", "-mbulk-memory", "-msimd128", "-Wall", "-Isluice", "-c", "plugin.c", "-o", object); err == nil {
			err = command(ctx, dir, nil, "wasm-ld", "--no-entry", "-o", part, object)
		}
	}
	if err != nil {
		return "", err
	}
	return out, os.Rename(part, out) // at once: a gateway may be watching it
}

func command(ctx context.Context, dir string, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, env
	b, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%s is not installed", name)
	case err != nil:
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, b)
	}
	return nil
}

const rustTarget = "wasm32-unknown-unknown"

// buildRust builds with the first cargo whose rustc has the library of the target: many machines
// have several.
func buildRust(ctx context.Context, dir, out string) error {
	path := os.Getenv("PATH")
	for _, bin := range append(filepath.SplitList(path), "/usr/bin") {
		if _, err := os.Stat(filepath.Join(bin, "cargo")); err != nil {
			continue
		}
		lib, err := exec.CommandContext(ctx, filepath.Join(bin, "rustc"), "--print", "target-libdir", "--target", rustTarget).Output()
		if err != nil {
			continue
		}
		if found, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(lib)), "libcore-*")); len(found) == 0 {
			continue
		}
		target := filepath.Join(dir, "target")
		env := append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+path, "CARGO_TARGET_DIR="+target)
		if err := command(ctx, dir, env, filepath.Join(bin, "cargo"), "build", "--release", "--offline", "--target", rustTarget); err != nil {
			return err
		}
		name, err := crate(dir)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(filepath.Join(target, rustTarget, "release", strings.ReplaceAll(name, "-", "_")+".wasm"))
		if err != nil {
			return err
		}
		return os.WriteFile(out, b, 0o644)
	}
	return fmt.Errorf("there is no cargo whose rustc can build for %s: run `rustup target add %s`, or install your system's package of it", rustTarget, rustTarget)
}

var crateName = regexp.MustCompile(`(?m)^name\s*=\s*"([^"]+)"`)

// crate is the name in a project's Cargo.toml: the folder may have another.
func crate(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "Cargo.toml"))
	if err != nil {
		return "", err
	}
	m := crateName.FindSubmatch(b)
	if m == nil {
		return "", errors.New("there is no name in Cargo.toml")
	}
	return string(m[1]), nil
}
