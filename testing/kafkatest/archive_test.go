package kafkatest

import (
	"strings"
	"testing"
	"time"
)

// TestJVMsStartWithTheArchive: of each version, also with folders beside its jars, and say nothing
// of it.
func TestJVMsStartWithTheArchive(t *testing.T) {
	Require(t, "java", "mvn")
	for _, version := range []string{Kafka4, Kafka3} {
		for _, more := range [][]string{nil, {t.TempDir()}} {
			cmd, err := JVM(t.Context(), version, "128m", more, "org.apache.kafka.tools.TopicCommand", "--version")
			if err != nil {
				t.Fatal(err)
			}
			cmd.Args = append(cmd.Args[:1:1], append([]string{"-Xshare:on", "-Xlog:class+load:stderr"}, cmd.Args[1:]...)...)
			began := time.Now()
			var loaded strings.Builder
			cmd.Stderr = &loaded
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s%s", err, out, loaded.String())
			}
			t.Logf("%s: %s", version, time.Since(began))
			if !strings.Contains(loaded.String(), "org.apache.kafka.common.utils.AppInfoParser source: shared objects file (top)") {
				t.Errorf("%s, %d folders more: it loads Kafka's classes from its jars:\n%.2000s", version, len(more), loaded.String())
			}
			if strings.TrimSpace(string(out)) == "" || strings.Contains(string(out), "arning") {
				t.Errorf("%s: it says %q", version, out)
			}
		}
	}
}
