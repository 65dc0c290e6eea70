package console

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
)

// functions are for templates.
var functions = template.FuncMap{
	"num":   num,
	"bytes": size,
	"rate":  rate,
	"took":  took,
	"at":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"since": func(t time.Time) string { return whole(time.Since(t)) },
	"ago":   func(t time.Time) string { return whole(time.Since(t)) + " ago" },
	"json": func(v any) (string, error) {
		b, err := json.Marshal(v)
		return string(b), err
	},
	"segment":  url.PathEscape, // of a path
	"has":      func(list []string, s string) bool { return slices.Contains(list, s) },
	"known":    func(n int64) bool { return n != admin.Unknown },
	"count":    func(n int, what string) string { return plural(int64(n), what) },
	"plural":   plural,
	"pair":     func(a, b any) []any { return []any{a, b} },
	"short":    short,
	"clip":     func(s string) string { return cut(s, mostReason) },
	"few":      few,
	"ident":    ident,
	"link":     query,
	"linkable": func(s string) bool { return len(s) <= mostName },
}

const (
	// mostName is how much of a name is shown: all of every topic's. Clients and groups may have
	// names of 32 kB.
	mostName = 255
	// mostReason is how much of a reason a list shows; the page of the thing itself has it all.
	mostReason = 400
	// mostNamed is how many things of a list are named.
	mostNamed = 3
)

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func short(s string) string { return cut(s, mostName) }

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// few names the first things of a list, and counts the others.
func few(list []string) string {
	if n := len(list) - mostNamed; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:mostNamed], ", "), n)
	}
	return strings.Join(list, ", ")
}

// ident makes of names what an element can be found by, whatever they consist of.
func ident(names ...string) string {
	if len(names) == 1 && len(names[0]) <= mostName && !strings.ContainsFunc(names[0], func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}) {
		return names[0]
	}
	h := fnv.New128a()
	for _, n := range names {
		_, _ = fmt.Fprintf(h, "%d %s ", len(n), n)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// whole shows a duration in whole seconds.
func whole(d time.Duration) string {
	if d = d.Truncate(time.Second); d < time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return took(d)
}

// num shows a number, or that it is unknown.
func num(n any) string {
	s := fmt.Sprint(n)
	if s == strconv.Itoa(admin.Unknown) {
		return "?"
	}
	return s
}

// size shows a number of bytes.
func size(n any) string {
	f, err := strconv.ParseFloat(fmt.Sprint(n), 64)
	if err != nil {
		return fmt.Sprint(n)
	}
	unit := 0
	for ; f >= 1000 && unit < 4; unit++ {
		f /= 1000
	}
	return fmt.Sprintf("%.3g %s", f, [...]string{"B", "kB", "MB", "GB", "TB"}[unit])
}

func rate(f float64) string {
	if f >= 100 {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.3g", f)
}

// took shows a duration with as much of it as matters.
func took(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d d", int(d.Hours()/24))
	case d >= time.Minute:
		return d.Truncate(time.Second).String()
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.3g ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%d µs", d.Microseconds())
}
