package mask

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"github.com/sluice-gateway/sluice/sdk/examples/internal/jsonspan"
)

// cover hides a JSON value. It changes the bytes where they stand if it can; otherwise it returns
// what to put in their place.
type cover func(value []byte) (text []byte, changed bool)

const minKey = 16

func newCover(c config) (cover, error) {
	if c.Mode != "hash" && c.Key != "" {
		return nil, fmt.Errorf("config.key is for mode hash only, not %s", c.Mode)
	}
	switch c.Mode {
	case "redact":
		return func(v []byte) ([]byte, bool) { return stars(v, 0) }, nil
	case "last4":
		return func(v []byte) ([]byte, bool) { return stars(v, 4) }, nil
	case "hash":
		if len(c.Key) < minKey {
			return nil, fmt.Errorf("config.key must have at least %d characters: without a secret, hashes of short values can be reversed", minKey)
		}
		if c.Length < 8 || c.Length > 2*sha256.Size {
			return nil, fmt.Errorf("config.length must be from 8 to %d hex digits", 2*sha256.Size)
		}
		return hasher(c), nil
	}
	return nil, fmt.Errorf("config.mode: %q is not one of redact, last4, hash", c.Mode)
}

// stars covers the characters of a string but for the last few, and makes null of all other values.
func stars(v []byte, show int) ([]byte, bool) {
	if v[0] != '"' {
		return null(v)
	}
	inside := v[1 : len(v)-1]
	// A short text would be recognised by what is shown of it. Escapes are not cut.
	if show > 0 && (utf8.RuneCount(inside) <= 2*show || bytes.IndexByte(inside, '\\') >= 0) {
		show = 0
	}
	for ; show > 0; show-- {
		_, n := utf8.DecodeLastRune(inside)
		inside = inside[:len(inside)-n]
	}
	for i := range inside {
		inside[i] = '*'
	}
	return nil, len(inside) > 0
}

// null writes null, which may be padded, over a value that is no string.
func null(v []byte) ([]byte, bool) {
	const word = "null"
	switch {
	case string(v) == word:
		return nil, false
	case len(v) < len(word):
		return []byte(word), true
	}
	for i := copy(v, word); i < len(v); i++ {
		v[i] = ' '
	}
	return nil, true
}

// hasher makes strings of hashes of strings and numbers: the same for the same, so that joins still
// work.
func hasher(c config) cover {
	h := hmac.New(sha256.New, []byte(c.Key))
	var sum, digits []byte
	return func(v []byte) ([]byte, bool) {
		switch v[0] {
		case '{', 't', 'f', 'n':
			return null(v)
		case '"':
			if v = v[1 : len(v)-1]; bytes.IndexByte(v, '\\') >= 0 {
				v = []byte(jsonspan.Text(v))
			}
		}
		h.Reset()
		_, _ = h.Write(v) // never fails
		sum = h.Sum(sum[:0])
		digits = hex.AppendEncode(digits[:0], sum)
		text := make([]byte, 0, c.Length+2)
		text = append(text, '"')
		text = append(text, digits[:c.Length]...)
		return append(text, '"'), true
	}
}
