package plugin

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/sluice-gateway/sluice/core/internal/turn"
)

// PanicError is a panic of an interceptor, recovered so that it costs only its own request.
type PanicError struct {
	Value any
	Stack []byte
}

// ErrorType is what traces call it.
func (*PanicError) ErrorType() string { return "panic" }

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// Protect runs a handler and turns a panic into a PanicError. Whatever the handler has done with
// it, the request's turn, if it is not given on yet, is.
func Protect(ctx context.Context, req *Request, h Handler) (resp *Response, err error) {
	defer func() {
		turn.Give(req.turn)
		if v := recover(); v != nil {
			resp, err = nil, &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return h.Handle(ctx, req)
}
