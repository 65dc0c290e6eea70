package kafkatest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The Kafka versions that tests run against.
const (
	Kafka4 = "4.3.1"
	Kafka3 = "3.9.2"
)

// Cache is the folder in which jars and virtual environments are kept between runs.
func Cache() (string, error) {
	if d := os.Getenv("SLUICE_TEST_CACHE"); d != "" {
		return d, os.MkdirAll(d, 0o755)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	d := filepath.Join(base, "sluice")
	return d, os.MkdirAll(d, 0o755)
}

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sluice.test</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>%s
  </dependencies>
</project>
`

func dependency(group, artifact, version string) string {
	return fmt.Sprintf("\n    <dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>", group, artifact, version)
}

// ClassPath resolves the jars of a Kafka version (broker, tools, MirrorMaker) through Maven, once
// per cache; other processes wait.
func ClassPath(ctx context.Context, version string) (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "kafka-"+version)
	libs := filepath.Join(dir, "libs")
	err = once(dir, func() error {
		var deps strings.Builder
		for _, a := range []string{"kafka_2.13", "kafka-clients", "kafka-tools", "connect-runtime", "connect-json", "connect-mirror", "connect-mirror-client"} {
			deps.WriteString(dependency("org.apache.kafka", a, version))
		}
		if strings.HasPrefix(version, "3.") {
			deps.WriteString(dependency("org.slf4j", "slf4j-reload4j", "1.7.36"))
		} else {
			deps.WriteString(dependency("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4"))
		}
		if err := os.WriteFile(filepath.Join(dir, "pom.xml"), fmt.Appendf(nil, pom, deps.String()), 0o644); err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "mvn", "-B", "-q", "-f", filepath.Join(dir, "pom.xml"), "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+libs)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("maven: %w\n%s", err, out)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	jars, err := filepath.Glob(filepath.Join(libs, "*.jar"))
	if err != nil || len(jars) == 0 {
		return "", fmt.Errorf("no jars in %s", libs)
	}
	slices.Sort(jars)
	return strings.Join(jars, ":"), nil
}

func jvm(ctx context.Context, version, heap, class string, args ...string) (*exec.Cmd, error) {
	return JVM(ctx, version, heap, nil, class, args...)
}

// JVM is the command of a Java class with a version's jars and more folders on its class path. The
// process ends with its parent.
func JVM(ctx context.Context, version, heap string, more []string, class string, args ...string) (*exec.Cmd, error) {
	file, err := archive(ctx, version)
	if err != nil {
		return nil, err
	}
	return java(ctx, version, heap, "-XX:SharedArchiveFile="+file, more, class, args...)
}

// java is JVM with an option that says what to do with an archive of classes.
func java(ctx context.Context, version, heap, archive string, more []string, class string, args ...string) (*exec.Cmd, error) {
	cp, err := ClassPath(ctx, version)
	if err != nil {
		return nil, err
	}
	cp = strings.Join(append([]string{cp}, more...), ":") // an archive is of what the class path begins with
	log, err := logConfig(version)
	if err != nil {
		return nil, err
	}
	all := append([]string{"-Xmx" + heap, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xshare:auto", "-Xlog:cds*=off", archive, log, "-cp", cp, class}, args...)
	cmd := exec.CommandContext(ctx, javaProgram(), all...)
	cmd.Env = append(os.Environ(), "MALLOC_ARENA_MAX=2")
	cmd.SysProcAttr = EndsWithParent()
	return cmd, nil
}

// javaProgram is the Java that tests run.
func javaProgram() string {
	if p := "/usr/lib/jvm/java-17-openjdk-amd64/bin/java"; exists(p) {
		return p
	}
	p, err := exec.LookPath("java")
	if err != nil {
		return "java" // which fails with a reason
	}
	return p
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

// logConfig writes the logging configuration of a version and returns the flag that names it.
// Brokers and tools log to standard error.
func logConfig(version string) (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(version, "3.") {
		file := filepath.Join(cache, "log4j.properties")
		return "-Dlog4j.configuration=file:" + file, writeOnce(file, "log4j.rootLogger=WARN, C\nlog4j.appender.C=org.apache.log4j.ConsoleAppender\nlog4j.appender.C.Target=System.err\nlog4j.appender.C.layout=org.apache.log4j.PatternLayout\nlog4j.appender.C.layout.ConversionPattern=[%d] %p %m (%c)%n\n")
	}
	file := filepath.Join(cache, "log4j2.xml")
	return "-Dlog4j2.configurationFile=" + file, writeOnce(file, `<Configuration status="OFF" shutdownHook="disable"><Appenders><Console name="C" target="SYSTEM_ERR"><PatternLayout pattern="[%d] %p %m (%c)%n"/></Console></Appenders><Loggers><Root level="WARN"><AppenderRef ref="C"/></Root></Loggers></Configuration>`)
}

func writeOnce(file, content string) error {
	if exists(file) {
		return nil
	}
	tmp := fmt.Sprintf("%s.%d", file, os.Getpid())
	if err := os.WriteFile(tmp, []byte(content), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

// tools maps the names of Kafka's scripts to classes.
func tools(version string) map[string]string {
	const p = "org.apache.kafka.tools."
	m := map[string]string{
		"kafka-topics": p + "TopicCommand", "kafka-console-producer": p + "ConsoleProducer",
		"kafka-console-consumer": p + "consumer.ConsoleConsumer", "kafka-consumer-groups": p + "consumer.group.ConsumerGroupCommand",
		"kafka-get-offsets": p + "GetOffsetShell", "kafka-configs": "kafka.admin.ConfigCommand",
		"kafka-producer-perf-test": p + "ProducerPerformance", "kafka-consumer-perf-test": p + "ConsumerPerformance",
		"kafka-verifiable-producer": p + "VerifiableProducer", "connect-mirror-maker": "org.apache.kafka.connect.mirror.MirrorMaker",
		"kafka-delete-records": p + "DeleteRecordsCommand", "kafka-log-dirs": p + "LogDirsCommand", "kafka-leader-election": p + "LeaderElectionCommand",
		"kafka-transactions": p + "TransactionsCommand", "kafka-cluster": p + "ClusterTool", "kafka-groups": p + "GroupsCommand",
		"kafka-reassign-partitions": p + "reassign.ReassignPartitionsCommand", "kafka-metadata-quorum": p + "MetadataQuorumCommand",
		"kafka-console-share-consumer": p + "consumer.ConsoleShareConsumer", "kafka-share-groups": p + "consumer.group.ShareGroupCommand",
	}
	if strings.HasPrefix(version, "3.") {
		m["kafka-console-producer"] = "kafka.tools.ConsoleProducer"
	}
	return m
}

// Tool is the command of one of Kafka's console tools.
func Tool(ctx context.Context, version, name string, args ...string) (*exec.Cmd, error) {
	class, ok := tools(version)[name]
	if !ok {
		return nil, fmt.Errorf("unknown tool %s", name)
	}
	return jvm(ctx, version, "256m", class, args...)
}

// ToolClass is the class of one of Kafka's console tools; "" for one that is unknown.
func ToolClass(version, name string) string { return tools(version)[name] }

// Require skips a test that needs a program which is not installed, and names it in the file that
// SLUICE_TEST_SKIPPED names. With SLUICE_TEST_REQUIRE_ALL the test fails instead.
func Require(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv("SLUICE_TEST_REQUIRE_ALL") != "" {
			t.Fatalf("%s is not installed", p)
		}
		leftOut(t, p)
	}
}
