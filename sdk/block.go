package sdk

import (
	"encoding/binary"
	"time"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

func u16(b []byte, at int) uint16 { return binary.LittleEndian.Uint16(b[at:]) }
func u32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
func u64(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }

// piece is the bytes that stand at an offset and a length.
func piece(b []byte, at int) []byte {
	off, n := u32(b, at), u32(b, at+4)
	return b[off : off+n : off+n]
}

// Context is what is known of a call. It, and everything that it returns as bytes, is valid during
// the call.
type Context struct {
	gateway *Gateway
	block   []byte
	state   []byte // of the result
}

// Gateway is what the plugin may ask.
func (c *Context) Gateway() *Gateway { return c.gateway }

// ClientID is the client id of the request.
func (c *Context) ClientID() string { return string(piece(c.block, abi.HeadClient)) }

// Principal is who the client is, "" without authentication.
func (c *Context) Principal() string { return string(piece(c.block, abi.HeadPrincipal)) }

// VirtualCluster is the name of the virtual cluster.
func (c *Context) VirtualCluster() string { return string(piece(c.block, abi.HeadVirtualCluster)) }

// Address is the client's address, host:port.
func (c *Context) Address() string { return string(piece(c.block, abi.HeadAddress)) }

// ServerName is the name that the client asked for in TLS, "" without TLS.
func (c *Context) ServerName() string { return string(piece(c.block, abi.HeadServerName)) }

// Cluster is the cluster that the request goes to, "" above routing.
func (c *Context) Cluster() string { return string(piece(c.block, abi.HeadCluster)) }

// Key is the number of the API, Version the version of the request.
func (c *Context) Key() int16 { return int16(u16(c.block, abi.HeadKey)) }

// Version is the version of the request.
func (c *Context) Version() int16 { return int16(u16(c.block, abi.HeadVersion)) }

// CorrelationID is the client's number of the request.
func (c *Context) CorrelationID() int32 { return int32(u32(c.block, abi.HeadCorrelation)) }

// SessionID is the number of the client's connection.
func (c *Context) SessionID() uint64 { return u64(c.block, abi.HeadSession) }

// RequestID is the number of the request in its session.
func (c *Context) RequestID() uint64 { return u64(c.block, abi.HeadRequest) }

// Deadline is when the call is ended.
func (c *Context) Deadline() time.Time { return time.Unix(0, int64(u64(c.block, abi.HeadDeadline))) }

// State is what the request's call left with SetState, when the response comes.
func (c *Context) State() []byte { return piece(c.block, abi.HeadState) }

// SetState leaves up to StateMax bytes, of a request, for the call of its response or for the
// records of its response: those may run on another instance. Calls of records and sessions leave
// nothing.
func (c *Context) SetState(b []byte) { c.state = append(c.state[:0], b...) }

// result writes a result block into out, but for one with edits: see Records.result.
func result(out []byte, action uint16, code int16, message string, state, body []byte) []byte {
	le := binary.LittleEndian
	out = out[:0]
	for range abi.ResultSize {
		out = append(out, 0)
	}
	le.PutUint32(out[abi.ResultLen:], abi.ResultSize)
	le.PutUint16(out[abi.ResultAction:], action)
	le.PutUint16(out[abi.ResultCode:], uint16(code))
	add := func(at int, b []byte) {
		if b == nil {
			return
		}
		le.PutUint32(out[at:], uint32(len(out)))
		le.PutUint32(out[at+4:], uint32(len(b)))
		out = append(out, b...)
	}
	if message != "" {
		add(abi.ResultMessage, []byte(message))
	}
	add(abi.ResultState, state)
	add(abi.ResultBody, body)
	return out
}
