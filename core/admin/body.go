package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// NotRead says in plain words why a body of JSON can't be read.
func NotRead(err error) string {
	var kind *json.UnmarshalTypeError
	var long *http.MaxBytesError
	switch {
	case errors.Is(err, io.EOF):
		return "it is empty"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	case errors.As(err, &long):
		return fmt.Sprintf("it is longer than %d bytes", long.Limit)
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Sprintf("the type of %q is wrong, %s", kind.Field, kind.Value)
	case errors.As(err, &kind):
		return "its type is wrong, " + kind.Value
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}
