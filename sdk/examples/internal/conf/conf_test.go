package conf

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

type settings struct {
	Topics Globs    `json:"topics"`
	Every  Duration `json:"every"`
}

func TestGlobsAndDurations(t *testing.T) {
	for in, want := range map[string]string{
		`{"topics": ["a*"], "every": "1m"}`: "",
		`{"topics": "a*"}`:                  "",
		`{"topic": ["a*"]}`:                 `unknown field "topic"`,
		`{"topics": ["[a"]}`:                "not a glob",
		`{"topics": 3}`:                     "not a glob or a list",
		`{"every": "soon"}`:                 "such as 10s",
		`{"every": "-1s"}`:                  "such as 10s",
		`{} {}`:                             "more than one value",
		`{`:                                 "config: ",
	} {
		var s settings
		err := sdk.ReadConfig([]byte(in), &s)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
	var s settings
	if err := sdk.ReadConfig([]byte(`{"every": "1m30s"}`), &s); err != nil || time.Duration(s.Every) != 90*time.Second {
		t.Errorf("every: %v, %v", time.Duration(s.Every), err)
	}
}

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		globs Globs
		name  string
		want  bool
	}{
		{nil, "any", true},
		{Globs{"orders*"}, "orders.eu", true},
		{Globs{"orders*"}, "payments", false},
		{Globs{"a", "b?"}, "b1", true},
		{Globs{"*"}, "team/app-1", true},
		{Globs{"team/*"}, "team/app/1", true},
		{Globs{"*"}, "", true},
	} {
		if got := c.globs.Match(c.name); got != c.want {
			t.Errorf("%v matches %q: %v", c.globs, c.name, got)
		}
	}
}
