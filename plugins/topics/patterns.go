package topics

import (
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// subscription translates what a KIP-848 member subscribes to. Its regular expression is matched by
// the broker, against the names on the cluster, whenever a topic is made.
func (n *names) subscription(m *kmsg.ConsumerGroupHeartbeatRequest) {
	for i := range m.SubscribedTopicNames {
		m.SubscribedTopicNames[i] = n.physical(m.SubscribedTopicNames[i])
	}
	if m.SubscribedTopicRegex == nil || *m.SubscribedTopicRegex == "" {
		return
	}
	if re, err := regexp.Compile("^(?:" + *m.SubscribedTopicRegex + ")$"); err == nil {
		for _, t := range n.env.Catalog.Topics() { // those that the prefix does not lead to
			if name := t.Physical(n.cluster.Name()); name != n.PhysicalName(t.Name) && re.MatchString(t.Name) {
				m.SubscribedTopicNames = append(m.SubscribedTopicNames, name)
			}
		}
	}
	m.SubscribedTopicRegex = n.pattern(m.SubscribedTopicRegex)
}

// pattern is a regular expression (RE2) that matches, as a whole, what another one matches behind
// the prefix. One that does not compile is for the broker to refuse.
func (n *names) pattern(of *string) *string {
	if n.cfg.Prefix == "" || of == nil || *of == "" {
		return of
	}
	out := regexp.QuoteMeta(n.cfg.Prefix) + "(?:" + unanchored(*of) + ")"
	return &out
}

// patternBack inverts pattern, but for a ^ at the beginning.
func (n *names) patternBack(of *string) *string {
	if n.cfg.Prefix == "" || of == nil {
		return of
	}
	s, ok := strings.CutPrefix(*of, regexp.QuoteMeta(n.cfg.Prefix)+"(?:")
	if !ok {
		return of
	}
	s = strings.TrimSuffix(s, ")")
	return &s
}

// unanchored leaves out what says "here begins the name", where it says so: behind a prefix it
// would match nothing.
func unanchored(expr string) string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil || !begins(re) {
		return expr
	}
	if rest, ok := strings.CutPrefix(expr, "^"); ok {
		if re, err := syntax.Parse(rest, syntax.Perl); err == nil && !begins(re) {
			return rest
		}
	}
	return release(re, true).String()
}

// begins reports an expression that says where the name begins.
func begins(re *syntax.Regexp) bool {
	if re.Op == syntax.OpBeginText || re.Op == syntax.OpBeginLine {
		return true
	}
	for _, sub := range re.Sub {
		if begins(sub) {
			return true
		}
	}
	return false
}

// release puts nothing in the place of what says where the name begins, if it can stand there, and
// what matches nothing elsewhere.
func release(re *syntax.Regexp, first bool) *syntax.Regexp {
	switch re.Op {
	case syntax.OpBeginText, syntax.OpBeginLine:
		if first {
			return &syntax.Regexp{Op: syntax.OpEmptyMatch}
		}
		return &syntax.Regexp{Op: syntax.OpNoMatch}
	case syntax.OpConcat:
		out := *re
		out.Sub = nil
		for _, sub := range re.Sub {
			out.Sub = append(out.Sub, release(sub, first))
			first = first && empty(sub)
		}
		return &out
	default:
		out := *re
		out.Sub = nil
		for _, sub := range re.Sub {
			out.Sub = append(out.Sub, release(sub, first))
		}
		return &out
	}
}

// empty reports what matches no character.
func empty(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginText, syntax.OpBeginLine, syntax.OpEmptyMatch, syntax.OpEndText, syntax.OpEndLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	case syntax.OpCapture, syntax.OpConcat, syntax.OpAlternate:
		for _, sub := range re.Sub {
			if !empty(sub) {
				return false
			}
		}
		return true
	}
	return false
}
