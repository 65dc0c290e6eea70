package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/logging"
)

// TestIdleConnectionsOfTheAdminListenerEnd, those that have asked for something and those that
// never do.
func TestIdleConnectionsOfTheAdminListenerEnd(t *testing.T) {
	for name, asks := range map[string]bool{"after a call": true, "without one": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &Gateway{logs: logging.New(io.Discard, logging.Settings{})}
				g.live.Store(&live{snap: &config.Snapshot{}})
				a := newAdmin(g)
				defer a.close(time.Second)
				near, far := net.Pipe()
				a.give(far)
				r := bufio.NewReader(near)
				if asks {
					if _, err := near.Write([]byte("GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")); err != nil {
						t.Fatal(err)
					}
					resp, err := http.ReadResponse(r, nil)
					if err != nil || resp.StatusCode != http.StatusOK {
						t.Fatalf("%v %v", resp, err)
					}
					if _, err := io.Copy(io.Discard, resp.Body); err != nil {
						t.Fatal(err)
					}
					_ = resp.Body.Close()
				}
				began := time.Now()
				if _, err := r.ReadByte(); err == nil {
					t.Error("something came")
				}
				if took := time.Since(began); took > idleAdmin {
					t.Errorf("the connection ended after %s", took)
				}
			})
		})
	}
}
