package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// output is --output of every command.
type output string

const (
	asText output = "text"
	asJSON output = "json"
)

func (o *output) String() string { return string(*o) }

// Set is for flags.
func (o *output) Set(s string) error {
	if s != string(asText) && s != string(asJSON) {
		return fmt.Errorf("%q is not one of text, json", s)
	}
	*o = output(s)
	return nil
}

// Type is for flags.
func (o *output) Type() string { return "text|json" }

// outputFlag adds --output to a command and those below it.
func outputFlag(cmd *cobra.Command) {
	o := asText
	cmd.PersistentFlags().Var(&o, "output", "how results are written")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{string(asText), string(asJSON)}, cobra.ShellCompDirectiveNoFileComp))
}

func wantsJSON(cmd *cobra.Command) bool {
	f := cmd.Flag("output")
	return f != nil && f.Value.String() == string(asJSON)
}

// show writes a result: v as JSON, or what text writes.
func show(cmd *cobra.Command, v any, text func(w io.Writer)) error {
	if wantsJSON(cmd) {
		return encode(cmd, v)
	}
	out := bufio.NewWriter(cmd.OutOrStdout())
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0) // which writes each cell and each gap by itself
	text(w)
	return errors.Join(w.Flush(), out.Flush())
}

func encode(cmd *cobra.Command, v any) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// plain is what others called themselves or their things, for a terminal: without what would move
// its cursor, change its title or break a table.
func plain(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// widest is how much of a name a table shows.
const widest = 48

// cell is plain, and no wider than a column may be.
func cell(s string) string {
	r := []rune(plain(s))
	if len(r) > widest {
		r = append(r[:widest-1], '…')
	}
	return string(r)
}
