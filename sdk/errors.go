package sdk

import (
	"errors"
	"fmt"
	"strconv"
)

// Kafka error codes that plugins answer with. Any other may be used; think of what clients do with
// it.
const (
	RequestTimedOut          int16 = 7 // clients try again
	TopicAuthorizationFailed int16 = 29
	InvalidRequest           int16 = 42
	PolicyViolation          int16 = 44
	InvalidRecord            int16 = 87
	ThrottlingQuotaExceeded  int16 = 89
)

// Error is a refusal with a Kafka error code.
type Error struct {
	Code    int16
	Message string
}

func (e *Error) Error() string { return e.Message + " (" + strconv.Itoa(int(e.Code)) + ")" }

// Errorf returns an *Error: a plugin that returns it refuses the request.
func Errorf(code int16, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// refusal is the code and the message of an error that a plugin returned.
func refusal(err error) (int16, string) {
	var e *Error
	if errors.As(err, &e) {
		return e.Code, e.Message
	}
	return PolicyViolation, err.Error()
}
