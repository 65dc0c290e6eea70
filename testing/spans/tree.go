package spans

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Children are the spans below each id, in the order in which they began; those without a parent in
// the list stand below "".
func Children(list []Span) map[string][]Span {
	known, out := map[string]bool{}, map[string][]Span{}
	for _, s := range list {
		known[s.ID] = true
	}
	for _, s := range list {
		if !known[s.Parent] {
			s.Parent = ""
		}
		out[s.Parent] = append(out[s.Parent], s)
	}
	for _, l := range out {
		slices.SortFunc(l, func(a, b Span) int { return a.Start.Compare(b.Start.Time) })
	}
	return out
}

var kinds = map[int]string{Server: "SERVER ", Client: "CLIENT "}

// row is a line of a tree: a span, an event without a length, or an attribute or link, without
// times.
type row struct{ text, at, lasted string }

// Write shows a trace as a tree: when each span and event began, in milliseconds since the trace
// did, and how long each span lasted. The attributes shown are those of the root and of requests to
// clusters; others say what the names say.
func Write(w io.Writer, list []Span, trace string) error {
	list = slices.DeleteFunc(slices.Clone(list), func(s Span) bool { return s.Trace != trace })
	if len(list) == 0 {
		return fmt.Errorf("spans: there is no trace %s", trace)
	}
	below := Children(list)
	var rows []row
	for _, root := range below[""] {
		rows = append(rows, rowsOf(root, below, below[""][0].Start, "")...)
	}
	width := 0
	for _, r := range rows {
		if r.at != "" {
			width = max(width, utf8.RuneCountInString(r.text))
		}
	}
	rows = slices.Insert(rows, 0, row{text: "trace " + trace}, row{"", "began ms", "lasted ms"})
	for _, r := range rows {
		if _, err := fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-*s %10s %10s", width, r.text, r.at, r.lasted), " ")); err != nil {
			return err
		}
	}
	return nil
}

func rowsOf(s Span, below map[string][]Span, began Time, indent string) []row {
	since := func(t Time) string { return "+" + millis(t.Sub(began.Time)) }
	rows := []row{{indent + kinds[s.Kind] + s.Name, since(s.Start), millis(s.End.Sub(s.Start.Time))}}
	indent += "  "
	if s.Parent == "" || s.Kind == Client {
		for _, k := range slices.Sorted(maps.Keys(s.Attributes)) {
			rows = append(rows, row{text: indent + k + ": " + s.Attributes[k]})
		}
	}
	for _, l := range s.Links {
		rows = append(rows, row{text: indent + "link to span " + l.ID + " of trace " + l.Trace})
	}
	for _, e := range slices.SortedFunc(slices.Values(s.Events), func(a, b Event) int { return a.At.Compare(b.At.Time) }) {
		text := indent + "* " + e.Name
		for _, k := range slices.Sorted(maps.Keys(e.Attributes)) {
			text += " " + k + "=" + e.Attributes[k]
		}
		rows = append(rows, row{text: text, at: since(e.At)})
	}
	for _, c := range below[s.ID] {
		rows = append(rows, rowsOf(c, below, began, indent)...)
	}
	return rows
}

func millis(d time.Duration) string { return fmt.Sprintf("%.3f", float64(d.Nanoseconds())/1e6) }
