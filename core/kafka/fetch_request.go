package kafka

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchSessionAt is where the session id stands in a Fetch request, and behind it the epoch
// (KIP-227).
func fetchSessionAt(version int16) int {
	if Has(kmsg.Fetch, version, NoReplicaID) {
		return 13
	}
	return 17
}

// FetchSession returns the session id and epoch of a Fetch request (KIP-227); ok is false before
// version 7, which has none, and for a body that is too short.
func FetchSession(version int16, body []byte) (id, epoch int32, ok bool) {
	at := fetchSessionAt(version)
	if !Has(kmsg.Fetch, version, FetchSessions) || len(body) < at+8 {
		return 0, -1, false
	}
	return int32(binary.BigEndian.Uint32(body[at:])), int32(binary.BigEndian.Uint32(body[at+4:])), true
}

// LeaveFetchSession makes a Fetch request one without a session, in the bytes.
func LeaveFetchSession(version int16, body []byte) {
	at := fetchSessionAt(version)
	binary.BigEndian.PutUint32(body[at:], 0)
	binary.BigEndian.PutUint32(body[at+4:], 0xffffffff)
}

func flexibleFetch(version int16) bool {
	api, _ := Lookup(kmsg.Fetch)
	return api.flexible(version)
}

// fetchItem is a partition that a Fetch request names or forgets, as bytes.
type fetchItem struct {
	topic     []byte // its name or, from version 13 on, its id
	partition int32
	fixed     []byte // what is asked of it, but for tagged fields
	tags      []byte
	forgotten bool
}

// fixedFetchItem is the length of fetchItem.fixed: the partition, its leader's epoch (9+), the
// offset, the epoch fetched last (12+), the log's start and the limit of bytes.
func fixedFetchItem(version int16) int {
	switch {
	case Has(kmsg.Fetch, version, LastFetchedEpochs):
		return 32
	case Has(kmsg.Fetch, version, LeaderEpochs):
		return 28
	}
	return 24
}

// walkFetch shows what a Fetch request of version 7 or later names and then what it forgets. It
// returns what stands behind that.
func walkFetch(version int16, body []byte, visit func(fetchItem)) (rest []byte, err error) {
	c := cursor{b: body, flexible: flexibleFetch(version), request: true}
	c.take(fetchSessionAt(version) + 8)
	topic := func() []byte {
		if Has(kmsg.Fetch, version, TopicIDs) {
			return c.take(16)
		}
		return c.name()
	}
	for n := c.array(); n > 0 && !c.bad; n-- {
		item := fetchItem{topic: topic()}
		for m := c.array(); m > 0 && !c.bad; m-- {
			if item.fixed = c.take(fixedFetchItem(version)); c.bad {
				break
			}
			item.partition = int32(binary.BigEndian.Uint32(item.fixed))
			at := c.at
			c.tags()
			item.tags = c.b[at:c.at]
			if !c.bad {
				visit(item)
			}
		}
		c.tags()
	}
	for n := c.array(); n > 0 && !c.bad; n-- {
		item := fetchItem{topic: topic(), forgotten: true}
		list := c.take(4 * c.array())
		for ; len(list) > 0; list = list[4:] {
			item.partition = int32(binary.BigEndian.Uint32(list))
			visit(item)
		}
		c.tags()
	}
	if c.bad {
		return nil, &MalformedError{Key: kmsg.Fetch, Version: version, Err: errShort}
	}
	return body[c.at:], nil
}

// FetchNames counts the partitions that a Fetch request of version 7 or later names.
func FetchNames(version int16, body []byte) (n int, err error) {
	_, err = walkFetch(version, body, func(i fetchItem) {
		if !i.forgotten {
			n++
		}
	})
	return n, err
}

// mostLength is the most that appendLength appends.
const mostLength = binary.MaxVarintLen32

// appendLength appends the length of an array or, in flexible versions, of a string.
func appendLength(dst []byte, n int, flexible bool) []byte {
	if flexible {
		return binary.AppendUvarint(dst, uint64(n)+1)
	}
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}

// appendString appends a string.
func appendString[N string | []byte](dst []byte, text N, flexible bool) []byte {
	if flexible {
		dst = binary.AppendUvarint(dst, uint64(len(text)+1))
	} else {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(text)))
	}
	return append(dst, text...)
}

// appendNull appends null in place of a string.
func appendNull(dst []byte, flexible bool) []byte {
	if flexible {
		return append(dst, 0)
	}
	return append(dst, 0xff, 0xff)
}
