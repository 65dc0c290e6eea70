package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoReferenceIsTakenLiterally: whatever begins like one and is none is an error at its place,
// wherever it stands.
func TestNoReferenceIsTakenLiterally(t *testing.T) {
	for _, written := range []string{
		"${OPS_PW}", "a${OPS_PW}b", "${}", "${", "a ${", "${env}", "${env OPS_PW}", "${ENV:OPS_PW}", "${environ:A}", "${vault:a}", "${env:A", "${env:A${env:B}}", "${{env:A}}",
		"${env :A}", "${ env:A}", "$${env:A} ${OPS_PW}", "$$$ ${OPS_PW}",
	} {
		for place, at := range map[string]struct{ from, to, want string }{
			"a value":          {"password: none", `password: "REF"`, "x.yaml:2:64: admin.users.0.password: "},
			"a number":         {"admin: {", `limits: {connections: "REF"}` + "\nadmin: {", "x.yaml:2:23: limits.connections: "},
			"a duration":       {"admin: {", `admin: {delete_grace: "REF", `, "x.yaml:2:23: admin.delete_grace: "},
			"a list":           {"[127.0.0.1:19092]", `[127.0.0.1:19092, "REF"]`, "x.yaml:4:39: clusters.prod.bootstrap.1: "},
			"a section":        {"default: prod", `default: "REF"`, "x.yaml:11:20: virtual_clusters.passThroughTenant.chain.0.routing.default: "},
			"a section's list": {`"mm2-*"`, `'REF'`, "x.yaml:16:44: virtual_clusters.passThroughTenant.chain.1.topics.hide.1: "},
			"a key":            {"orders:", `"REF":`, "x.yaml:14:13: virtual_clusters.passThroughTenant.chain.0.routing.topics: "},
		} {
			source := strings.Replace(strings.Replace(example, at.from, at.to, 1), "REF", written, 1)
			_, err := Parse("x.yaml", []byte(source))
			if err == nil || !strings.HasPrefix(err.Error(), at.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s in %s: %v, want %s", written, place, err, at.want)
			}
		}
	}
}

// TestPlainReferencesThatAreNone: without quotes too.
func TestPlainReferencesThatAreNone(t *testing.T) {
	const users = "{name: none, password: none}"
	_, err := Parse("x.yaml", []byte(strings.Replace(example, ", users: ["+users+"]}", "}\nlimits:\n  connections: ${MANY}", 1)))
	if want := `x.yaml:4:16: limits.connections: "${MANY}" is no reference: it must be ${env:NAME} or ${file:path}; for a literal ${ write $${`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestEscapedDollars are what they stand for, and no secrets.
func TestEscapedDollars(t *testing.T) {
	t.Setenv("SLUICE_A", "a")
	for written, want := range map[string]string{
		"$${env:SLUICE_A}": "${env:SLUICE_A}", "$${": "${", "a$${b}c$${d}": "a${b}c${d}", "$$${env:X}": "$${env:X}", "$": "$", "$$": "$$", "$a{": "$a{", "$ {": "$ {",
		"$${x}${env:SLUICE_A}": "${x}a", "${env:SLUICE_A}$${x}": "a${x}", "$${env:SLUICE_A": "${env:SLUICE_A",
	} {
		s, err := Parse("x.yaml", []byte(strings.Replace(example, "name: none", `name: "`+written+`"`, 1)))
		must(t, err)
		if got := s.Admin.Users[0].Name; got != want {
			t.Errorf("%s became %q", written, got)
		}
		shown := s.Masked().(map[string]any)["admin"].(map[string]any)["users"].([]any)[0].(map[string]any)["name"]
		if secret := strings.Contains(strings.ReplaceAll(written, "$${", ""), "${"); secret != (shown == hidden.Value) || !secret && shown != want {
			t.Errorf("%s is shown as %v", written, shown)
		}
	}
}

// TestWhatReferencesStoodForStays while it is gone, for edits of all else.
func TestWhatReferencesStoodForStays(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "pw", "old\n")
	t.Setenv("SLUICE_A", "reader")
	source := strings.Replace(example, "{name: none, password: none}", `{name: none, password: "${file:pw}", role: "${env:SLUICE_A}"}`, 1)
	before, err := Parse("x.yaml", []byte(source))
	must(t, err)
	must(t, os.Remove("pw"))
	must(t, os.Unsetenv("SLUICE_A"))
	edited := strings.Replace(source, "default: prod", "default: dr", 1)
	s, err := before.Edited([]byte(edited))
	must(t, err)
	if u := s.Admin.Users[0]; u.Password != "old" || u.Role != "reader" {
		t.Errorf("%+v", u)
	}
	if again, err := s.Edited([]byte(source)); err != nil || again.Admin.Users[0].Password != "old" {
		t.Errorf("the edit after it: %v", err)
	}
	if gone := s.Gone(); len(gone) != 2 || gone["${file:pw}"] == nil || gone["${env:SLUICE_A}"] == nil {
		t.Errorf("gone are %v", gone)
	}
	if _, err := Parse("x.yaml", []byte(edited)); err == nil || !strings.Contains(err.Error(), "no such file") || !strings.Contains(err.Error(), "SLUICE_A is not set") {
		t.Errorf("at start: %v", err)
	}
	for _, other := range []string{"${file:other}", "${file:./pw}", "${env:SLUICE_B}"} {
		if _, err := before.Edited([]byte(strings.Replace(edited, "${file:pw}", other, 1))); err == nil || !strings.Contains(err.Error(), "x.yaml:2:64: ") {
			t.Errorf("%s, which is new: %v", other, err)
		}
	}
	write(t, "pw", "new\n")
	t.Setenv("SLUICE_A", "admin")
	if s, err = s.Edited([]byte(source)); err != nil || s.Admin.Users[0].Password != "new" || len(s.Gone()) != 0 {
		t.Errorf("there again: %v, %v", err, s)
	}
}

// TestGoneFilesAreFound wherever the gateway runs.
func TestGoneFilesAreFound(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pw"), "x")
	s, err := Parse(filepath.Join(dir, "x.yaml"), []byte(strings.Replace(example, "password: none", `password: "${file:pw}"`, 1)))
	must(t, err)
	if gone := s.Gone(); len(gone) != 0 {
		t.Error(gone)
	}
	must(t, os.Rename(filepath.Join(dir, "pw"), filepath.Join(dir, "qw")))
	if gone := s.Gone(); gone["${file:pw}"] == nil {
		t.Error(gone)
	}
}
