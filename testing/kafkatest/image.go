package kafkatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Engine reports whether a Docker engine answers.
func Engine(ctx context.Context) bool {
	return exec.CommandContext(ctx, "docker", "version", "--format", "{{.Server.Version}}").Run() == nil
}

// RequireEngine skips a test where no Docker engine answers; with SLUICE_TEST_REQUIRE_ENGINE the
// test fails instead.
func RequireEngine(t testing.TB) {
	t.Helper()
	if Engine(t.Context()) {
		return
	}
	if os.Getenv("SLUICE_TEST_REQUIRE_ENGINE") != "" {
		t.Fatal("no Docker engine answers")
	}
	leftOut(t, "a Docker engine")
}

// Image makes an image of a Kafka version that has the shell scripts of the official one: a Java
// runtime and jars of this machine, imported, so that nothing is pulled. SLUICE_KAFKA_IMAGE names
// another.
func Image(ctx context.Context, version string) (string, error) {
	if i := os.Getenv("SLUICE_KAFKA_IMAGE"); i != "" {
		return i, nil
	}
	tag := "sluice-test/kafka:" + version
	if exec.CommandContext(ctx, "docker", "image", "inspect", tag).Run() == nil {
		return tag, nil
	}
	cp, err := ClassPath(ctx, version)
	if err != nil {
		return "", err
	}
	root, err := os.MkdirTemp("", "sluice-image")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(root) }()
	if err := fillImage(ctx, root, version, cp); err != nil {
		return "", err
	}
	return tag, importImage(ctx, root, tag)
}

func importImage(ctx context.Context, root, tag string, changes ...string) error {
	args := []string{"import"}
	for _, c := range changes {
		args = append(args, "-c", c)
	}
	tar := exec.CommandContext(ctx, "tar", "-C", root, "-c", ".")
	load := exec.CommandContext(ctx, "docker", append(args, "-", tag)...)
	var err error
	if load.Stdin, err = tar.StdoutPipe(); err != nil {
		return err
	}
	var out bytes.Buffer
	load.Stdout, load.Stderr = &out, &out
	if err := load.Start(); err != nil {
		return err
	}
	if err := errors.Join(tar.Run(), load.Wait()); err != nil {
		return fmt.Errorf("docker import: %w\n%s", err, out.String())
	}
	return nil
}

const imageModules = "java.base,java.logging,java.management,java.naming,java.security.jgss,java.security.sasl,java.sql,java.xml,jdk.unsupported,java.desktop,jdk.crypto.ec,jdk.management,java.rmi,java.compiler,jdk.net,jdk.zipfs,java.net.http"

// fillImage writes the files of a Kafka image.
func fillImage(ctx context.Context, root, version, classPath string) error {
	jlink := "jlink"
	if p := "/usr/lib/jvm/java-17-openjdk-amd64/bin/jlink"; exists(p) {
		jlink = p
	}
	jre := filepath.Join(root, "opt/java")
	if out, err := exec.CommandContext(ctx, jlink, "--add-modules", imageModules, "--strip-debug", "--no-header-files", "--no-man-pages", "--output", jre).CombinedOutput(); err != nil {
		return fmt.Errorf("jlink: %w\n%s", err, out)
	}
	libs, bin := filepath.Join(root, "opt/kafka/libs"), filepath.Join(root, "opt/kafka/bin")
	for _, d := range []string{libs, bin, filepath.Join(root, "tmp"), filepath.Join(root, "etc"), filepath.Join(root, "bin")} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			return err
		}
	}
	for _, jar := range strings.Split(classPath, ":") {
		files, err := filepath.Glob(jar)
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := copyFile(f, filepath.Join(libs, filepath.Base(f))); err != nil {
				return err
			}
		}
	}
	classes := tools(version)
	classes["kafka-server-start"], classes["kafka-storage"] = "kafka.Kafka", "kafka.tools.StorageTool"
	for name, class := range classes {
		script := "#!/bin/sh\nexec /opt/java/bin/java -Xmx${HEAP:-320m} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Dlog4j2.configurationFile=/opt/kafka/log4j2.xml -cp '/opt/kafka/libs/*' " + class + " \"$@\"\n"
		if err := os.WriteFile(filepath.Join(bin, name+".sh"), []byte(script), 0o755); err != nil {
			return err
		}
	}
	for file, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/:/bin/sh\n", "etc/nsswitch.conf": "hosts: files dns\n",
		"opt/kafka/log4j2.xml": `<Configuration status="OFF"><Appenders><Console name="C" target="SYSTEM_ERR"><PatternLayout pattern="[%d] %p %m (%c)%n"/></Console></Appenders><Loggers><Root level="WARN"><AppenderRef ref="C"/></Root></Loggers></Configuration>`,
	} {
		if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return copyPrograms(ctx, root, jre)
}

// copyPrograms copies a shell, what scripts use, and the libraries of these and of the Java
// runtime.
func copyPrograms(ctx context.Context, root, jre string) error {
	binaries := []string{}
	for _, name := range []string{"sh", "cat", "sleep", "mkdir", "grep", "seq"} {
		p, err := exec.LookPath(name)
		if err != nil {
			return err
		}
		if err := copyFile(p, filepath.Join(root, "bin", name)); err != nil {
			return err
		}
		binaries = append(binaries, p)
	}
	for _, pattern := range []string{"bin/java", "lib/*.so", "lib/server/libjvm.so"} {
		files, err := filepath.Glob(filepath.Join(jre, pattern))
		if err != nil {
			return err
		}
		binaries = append(binaries, files...)
	}
	for _, pattern := range []string{"/lib/*/libnss_files.so.2", "/lib/*/libnss_dns.so.2", "/lib/*/libresolv.so.2"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		binaries = append(binaries, files...)
		for _, f := range files {
			if err := copyFile(f, filepath.Join(root, f)); err != nil {
				return err
			}
		}
	}
	seen := map[string]bool{}
	for _, b := range binaries {
		out, _ := exec.CommandContext(ctx, "ldd", b).Output()
		for _, f := range strings.Fields(string(out)) {
			if !strings.HasPrefix(f, "/lib") && !strings.HasPrefix(f, "/usr/lib") || seen[f] || strings.HasPrefix(f, root) {
				continue
			}
			seen[f] = true
			if err := copyFile(f, filepath.Join(root, f)); err != nil {
				return err
			}
		}
	}
	return nil
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	i, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, b, i.Mode().Perm()|0o444)
}

// leftOut skips a test and names it in the file that SLUICE_TEST_SKIPPED names.
func leftOut(t testing.TB, needs string) {
	t.Helper()
	if f, err := os.OpenFile(os.Getenv("SLUICE_TEST_SKIPPED"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
		_, _ = fmt.Fprintf(f, "%s: needs %s\n", t.Name(), needs)
		_ = f.Close()
	}
	t.Skipf("needs %s", needs)
}
