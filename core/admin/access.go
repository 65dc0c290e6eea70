package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"

	"github.com/sluice-gateway/sluice/core/config"
)

// Access decides who may do what, with Basic auth. Without users everybody may do everything.
type Access struct {
	// Users are those of the configuration in force.
	Users func() []config.User
}

// Reader is the user of a request who may look.
func (a *Access) Reader(r *http.Request) (config.User, error) {
	users := a.Users()
	if len(users) == 0 {
		return config.User{}, nil
	}
	name, password, _ := r.BasicAuth()
	var found *config.User
	for i, u := range users {
		if same(u.Name, name) && same(u.Password, password) && found == nil {
			found = &users[i]
		}
	}
	if found == nil {
		return config.User{}, &Error{http.StatusUnauthorized, "send Basic auth of one of the users in `admin: users:`"}
	}
	return *found, nil
}

// Admin is the user of a request who may change something.
func (a *Access) Admin(r *http.Request) (config.User, error) {
	u, err := a.Reader(r)
	if err == nil && !u.Edits() {
		err = &Error{http.StatusForbidden, u.Name + " has the role reader in `admin: users:`, and this needs the role admin"}
	}
	return u, err
}

// Challenge asks for Basic auth if err is that it is missing.
func Challenge(w http.ResponseWriter, err error) {
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
