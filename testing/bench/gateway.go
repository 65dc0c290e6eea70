package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// File writes a gateway's file for a sink: the chain passes everything through, or is the whole
// built-in one. It returns the file and the address of the sink's virtual node.
func File(dir, sink string, chain bool) (file, addr string, err error) {
	if chain {
		return ChainFile(dir, sink, "[routing: {default: prod}, topics: {}, offsets: {}]", "")
	}
	return ChainFile(dir, sink, "[]", "")
}

// ChainFile is File with a chain that the caller has written, and with what there is in the section
// telemetry besides a quiet log.
func ChainFile(dir, sink, chain, telemetry string) (file, addr string, err error) {
	port, err := kafkatest.FreePorts(4)
	if err != nil {
		return "", "", err
	}
	if telemetry != "" {
		telemetry = ", " + telemetry
	}
	text := fmt.Sprintf(`clusters:
  prod: {bootstrap: [%q], nodes: 0-1}
telemetry: {log: {level: error}%s}
virtual_clusters:
  vc:
    listen: {bootstrap: "127.0.0.1:%d", brokers: {ports: %d-%d}}
    chain: %s
`, sink, telemetry, port, port+1, port+2, chain)
	file = filepath.Join(dir, "sluice.yaml")
	return file, fmt.Sprintf("127.0.0.1:%d", port+1), os.WriteFile(file, []byte(text), 0o600)
}

// Client sends one frame again and again over a connection; it allocates nothing.
type Client struct {
	net.Conn
	frame []byte
	buf   []byte
	have  int
	epoch int // where the epoch of a fetch session stands in the frame, 0: nowhere
}

// Places in the frames of FetchVersion, with the client id "bench".
const (
	requestSession  = 4 + 16 + 17 // size, header, what stands before the session's id
	responseSession = 4 + 5 + 6   // size, header, throttle time and code
)

// DialSession connects a client that goes on with a fetch session, which frame begins. In each of
// its requests it names the partitions of next.
func DialSession(addr string, frame, next []byte) (*Client, error) {
	c, err := Dial(addr, bytes.Clone(frame))
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(c.frame[requestSession+4:], 0)
	if err := errors.Join(c.Send(1), c.fill(responseSession+4)); err != nil {
		return nil, err
	}
	id := c.buf[responseSession : responseSession+4]
	if binary.BigEndian.Uint32(id) == 0 {
		return nil, errors.New("no fetch session")
	}
	c.frame = bytes.Clone(next)
	copy(c.frame[requestSession:], id)
	c.epoch = requestSession + 4
	binary.BigEndian.PutUint32(c.frame[c.epoch:], 0)
	return c, c.Receive(1)
}

// Dial connects a client.
func Dial(addr string, frame []byte) (*Client, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Client{Conn: c, frame: frame, buf: make([]byte, 256<<10)}, c.SetDeadline(time.Now().Add(5 * time.Minute))
}

// Code sends a fetch and returns the code of its answer.
func (c *Client) Code() (int16, error) {
	if err := errors.Join(c.Send(1), c.fill(responseSession)); err != nil {
		return 0, err
	}
	code := int16(binary.BigEndian.Uint16(c.buf[responseSession-2:]))
	return code, c.Receive(1)
}

// Send sends n requests at once.
func (c *Client) Send(n int) error {
	for range n {
		if c.epoch > 0 {
			e := c.frame[c.epoch:]
			binary.BigEndian.PutUint32(e, binary.BigEndian.Uint32(e)+1)
		}
		if _, err := c.Write(c.frame); err != nil {
			return err
		}
	}
	return nil
}

// Receive reads n answers.
func (c *Client) Receive(n int) error {
	for ; n > 0; n-- {
		if err := c.fill(4); err != nil {
			return err
		}
		size := int(c.buf[0])<<24 | int(c.buf[1])<<16 | int(c.buf[2])<<8 | int(c.buf[3])
		if err := c.skip(4 + size); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) fill(n int) error {
	for c.have < n {
		m, err := c.Read(c.buf[c.have:])
		if err != nil {
			return err
		}
		c.have += m
	}
	return nil
}

// skip drops n bytes, of which some may be buffered.
func (c *Client) skip(n int) error {
	for n > 0 {
		if c.have == 0 {
			m, err := c.Read(c.buf)
			if err != nil {
				return err
			}
			if m == 0 {
				return io.ErrUnexpectedEOF
			}
			c.have = m
		}
		k := min(n, c.have)
		copy(c.buf, c.buf[k:c.have])
		c.have -= k
		n -= k
	}
	return nil
}

// Introduce asks for metadata, as every client does first: the gateway gets to know the topic.
func Introduce(addr string) error {
	_, err := TopicID(addr)
	return err
}

// TopicID asks for the topic's id, as Introduce does.
func TopicID(addr string) (id [16]byte, err error) {
	const version = 12
	m := kmsg.NewPtrMetadataRequest()
	m.SetVersion(version)
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(Topic)
	m.Topics = append(m.Topics, t)
	c, err := Dial(addr, Frame(kmsg.Metadata, version, m.AppendTo))
	if err != nil {
		return id, err
	}
	if err := errors.Join(c.Send(1), c.fill(4)); err != nil {
		return id, err
	}
	size := int(binary.BigEndian.Uint32(c.buf))
	if err := c.fill(4 + size); err != nil {
		return id, err
	}
	_, body, err := kafka.ParseResponse(kmsg.Metadata, version, c.buf[4:4+size])
	if err != nil {
		return id, err
	}
	answer, err := kafka.NewResponseBody(kmsg.Metadata, version, body).Peek()
	if err != nil {
		return id, err
	}
	return answer.(*kmsg.MetadataResponse).Topics[0].TopicID, c.Close()
}
