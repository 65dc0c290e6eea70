package admin

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/config"
)

func TestCallsByForeignNamesAreRefused(t *testing.T) {
	for host, own := range map[string]bool{
		"127.0.0.1:8888": true, "127.0.0.1": true, "[::1]:8888": true, "[::1]": true, "10.1.2.3:80": true, "localhost:8888": true, "LOCALHOST": true, "a.localhost": true,
		"ops.example.com": true, "OPS.example.com.:443": true,
		"evil.example.com": false, "localhost.evil.example.com": false, "127.0.0.1.evil.example.com": false, "ops.example.com.evil": false, "": false, "gateway": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/config", nil)
		r.Host = host
		if err := CheckHost(r, []string{"ops.example.com"}); (err == nil) != own {
			t.Errorf("%q: %v", host, err)
		}
	}
}

// door is an Access with a user, and who knocks.
type door struct {
	*Access
	locked []time.Duration
}

func newDoor() *door {
	d := &door{}
	d.Access = &Access{
		Users:  func() []config.User { return []config.User{{Name: "ops", Password: "right"}} },
		Locked: func(_ *http.Request, _ string, wait time.Duration) { d.locked = append(d.locked, wait) },
	}
	return d
}

// knock returns the status, or -1 for one who has to wait.
func (d *door) knock(address, name, password string) int {
	r := httptest.NewRequest(http.MethodGet, "/config", nil)
	r.RemoteAddr = address
	r.SetBasicAuth(name, password)
	r, _, _ = d.Authenticate(r)
	_, err := d.Reader(r) // asked again, it counts once
	var locked *LockedError
	var e *Error
	if errors.As(err, &locked) {
		return -1
	}
	if errors.As(err, &e) {
		return e.Status
	}
	return 200
}

func TestWrongPasswordsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		for range freeTries {
			if got := d.knock("10.0.0.1:1", "ops", "wrong"); got != 401 {
				t.Errorf("%d", got)
			}
		}
		if got := d.knock("10.0.0.1:2", "ops", "right"); got != -1 {
			t.Errorf("the right password is looked at: %d", got)
		}
		if got := d.knock("10.0.0.2:1", "ops", "right"); got != 200 {
			t.Errorf("somebody else waits, too: %d", got)
		}
		time.Sleep(firstWait)
		if got := d.knock("10.0.0.1:3", "ops", "wrong"); got != 401 {
			t.Errorf("%d", got)
		}
		time.Sleep(firstWait)
		if got := d.knock("10.0.0.1:3", "ops", "right"); got != -1 {
			t.Errorf("the second wait is no longer than the first: %d", got)
		}
		time.Sleep(firstWait)
		if got := d.knock("10.0.0.1:3", "ops", "right"); got != 200 {
			t.Errorf("%d", got)
		}
		if len(d.locked) != 2 || d.locked[0] != firstWait || d.locked[1] != 2*firstWait {
			t.Errorf("told of %v", d.locked)
		}
		if got := d.knock("10.0.0.1:3", "ops", "wrong"); got != 401 || len(d.locked) != 2 {
			t.Errorf("it does not begin anew: %d", got)
		}
	})
}

func TestManyCallersTakeLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lockout
		for i := range 3 * mostTried {
			l.wrong(caller{"10.0.0.1", string(rune(i))}, time.Now())
			time.Sleep(time.Millisecond)
		}
		if len(l.all) > mostTried {
			t.Errorf("%d are remembered", len(l.all))
		}
	})
}

func TestNoPasswordIsNoTry(t *testing.T) {
	d := newDoor()
	for range 3 * freeTries {
		r := httptest.NewRequest(http.MethodGet, "/config", nil)
		if _, err := d.Reader(r); err == nil {
			t.Fatal("let in")
		}
	}
	if len(d.locked) > 0 {
		t.Error("locked out")
	}
}
