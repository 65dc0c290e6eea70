package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"

	"github.com/twmb/franz-go/pkg/kerr"
)

// otherError is what the conventions say of an error without a type that tells anything.
const otherError = "_OTHER"

// kind is an error whose kind traces name.
type kind struct{ kind, text string }

// NewError is errors.New for one that error.type calls a kind.
func NewError(name, text string) error { return &kind{name, text} }

func (k *kind) Error() string     { return k.text }
func (k *kind) ErrorType() string { return k.kind }

// KindOf is the error.type of an error: what it, or one that it wraps, says of itself by a method
// ErrorType, the name of Kafka's error, a time limit or the end of who waited, or the type of the
// innermost error that is more than a text. There are few of them.
func KindOf(err error) string {
	var named interface{ ErrorType() string }
	var kafka *kerr.Error
	var limited net.Error
	switch {
	case errors.As(err, &named):
		return named.ErrorType()
	case errors.As(err, &kafka):
		return kafka.Message
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &limited) && limited.Timeout():
		return "timeout"
	}
	if t := typeOf(err); t != nil {
		return t.String()
	}
	return otherError
}

// texted are the types of errors that are a text alone, or wrap others in one.
var texted = func() map[reflect.Type]bool {
	text, out := errors.New("text"), map[reflect.Type]bool{}
	for _, err := range []error{text, errors.Join(text), fmt.Errorf("%d", 1), fmt.Errorf("%w", text), fmt.Errorf("%w, %w", text, text)} {
		out[reflect.TypeOf(err)] = true
	}
	return out
}()

func typeOf(err error) reflect.Type {
	switch wrapped := any(err).(type) { // one after the other
	case nil:
		return nil
	case interface{ Unwrap() error }:
		if t := typeOf(wrapped.Unwrap()); t != nil {
			return t
		}
	case interface{ Unwrap() []error }:
		for _, e := range wrapped.Unwrap() {
			if t := typeOf(e); t != nil {
				return t
			}
		}
	}
	if t := reflect.TypeOf(err); !texted[t] {
		return t
	}
	return nil
}
