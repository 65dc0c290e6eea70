package workbench

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/sluice-gateway/sluice/sdk"
)

// file writes a text into a file.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// keys are the YAML keys of a type.
func keys(t reflect.Type) (out []string) {
	for i := range t.NumField() {
		if k, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); k != "" {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// TestTheSchemaIsThatOfTheCode: it has the keys that are read, and no others.
func TestTheSchemaIsThatOfTheCode(t *testing.T) {
	b, err := sdk.Source.ReadFile("cases.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties map[string]any
	}
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	schema.Defs["Cases"] = schema.object
	for _, v := range []any{Cases{}, Case{}, Client{}, Record{}, Expect{}, Refused{}} {
		name := reflect.TypeOf(v).Name()
		if got, want := slices.Sorted(maps.Keys(schema.Defs[name].Properties)), keys(reflect.TypeOf(v)); !slices.Equal(got, want) {
			t.Errorf("%s has %v, the code %v", name, got, want)
		}
	}
}

// TestTheDocumentIsTrue: its example is read, and every key is in it.
func TestTheDocumentIsTrue(t *testing.T) {
	b, err := sdk.Source.ReadFile("CASES.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(b)
	cases, err := LoadCases(file(t, "cases.yaml", string(block[1])))
	if err != nil || len(cases.Cases) != 3 || len(cases.Cases[2].Steps) != 2 {
		t.Fatalf("%v, %+v", err, cases)
	}
	for _, v := range []any{Cases{}, Case{}, Client{}, Record{}, Expect{}, Refused{}} {
		for _, k := range keys(reflect.TypeOf(v)) {
			if !regexp.MustCompile(`\b` + k + "(:|`)").Match(b) {
				t.Errorf("%s is not explained", k)
			}
		}
	}
}

// TestFields make the bytes that they stand for, and come back from them.
func TestFields(t *testing.T) {
	c, err := LoadCases(file(t, "cases.yaml", `
cases:
  - kind: request
    api: CreateTopics
    version: 7
    body: {fields: {Topics: [{Topic: ok, NumPartitions: 1, ReplicationFactor: 1}]}}
    expect: {forward: {hex: "02036f6b0000000100010101000000ea600000"}}
  - kind: response
    api: Metadata
    version: 12
    body: {fields: {ClusterID: c, Brokers: [{NodeID: 1, Host: h, Rack: null}], Topics: [{Topic: null, TopicID: "000102030405060708090a0b0c0d0e0f"}]}}
  - kind: request
    api: SyncGroup
    version: 0
    body: {fields: {Group: g, GroupAssignment: [{MemberID: m, MemberAssignment: {hex: "00ff"}}]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if first := c.Cases[0]; !sameBody(first.Body, first.Expect.Forward) {
		t.Errorf("%s is not %s", first.Body, first.Expect.Forward)
	}
	again := filepath.Join(t.TempDir(), "again.yaml")
	if err := c.Save(again); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(again)
	for _, want := range []string{"TopicID: 000102030405060708090a0b0c0d0e0f", "MemberAssignment:", "hex: 00ff", "NumPartitions: 1"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
	same, err := LoadCases(again)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Cases {
		if !sameBody(c.Cases[i].Body, same.Cases[i].Body) {
			t.Errorf("%s has become %s", c.Cases[i].Body, same.Cases[i].Body)
		}
	}
}

// TestMistakesInFields say what there is.
func TestMistakesInFields(t *testing.T) {
	for body, want := range map[string]string{
		"{api: CreateTopics, version: 7, body: {fields: {Topic: x}}}":                       "line 1: Topic: there is no such field, but Topics, TimeoutMillis, ValidateOnly",
		"{api: CreateTopics, version: 7, body: {fields: {Topics: x}}}":                      "want a list",
		"{api: CreateTopics, version: 7, body: {fields: {Topics: [x]}}}":                    "Topics[0]: want an object",
		"{api: CreateTopics, version: 7, body: {fields: {TimeoutMillis: soon}}}":            "want a number of type int32",
		"{api: CreateTopics, version: 7, body: {fields: {Version: 3}}}":                     "Version: there is no such field",
		"{api: CreateTopics, version: 7, body: {fields: {}, hex: ''}}":                      "fields, or bytes",
		"{api: CreateTopics, version: 99, body: {fields: {}}}":                              "versions 0 to",
		"{api: Createtopics, version: 7, body: {fields: {}}}":                               "no Kafka API",
		"{api: DeleteTopics, version: 6, body: {fields: {Topics: [{TopicID: '00'}]}}}":      "16 bytes in hex",
		"{api: CreateTopics, version: 7, body: x, expect: {respond: {fields: {Error: 3}}}}": "Error: there is no such field, but ThrottleMillis, Topics",
		"{steps: [{kind: produce, records: [{}]}], records: [{}]}":                          "has steps, and so nothing else",
		"{steps: [{steps: [{kind: produce, records: [{}]}]}]}":                              "has steps in step 1",
		"{steps: [{kind: produce, records: [{}]}, {kind: fetch}]}":                          "step 2 has no records",
	} {
		text := "cases: [" + body + "]"
		if strings.Contains(body, "api:") {
			text = strings.Replace(text, "{api", "{kind: request, api", 1)
		}
		if _, err := LoadCases(file(t, "cases.yaml", text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

// TestUpdatesKeepTheRest of a file as it stands.
func TestUpdatesKeepTheRest(t *testing.T) {
	const before = `# what this is
config: {a: 1} # its settings

cases:
  # the first
  - name: one # it is wrong
    kind: produce
    records: [{topic: t, value: v}] # in
    expect: # out
      records:
        - {value: w} # wrong

  # the second is right
  - name: two
    expect: {records: [{value: v}]} # kept
    kind: produce
    records: [{topic: t, value: v}]

  - name: three
    steps:
      # of two
      - kind: produce
        records: [{topic: t, value: v}]
        expect: {records: [{value: v}]}
      - expect: {records: [{value: w}]}
        # behind it
        kind: produce
        records: [{topic: t, value: v}]
  - name: none
    kind: produce
    records: [{topic: t, value: v}]
# the end
`
	const value = "\n            - value: v\n"
	after := strings.NewReplacer(
		"    expect: # out\n      records:\n        - {value: w} # wrong\n", "    expect:\n      records:\n        - value: v\n",
		"      - expect: {records: [{value: w}]}\n", "      - expect:\n          records:"+value,
		"    records: [{topic: t, value: v}]\n# the end", "    records: [{topic: t, value: v}]\n    expect:\n      records:\n        - value: v\n# the end",
	).Replace(before)
	for text, want := range map[string]string{
		before:                           after,
		strings.TrimSuffix(before, "\n"): strings.TrimSuffix(after, "\n"),
		"cases: [{name: one, kind: produce, records: [{value: v}]}] # in braces\n": "cases: [{name: one, kind: produce, records: [{value: v}], expect: {records: [{value: v}]}}] # in braces\n",
	} {
		path := file(t, "cases.yaml", text)
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		c, err := LoadCases(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.Cases {
			steps := c.Cases[i].Steps
			if steps == nil {
				steps = c.Cases[i : i+1]
			}
			for j := range steps {
				steps[j].Expect = Expect{Records: []Record{{Value: &Text{[]byte("v")}}}}
			}
		}
		if err := c.Update(path); err != nil {
			t.Fatal(err)
		}
		got, _ := os.ReadFile(path)
		if string(got) != want && !sameYAML(t, got, want) {
			t.Errorf("got:\n%q\nwant:\n%q", got, want)
		}
		if info, _ := os.Stat(path); info.Mode().Perm() != 0o640 {
			t.Errorf("mode %o", info.Mode().Perm())
		}
	}
}

// sameYAML compares what is said in braces, of which lines may be broken elsewhere.
func sameYAML(t *testing.T, got []byte, want string) bool {
	t.Helper()
	if !strings.Contains(want, "in braces") || !strings.Contains(string(got), "# in braces") {
		return false
	}
	var x, y any
	if err := yaml.Unmarshal(got, &x); err != nil {
		t.Error(err)
	}
	if err := yaml.Unmarshal([]byte(want), &y); err != nil {
		t.Error(err)
	}
	return reflect.DeepEqual(x, y)
}

// TestStepsAreOfOneGuest, and cases are not.
func TestStepsAreOfOneGuest(t *testing.T) {
	_, module := stateful(t)
	c, err := LoadCases(file(t, "cases.yaml", `
cases:
  - name: counts
    steps:
      - {kind: produce, records: [{topic: t, value: a}], expect: {records: [{value: "1"}]}}
      - {kind: produce, records: [{topic: t, value: a}], expect: {records: [{value: "2"}]}}
  - name: anew
    kind: produce
    records: [{topic: t, value: a}]
    expect: {records: [{value: "1"}]}
  - name: state
    steps:
      - {kind: request, api: CreateTopics, version: 7, body: {fields: {}}, expect: {state: left, forward: {fields: {}}}}
      - {kind: response, api: CreateTopics, version: 7, body: {fields: {}}, expect: {forward: {fields: {ThrottleMillis: 4}}}}
  - name: wrong
    steps:
      - {kind: produce, records: [{topic: t, value: a}], expect: {records: [{value: "1"}]}}
      - {kind: produce, records: [{topic: t, value: a}], expect: {records: [{value: "7"}]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	outcomes, err := Test(t.Context(), module, c, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range outcomes {
		got = append(got, o.Diff)
	}
	if want := `["" "" "" "step 2: record 0: value: got \"2\", want \"7\""]`; fmt.Sprintf("%q", got) != want {
		t.Errorf("%q, want %s", got, want)
	}
	different, err := Replay(t.Context(), module, module, c, nil)
	if err != nil || len(different) != 0 {
		t.Errorf("%v, %v", different, err)
	}
}

// stateful is a project that counts its calls, in its store, and tells a response what its request
// left.
func stateful(t *testing.T) (dir, module string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "stateful")
	if err := New(dir, "go", "stateful"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(`package main

import (
	"strconv"

	"github.com/sluice-gateway/sluice/sdk"
)

type plugin struct{}

func (plugin) OnProduce(r *sdk.Records) error {
	n, err := r.Gateway().Add("n", 1, 0)
	r.At(0).SetValue([]byte(strconv.FormatInt(n, 10)))
	return err
}

// create is a CreateTopics request as its bytes.
type create struct{ b []byte }

func (create) Key() int16                  { return 19 }
func (create) MaxVersion() int16           { return 7 }
func (create) SetVersion(int16)            {}
func (create) GetVersion() int16           { return 7 }
func (c *create) ReadFrom(b []byte) error  { c.b = b; return nil }
func (c *create) AppendTo(b []byte) []byte { return append(b, c.b...) }

func init() {
	sdk.Register(sdk.New("stateful", plugin{}, sdk.Needs(sdk.CapKV),
		sdk.OnRequest(func(r *sdk.Request, _ *create) error { r.SetState([]byte("left")); return nil }),
		sdk.OnResponse(func(r *sdk.Response, m *create) error {
			m.b[3] = byte(len(r.State()))
			r.Forward(m)
			return nil
		})))
}

func main() {}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "main_test.go")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOPROXY", "off")
	module, err := Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, module
}

// TestCapturesAreTheirOwners alone to read, also in a file that was there.
func TestCapturesAreTheirOwners(t *testing.T) {
	there := file(t, "capture.yaml", strings.Repeat("# longer than what comes\n", 100))
	for _, path := range []string{there, filepath.Join(t.TempDir(), "new.yaml")} {
		c := Cases{Cases: []Case{{Kind: "produce", Records: []Record{{Value: &Text{[]byte("secret")}}}}}}
		if err := c.Save(path); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, mode %o", err, info.Mode().Perm())
		}
		if again, err := LoadCases(path); err != nil || len(again.Cases) != 1 {
			t.Errorf("%v, %+v", err, again)
		}
	}
}

// TestUpgrade replaces the SDK beside a project, and nothing that is none.
func TestUpgrade(t *testing.T) {
	for _, language := range Languages {
		dir := filepath.Join(t.TempDir(), "p")
		if err := New(dir, language, "p"); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"ABI.md", "CASES.md", "cases.schema.json"} {
			if _, err := os.Stat(filepath.Join(dir, "sluice", name)); err != nil {
				t.Error(err)
			}
		}
		stale, own := filepath.Join(dir, "sluice", "stale"), filepath.Join(dir, "own")
		for _, f := range []string{stale, own, filepath.Join(dir, "sluice", "ABI.md")} {
			if err := os.WriteFile(f, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := Upgrade(dir); err != nil {
			t.Fatalf("%s: %v", language, err)
		}
		abi, _ := os.ReadFile(filepath.Join(dir, "sluice", "ABI.md"))
		_, gone := os.Stat(stale)
		if _, err := os.Stat(own); err != nil || !os.IsNotExist(gone) || len(abi) < 1000 {
			t.Errorf("%s: %v, %v, %d bytes of ABI.md", language, err, gone, len(abi))
		}
		if err := os.RemoveAll(filepath.Join(dir, "sluice")); err != nil {
			t.Fatal(err)
		}
		if err := Upgrade(dir); err == nil || !strings.Contains(err.Error(), "is not the SDK") {
			t.Errorf("%s: no SDK: %v", language, err)
		}
	}
}

// TestACrateMayLieInAnotherFolder than one of its name.
func TestACrateMayLieInAnotherFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Cargo.toml"), []byte("[package]\nname = \"some-name\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if name, err := crate(dir); err != nil || name != "some-name" {
		t.Errorf("%s, %v", name, err)
	}
}
