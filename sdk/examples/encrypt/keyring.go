package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

const (
	keySize   = 32
	saltSize  = 16
	nonceSize = 12
	// perSalt is how many values are sealed under one derived key. Random nonces of 96 bits may be
	// used for 2^32 of them (NIST SP 800-38D); with 2^20, two that are equal have a chance of
	// 2^-57.
	perSalt = 1 << 20
	// maxOpeners is how many derived keys are kept for decryption.
	maxOpeners = 256
)

var (
	keyID       = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	errTampered = errors.New("the value can't be decrypted: changed, cut, moved from another place, or sealed with another key")
)

// keyring seals with its active key and opens with all. Its keys encrypt nothing themselves: what
// does is derived from them and a random salt, which stands before each value.
type keyring struct {
	keys   map[string][]byte
	active string

	salt    [saltSize]byte
	sealer  cipher.AEAD
	left    int // values that sealer may still seal
	openers map[derived]cipher.AEAD
}

type derived struct {
	id   string
	salt [saltSize]byte
}

func newKeyring(keys map[string]string, active string) (*keyring, error) {
	k := &keyring{keys: map[string][]byte{}, active: active, openers: map[derived]cipher.AEAD{}}
	for id, text := range keys {
		if !keyID.MatchString(id) {
			return nil, fmt.Errorf("config.keys: %q is no key id: up to 64 letters, digits and . _ -", id)
		}
		key, ok := parseKey(strings.TrimSpace(text))
		if !ok {
			return nil, fmt.Errorf("config.keys.%s must be %d bytes in hex or base64, as `openssl rand -hex 32` makes them", id, keySize)
		}
		k.keys[id] = key
	}
	if _, ok := k.keys[active]; !ok {
		return nil, fmt.Errorf("config.active: %q is not in config.keys", active)
	}
	return k, nil
}

func parseKey(s string) ([]byte, bool) {
	key, err := hex.DecodeString(s)
	if err != nil {
		key, err = base64.StdEncoding.DecodeString(s)
	}
	return key, err == nil && len(key) == keySize
}

func (k *keyring) derive(id string, salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, k.keys[id], salt, headerName+" "+formatVersion+" "+id, keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// seal appends salt, nonce and ciphertext to dst.
func (k *keyring) seal(dst, plain, aad []byte) ([]byte, error) {
	if k.left == 0 {
		var salt [saltSize]byte
		_, _ = rand.Read(salt[:]) // never fails: without random numbers the process ends
		sealer, err := k.derive(k.active, salt[:])
		if err != nil {
			return dst, err
		}
		k.salt, k.sealer, k.left = salt, sealer, perSalt
	}
	k.left--
	dst = append(dst, k.salt[:]...)
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:])
	dst = append(dst, nonce[:]...)
	return k.sealer.Seal(dst, dst[len(dst)-nonceSize:], plain, aad), nil
}

// open appends the plaintext to dst.
func (k *keyring) open(dst []byte, id string, sealed, aad []byte) ([]byte, error) {
	if k.keys[id] == nil {
		return dst, fmt.Errorf("the key %q is not in config.keys", id)
	}
	if len(sealed) < saltSize+nonceSize {
		return dst, errTampered
	}
	d := derived{id: id, salt: [saltSize]byte(sealed)}
	opener := k.openers[d]
	if opener == nil {
		var err error
		if opener, err = k.derive(id, sealed[:saltSize]); err != nil {
			return dst, err
		}
		if len(k.openers) >= maxOpeners {
			clear(k.openers)
		}
		k.openers[d] = opener
	}
	plain, err := opener.Open(dst, sealed[saltSize:saltSize+nonceSize], sealed[saltSize+nonceSize:], aad)
	if err != nil {
		return dst, errTampered
	}
	return plain, nil
}
