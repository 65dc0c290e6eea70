package console

import "strings"

// A page is sent whole once, and then only what has changed of it: its parts. Parts are the
// elements that begin as one of these, up to where that element ends; none holds another one of the
// same kind. A section holds the others.
var (
	inner = []string{"tr", "article", "p"}
	outer = []string{"section"}
)

// mark stands for a part where it is taken out; text of others never has it, since templates
// replace it.
const mark = "\x00"

// parted is a rendered page by its parts.
type parted struct {
	rest     string            // with the marks of sections and of what stands outside of them
	sections map[string]string // by id, with marks
	leaves   map[string]string
	order    []string // ids of leaves and sections as they stand
}

func part(page string) parted {
	p := parted{sections: map[string]string{}, leaves: map[string]string{}}
	page = p.take(page, inner, p.leaves)
	p.rest = p.take(page, outer, p.sections)
	return p
}

// take puts a mark in the place of each part.
func (p *parted) take(page string, tags []string, into map[string]string) string {
	var b strings.Builder
	for {
		at, tag := -1, ""
		for _, t := range tags {
			if i := strings.Index(page, "<"+t+` id="`); i >= 0 && (at < 0 || i < at) {
				at, tag = i, t
			}
		}
		if at < 0 {
			b.WriteString(page)
			return b.String()
		}
		id, _, _ := strings.Cut(page[at+len("<"+tag+` id="`):], `"`)
		end := strings.Index(page[at:], "</"+tag+">")
		if end < 0 {
			b.WriteString(page)
			return b.String()
		}
		end += at + len("</"+tag+">")
		into[id] = page[at:end]
		p.order = append(p.order, id)
		b.WriteString(page[:at] + mark + id + mark)
		page = page[end:]
	}
}

// whole puts the parts back into a section.
func (p parted) whole(section string) string {
	pieces := strings.Split(section, mark)
	for i := 1; i < len(pieces); i += 2 {
		pieces[i] = p.leaves[pieces[i]]
	}
	return strings.Join(pieces, "")
}

// since lists the parts that are another than before; ok is false if more than parts has changed.
func (p parted) since(before parted) (changed []string, ok bool) {
	if p.rest != before.rest {
		return nil, false
	}
	sent := map[string]bool{}
	for _, id := range p.order {
		s, is := p.sections[id]
		if !is || s == before.sections[id] {
			continue
		}
		changed = append(changed, swap(p.whole(s)))
		pieces := strings.Split(s, mark)
		for i := 1; i < len(pieces); i += 2 {
			sent[pieces[i]] = true
		}
	}
	for _, id := range p.order {
		if leaf, is := p.leaves[id]; is && leaf != before.leaves[id] && !sent[id] {
			changed = append(changed, swap(leaf))
		}
	}
	return changed, true
}

// swap says in an element that it takes the place of the one with its id.
func swap(element string) string {
	tag, rest, _ := strings.Cut(element, " ")
	return tag + ` hx-swap-oob="morph" ` + rest
}
