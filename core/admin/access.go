package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/core/config"
)

// Access decides who may do what, with Basic auth. Without users everybody may do everything.
type Access struct {
	// Users are those of the configuration in force.
	Users func() []config.User
	// Locked, if not nil, is told of callers who have sent so many wrong passwords that they have
	// to wait.
	Locked func(r *http.Request, name string, wait time.Duration)

	lockout lockout
}

type refusedKey struct{}

// Authenticate looks at the Basic auth of a request for all that ask later: a wrong password counts
// once.
func (a *Access) Authenticate(r *http.Request) (*http.Request, config.User, error) {
	u, err := a.authenticate(r)
	if err != nil {
		r = r.WithContext(context.WithValue(r.Context(), refusedKey{}, err))
	}
	return r, u, err
}

// Reader is the user of a request who may look.
func (a *Access) Reader(r *http.Request) (config.User, error) {
	if err, ok := r.Context().Value(refusedKey{}).(error); ok {
		return config.User{}, err
	}
	return a.authenticate(r)
}

func (a *Access) authenticate(r *http.Request) (config.User, error) {
	users := a.Users()
	if len(users) == 0 {
		return config.User{}, nil
	}
	missing := &Error{http.StatusUnauthorized, "send Basic auth of one of the users in `admin: users:`"}
	name, password, ok := r.BasicAuth()
	if !ok {
		return config.User{}, missing
	}
	who := callerOf(r, name)
	if wait := a.lockout.waits(who, time.Now()); wait > 0 {
		return config.User{}, &LockedError{wait}
	}
	var found *config.User
	for i, u := range users {
		if same(u.Name, name) && same(u.Password, password) && found == nil {
			found = &users[i]
		}
	}
	if found != nil {
		a.lockout.right(who)
		return *found, nil
	}
	if wait := a.lockout.wrong(who, time.Now()); wait > 0 && a.Locked != nil {
		a.Locked(r, name, wait)
	}
	return config.User{}, missing
}

// LockedError refuses a caller who has sent too many wrong passwords, without a look at this one.
type LockedError struct{ Wait time.Duration }

func (e *LockedError) Error() string {
	return fmt.Sprintf("too many wrong passwords: wait %d s", seconds(e.Wait))
}

// Unwrap makes it an *Error.
func (e *LockedError) Unwrap() error { return &Error{http.StatusUnauthorized, e.Error()} }

func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// Admin is the user of a request who may change something.
func (a *Access) Admin(r *http.Request) (config.User, error) {
	u, err := a.Reader(r)
	if err == nil && !u.Edits() {
		err = &Error{http.StatusForbidden, u.Name + " has the role reader in `admin: users:`, and this needs the role admin"}
	}
	return u, err
}

// Challenge asks for Basic auth if err is that it is missing, or says how long to wait.
func Challenge(w http.ResponseWriter, err error) {
	var locked *LockedError
	if errors.As(err, &locked) {
		w.Header().Set("Retry-After", strconv.Itoa(seconds(locked.Wait)))
	}
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="sluice"`)
	}
}

func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

type userKey struct{}

// WithUser returns a context of a call that a user makes.
func WithUser(ctx context.Context, u config.User) context.Context {
	return context.WithValue(ctx, userKey{}, u)
}

// User is who made the call that ctx belongs to; false without users.
func User(ctx context.Context) (config.User, bool) {
	u, ok := ctx.Value(userKey{}).(config.User)
	return u, ok && u.Name != ""
}
