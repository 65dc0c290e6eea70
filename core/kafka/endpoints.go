package kafka

import "encoding/binary"

// Endpoint is a node, with its address, that an answer to a Produce or Fetch names for all
// partitions (KIP-951).
type Endpoint struct {
	ID   int32
	Host string
	Port int32
	Rack *string
}

// The number of the tagged field that endpoints stand in.
const endpointsTag = 0

// endpoints reads the tagged fields of an answer, of which one lists endpoints.
func (c *cursor) endpoints() (list []Endpoint) {
	if !c.flexible {
		return nil
	}
	for n := c.uvarint(); n > 0 && !c.bad; n-- {
		c.tagged = true
		tag := c.uvarint()
		in := cursor{b: c.take(c.uvarint()), flexible: true}
		if tag != endpointsTag {
			continue
		}
		for k := in.array(); k > 0 && !in.bad; k-- {
			list = append(list, in.endpoint())
		}
		c.bad = c.bad || in.bad
	}
	return list
}

func (c *cursor) endpoint() Endpoint {
	e := Endpoint{ID: c.i32(), Host: string(c.name()), Port: c.i32()}
	if n := c.length(true); n >= 0 {
		rack := string(c.take(n))
		e.Rack = &rack
	}
	c.tags()
	return e
}

// appendEndpoints appends the tagged fields of an answer: endpoints, or nothing.
func appendEndpoints(dst []byte, list []Endpoint) []byte {
	if len(list) == 0 {
		return append(dst, 0)
	}
	field := appendLength(nil, len(list), true)
	for _, e := range list {
		field = binary.BigEndian.AppendUint32(field, uint32(e.ID))
		field = appendString(field, e.Host, true)
		field = binary.BigEndian.AppendUint32(field, uint32(e.Port))
		if e.Rack != nil {
			field = appendString(field, *e.Rack, true)
		} else {
			field = appendNull(field, true)
		}
		field = append(field, 0) // no tagged fields
	}
	dst = binary.AppendUvarint(append(dst, 1, endpointsTag), uint64(len(field)))
	return append(dst, field...)
}

// once leaves out endpoints of nodes that stand before: the Java client refuses a node that is
// listed twice.
func once(list []Endpoint) []Endpoint {
	if len(list) < 2 {
		return list
	}
	seen := make(map[int32]bool, len(list))
	out := make([]Endpoint, 0, len(list))
	for _, e := range list {
		if !seen[e.ID] {
			seen[e.ID] = true
			out = append(out, e)
		}
	}
	return out
}
