package kafkatest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Classes compiles a Java program against a version's jars, once per cache, and returns the folder
// of its classes.
func Classes(ctx context.Context, version, name string, source []byte) (string, error) {
	cp, err := ClassPath(ctx, version)
	if err != nil {
		return "", err
	}
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, fmt.Sprintf("classes-%s-%x", version, sha256.Sum256(source)))
	return dir, once(dir, func() error {
		src := filepath.Join(dir, name+".java")
		if err := os.WriteFile(src, source, 0o644); err != nil {
			return err
		}
		if out, err := exec.CommandContext(ctx, "javac", "-nowarn", "-cp", cp, "-d", dir, src).CombinedOutput(); err != nil {
			return fmt.Errorf("javac: %w\n%s", err, out)
		}
		return nil
	})
}

// once fills a folder of the cache, if nobody has; other processes wait.
func once(dir string, fill func() error) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := lockFile(lock); err != nil {
		return err
	}
	complete := filepath.Join(dir, "complete")
	if exists(complete) {
		return nil
	}
	if err := fill(); err != nil {
		return err
	}
	return os.WriteFile(complete, nil, 0o644)
}
