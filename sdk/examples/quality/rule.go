package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/examples/internal/conf"
)

// Actions: what becomes of a record that breaks a rule.
const (
	reject     = "reject"
	drop       = "drop"
	mark       = "header"
	deadLetter = "dead_letter"
)

// rule is an expression that must be true for the records of some topics.
type rule struct {
	Name            string     `json:"name"`
	Topics          conf.Globs `json:"topics"`
	Expr            string     `json:"expr"`
	Action          string     `json:"action"`
	DeadLetterTopic string     `json:"dead_letter_topic"`

	program *vm.Program
	machine vm.VM
	reads   bool // the value
	counter *sdk.Metric
}

// env is what expressions see.
type env struct {
	Value   any               `expr:"value"`
	Key     string            `expr:"key"`
	Topic   string            `expr:"topic"`
	Headers map[string]string `expr:"headers"`

	raw    []byte // of the value
	parsed bool
	bad    error
}

var errNotJSON = errors.New("the value is not JSON")

func (e *env) reset(topic string, rec sdk.Record) {
	*e = env{Key: string(rec.Key()), Topic: topic, Headers: e.Headers, raw: rec.Value()}
	if e.Headers == nil {
		e.Headers = map[string]string{}
	}
	clear(e.Headers)
	for k, v := range rec.Headers() {
		e.Headers[string(k)] = string(v)
	}
}

// parse reads the value when the first rule asks for it.
func (e *env) parse() error {
	if !e.parsed {
		e.parsed = true
		if json.Unmarshal(e.raw, &e.Value) != nil {
			e.Value, e.bad = nil, errNotJSON
		}
	}
	return e.bad
}

// Visit notes whether an expression reads the value.
func (r *rule) Visit(n *ast.Node) {
	if id, ok := (*n).(*ast.IdentifierNode); ok && id.Value == "value" {
		r.reads = true
	}
}

func (r *rule) compile(i int, before []*rule) error {
	if r.Name == "" {
		return fmt.Errorf("config.rules[%d].name is missing: it is what producers are told", i)
	}
	if slices.ContainsFunc(before, func(b *rule) bool { return b.Name == r.Name }) {
		return fmt.Errorf("config.rules[%d].name: %q is there twice", i, r.Name)
	}
	if !slices.Contains([]string{reject, drop, mark, deadLetter}, r.Action) {
		return fmt.Errorf("config.rules[%d].action: %q is not one of reject, drop, header, dead_letter", i, r.Action)
	}
	if (r.Action == deadLetter) != (r.DeadLetterTopic != "") {
		return fmt.Errorf("config.rules[%d]: dead_letter_topic and action: dead_letter belong together", i)
	}
	var err error
	r.program, err = expr.Compile(r.Expr, expr.Env(env{}), expr.AsBool(), expr.Function("size", size, new(func(any) int)))
	if err != nil {
		return fmt.Errorf("config.rules[%d].expr: %w", i, err)
	}
	node := r.program.Node()
	ast.Walk(&node, r)
	r.counter = sdk.NewCounter("quality_broken_total", map[string]string{"rule": r.Name, "action": r.Action})
	return nil
}

// size is len under the name that it has in CEL.
func size(args ...any) (any, error) {
	switch v := args[0].(type) {
	case string:
		return utf8.RuneCountInString(v), nil
	case []any:
		return len(v), nil
	case map[string]any:
		return len(v), nil
	}
	return nil, fmt.Errorf("%T has no size", args[0])
}

// check says how a record breaks the rule, "" if it does not. A value that the expression can't be
// asked about, because it is not JSON or a field is missing, breaks it.
func (r *rule) check(gw *sdk.Gateway, e *env) string {
	why := r.run(e)
	if why != "" {
		r.counter.Add(gw, 1)
	}
	return why
}

func (r *rule) run(e *env) string {
	if r.reads {
		if err := e.parse(); err != nil {
			return err.Error()
		}
	}
	switch out, err := r.machine.Run(r.program, e); {
	case err != nil:
		return "can't be told: " + firstLine(err)
	case out != true:
		return "not true: " + r.Expr
	}
	return ""
}

// firstLine is an error without the picture of where it happened.
func firstLine(err error) string {
	s := err.Error()
	for i := range s {
		if s[i] == '\n' {
			return s[:i]
		}
	}
	return s
}
