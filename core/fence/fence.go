// Package fence asks a service of the operator's, by HTTP, to keep writers that go past the gateway
// away from a topic on a cluster, and to let them in again.
package fence

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Action is what a call asks for.
type Action string

// The actions.
const (
	Raise Action = "fence"
	Lift  Action = "unfence"
)

// Call is what the service is told, as JSON. It may be told the same again, such as after a restart
// of the gateway.
type Call struct {
	Action Action `json:"action"`
	// Number is higher in every call than in those before: one with a lower number than another
	// about the same topic and cluster comes late, and counts no more.
	Number         int64  `json:"number"`
	VirtualCluster string `json:"virtual_cluster"`
	Topic          string `json:"topic"`         // as clients know it
	Cluster        string `json:"cluster"`       // where the fence stands
	ClusterTopic   string `json:"cluster_topic"` // what the topic is called there
	// Move is the id of the move that the fence was raised for, To its new home, and Planned
	// whether the old one could be asked.
	Move    string `json:"move"`
	To      string `json:"to"`
	Planned bool   `json:"planned"`
}

// connections is how many calls are on their way at once.
const connections = 32

// told is how much of what the service answers is shown, in bytes.
const told = 200

// Hook is the service.
type Hook struct {
	to      string
	headers map[string]string
	timeout time.Duration
	client  *http.Client
	broken  error
}

// New makes a hook of a URL; it connects when it is asked. tls is nil for what the machine trusts.
func New(to string, headers map[string]string, tls *tls.Config, timeout time.Duration) *Hook {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig, t.MaxConnsPerHost, t.MaxIdleConnsPerHost = tls, connections, connections
	return &Hook{to: to, headers: headers, timeout: timeout, client: &http.Client{
		Transport: t,
		// A POST that is redirected would become a GET, which asks for nothing.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Broken is a hook that can't be asked, for a reason: who needs it must not go on without.
func Broken(reason error) *Hook { return &Hook{broken: reason} }

// Close gives connections back that are not in use.
func (h *Hook) Close() {
	if h.client != nil {
		h.client.CloseIdleConnections()
	}
}

// Ask makes one call, and waits for the answer, for the timeout of the hook at most. Any answer but
// a 2xx is an error. No error shows the URL or a header.
func (h *Hook) Ask(ctx context.Context, c Call) error {
	if h.broken != nil {
		return fmt.Errorf("the fence hook can't be asked: %w", h.broken)
	}
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, http.MethodPost, h.to, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range h.headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/json")
	// With it the client sends a call again whose connection the service had just closed.
	req.Header.Set("Idempotency-Key", strconv.FormatInt(c.Number, 10))
	resp, err := h.client.Do(req)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return fmt.Errorf("the fence hook has not answered: %w", ctx.Err())
	case limited.Err() != nil:
		return fmt.Errorf("the fence hook has not answered within %s", h.timeout)
	default:
		var asked *url.Error
		if errors.As(err, &asked) {
			err = asked.Err
		}
		return fmt.Errorf("the fence hook can't be reached: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	says, _ := io.ReadAll(io.LimitReader(resp.Body, told))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("the fence hook answers %d %s%s", resp.StatusCode, http.StatusText(resp.StatusCode), line(says))
	}
	return nil
}

// line is the first line of an answer, as the end of a sentence.
func line(says []byte) string {
	first, _, _ := strings.Cut(strings.TrimSpace(string(says)), "\n")
	if first == "" {
		return ""
	}
	return ": " + strings.Trim(strconv.Quote(first), `"`)
}
