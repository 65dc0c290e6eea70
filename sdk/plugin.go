package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Producer is a plugin that sees the records of Produce requests before they are forwarded. An
// error refuses the request: an *Error with its code, any other with POLICY_VIOLATION.
type Producer interface{ OnProduce(*Records) error }

// Fetcher is a plugin that sees the records of Fetch responses before clients do. An error refuses
// them.
type Fetcher interface{ OnFetch(*Records) error }

// Configurer is a plugin that has a `config:` in the YAML, which comes as JSON; {} if the YAML has
// none. See ReadConfig.
type Configurer interface{ Configure(json []byte) error }

// ReadConfig reads a configuration into a struct, and refuses what the struct does not have: a key
// that is misspelt should not be one that is left out.
func ReadConfig(b []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("config: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if d.More() {
		return errors.New("config: more than one value")
	}
	return nil
}

// Watcher is a plugin that sees clients connect and disconnect. An error closes the connection.
type Watcher interface{ OnSession(*Session) error }

// Ticker is a plugin that is called from time to time, on one of its instances; see Every.
type Ticker interface {
	OnTick(g *Gateway, now time.Time)
}

// SelfTester is a plugin that tests itself when it is loaded, after Configure: a version that fails
// does not take the place of the one before.
type SelfTester interface{ SelfTest() error }

// Closer is a plugin that is told of its end.
type Closer interface{ Close() }

// Event is what happened to a session.
type Event uint16

// The events of sessions.
const (
	Connected     Event = abi.SessionConnect
	Authenticated Event = abi.SessionAuthenticated
	Disconnected  Event = abi.SessionDisconnect
)

// Session is a client's connection.
type Session struct{ Context }

// Event is what happened.
func (s *Session) Event() Event { return Event(u16(s.block, abi.HeadFlags)) }
