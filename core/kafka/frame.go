// Package kafka turns bytes into messages and back: frames, headers, the table of APIs, lazy
// bodies, record batches and error responses. It knows nothing of Sluice.
package kafka

import (
	"encoding/binary"
	"fmt"
	"io"
)

// FrameSizeError is a frame whose size is negative or above the limit. It is found before anything
// is allocated; TLS bytes on a plain port look like one.
type FrameSizeError struct {
	Size  int32
	Limit int
}

func (e *FrameSizeError) Error() string {
	return fmt.Sprintf("frame of %d bytes (limit %d): not Kafka, TLS on a plain port, or limits.frame_bytes is too small", e.Size, e.Limit)
}

// FrameSize reads a frame's size. An error is a *FrameSizeError.
func FrameSize(head [4]byte, limit int) (int, error) {
	size := int32(binary.BigEndian.Uint32(head[:]))
	if size < 0 || int(size) > limit {
		return 0, &FrameSizeError{Size: size, Limit: limit}
	}
	return int(size), nil
}

// ReadFrame reads one size-delimited frame and returns it without its size. It reuses buf when its
// capacity suffices.
func ReadFrame(r io.Reader, limit int, buf []byte) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size, err := FrameSize(head, limit)
	if err != nil {
		return nil, err
	}
	if cap(buf) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	if _, err := io.ReadFull(r, buf); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buf, nil
}
