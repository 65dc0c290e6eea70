package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// TestFences are checked, each mistake at its place, and no secret of a URL is repeated.
func TestFences(t *testing.T) {
	for written, want := range map[string]string{
		"url: ops.example":                                         `x.yaml:18:25: failover.fence.url: this is no URL like `,
		"url: \"ftp://ops.example\"":                               `x.yaml:18:25: failover.fence.url: this is no URL like `,
		"url: \"https://\"":                                        `x.yaml:18:25: failover.fence.url: this is no URL like `,
		"url: \"https://me:secret@ops.example\"":                   `x.yaml:18:25: failover.fence.url: names, passwords and parameters `,
		"url: \"https://ops.example/fence?token=secret\"":          `x.yaml:18:25: failover.fence.url: names, passwords and parameters `,
		"url: \"http://ops.example\", tls: {ca: a}":                `x.yaml:18:25: failover.fence.url: http:// is without TLS`,
		"url: \"https://ops.example\", tls: {cert: a}":             `failover.fence.tls: cert and key belong together`,
		"url: \"https://ops.example\", headers: {\"a b\": secret}": `failover.fence.headers.a b: `,
		"url: \"https://ops.example\", timeout: 0s":                `failover.fence.timeout: must be above 0 and below failover.hold, which is 10s`,
		"url: \"https://ops.example\", timeout: 10s":               `failover.fence.timeout: must be above 0 and below failover.hold, which is 10s`,
		"headers: {a: secret}":                                     `failover.fence: url is missing`,
		"uri: \"https://ops.example\"":                             `failover.fence: unknown key "uri" (did you mean "url"?)`,
	} {
		_, err := Parse("x.yaml", []byte(example+"failover: {fence: {"+written+"}}\n"))
		about := fact.Must(t, "%s: %v", written, err)
		fact.True(about, "an error", err != nil)
		fact.Has(about, err.Error(), "x.yaml:18:")
		fact.Has(about, err.Error(), want)
		fact.HasNo(about, err.Error(), "secret")
	}
}

// TestAFenceIsShownWithoutItsSecrets, and with its defaults.
func TestAFenceIsShownWithoutItsSecrets(t *testing.T) {
	t.Setenv("FENCE", "https://ops.example/secret-path")
	for written, want := range map[string]string{
		"url: \"https://ops.example/fence\", headers: {authorization: Bearer-one}": "fence:map[headers:map[authorization:*****] timeout:3s tls:<nil> url:https://ops.example/fence]",
		"url: \"${env:FENCE}\", timeout: 1s":                                       "fence:map[headers:map[] timeout:1s tls:<nil> url:*****]",
	} {
		s, err := Parse("x.yaml", []byte(example+"failover: {fence: {"+written+"}}\n"))
		fact.NoError(fact.Must(t, "%s", written), err)
		shown := fmt.Sprint(s.Masked())
		fact.Has(fact.Of(t, "%s", written), shown, want)
		fact.True(fact.Of(t, "%s", written), "the URL is used", strings.HasPrefix(s.Failover.Fence.URL, "https://ops.example/"))
	}
	s, err := Parse("x.yaml", []byte(example))
	fact.NoError(fact.Must(t, "without a fence"), err)
	fact.Has(fact.Of(t, "without a fence"), fmt.Sprint(s.Masked()), "fence:map[headers:map[] timeout:3s tls:<nil> url:]")
}
