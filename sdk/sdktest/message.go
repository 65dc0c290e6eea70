package sdktest

import (
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Answer is what a plugin made of a message.
type Answer struct {
	// Forward is the body that goes on, nil for the one that was shown; Respond is the body that
	// answers a request, nil if it goes on. Into reads one.
	Forward, Respond []byte
	// State is what the plugin left for the response.
	State []byte
	// Refused is not nil if the plugin refused the message.
	Refused *sdk.Error
	// Closed reports that the connection is closed, after the answer if there is one.
	Closed bool
}

// Into reads a body of an Answer into a message whose version is set.
func Into[M sdk.Message](body []byte, m M) (M, error) {
	if body == nil {
		return m, errors.New("there is no body")
	}
	return m, m.ReadFrom(body)
}

// Request shows a request, of the version that is set in it, to a plugin.
func Request(g *sdk.Guest, c Client, m sdk.Message) (Answer, error) {
	return message(g, abi.KindRequest, c, m, nil)
}

// Response shows a response to a plugin, with the state that the request left.
func Response(g *sdk.Guest, c Client, m sdk.Message, state []byte) (Answer, error) {
	return message(g, abi.KindResponse, c, m, state)
}

func message(g *sdk.Guest, kind uint16, c Client, m sdk.Message, state []byte) (a Answer, err error) {
	b := Block(kind, uint16(m.Key()), uint16(m.GetVersion()), c, nil)
	for _, p := range []struct {
		at    int
		bytes []byte
	}{{abi.HeadState, state}, {abi.HeadBody, m.AppendTo(nil)}} {
		le.PutUint32(b[p.at:], uint32(len(b)))
		le.PutUint32(b[p.at+4:], uint32(len(p.bytes)))
		b = append(b, p.bytes...)
	}
	res := g.Call(b)
	if res == nil {
		return a, nil
	}
	piece := func(at int) []byte {
		if le.Uint32(res[at:]) == 0 {
			return nil
		}
		return append([]byte{}, pieceOf(res, at)...)
	}
	if a.State = piece(abi.ResultState); len(a.State) > sdk.StateMax {
		return a, fmt.Errorf("a state of %d bytes, at most %d", len(a.State), sdk.StateMax)
	}
	switch action := le.Uint16(res[abi.ResultAction:]); action {
	case abi.ActionForward:
		a.Forward = piece(abi.ResultBody)
	case abi.ActionRespond, abi.ActionRespondClose:
		a.Respond, a.Closed = piece(abi.ResultBody), action == abi.ActionRespondClose
	case abi.ActionClose:
		a.Closed = true
	case abi.ActionError:
		a.Refused = &sdk.Error{Code: int16(le.Uint16(res[abi.ResultCode:])), Message: string(piece(abi.ResultMessage))}
	default:
		return a, fmt.Errorf("unknown action %d", action)
	}
	return a, nil
}
