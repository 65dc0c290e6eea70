package clients

import (
	"bufio"
	"context"
	_ "embed" // the Java program
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// Seen is a record as a consumer gets it; a nil Value is null.
type Seen struct {
	Value   []byte
	Headers map[string]string
}

// Header is one of a record.
type Header struct{ Key, Value string }

// Shell is a client of one kind with default settings that does one thing after the other. Its
// errors are what the client's library shows.
type Shell interface {
	// Produce sends a record and waits for its acknowledgement.
	Produce(ctx context.Context, topic string, value []byte, headers ...Header) error
	// Read returns the first n records of a topic of one partition, as a member of a group of its
	// own.
	Read(ctx context.Context, topic string, n int) ([]Seen, error)
	CreateTopic(ctx context.Context, topic string, partitions int) error
	Close() error
}

// FranzShell is franz-go.
func FranzShell(bootstrap, name string) (Shell, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ClientID(name))
	return franz{c, bootstrap, name}, err
}

type franz struct {
	*kgo.Client
	bootstrap, name string
}

func (f franz) Close() error { f.Client.Close(); return nil }

func (f franz) Produce(ctx context.Context, topic string, value []byte, headers ...Header) error {
	r := &kgo.Record{Topic: topic, Value: value}
	for _, h := range headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: []byte(h.Value)})
	}
	return f.ProduceSync(ctx, r).FirstErr()
}

func (f franz) Read(ctx context.Context, topic string, n int) (out []Seen, err error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(f.bootstrap), kgo.ClientID(f.name), kgo.ConsumeTopics(topic), kgo.ConsumerGroup(f.name+"-"+topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for len(out) < n {
		fetches := c.PollFetches(ctx)
		if err := errors.Join(fetches.Err(), ctx.Err()); err != nil {
			return out, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			s := Seen{r.Value, map[string]string{}}
			for _, h := range r.Headers {
				s.Headers[h.Key] = string(h.Value)
			}
			out = append(out, s)
		})
	}
	return out, nil
}

func (f franz) CreateTopic(ctx context.Context, topic string, partitions int) error {
	r, err := kadm.NewClient(f.Client).CreateTopic(ctx, int32(partitions), -1, nil, topic)
	if r.Err != nil {
		return fmt.Errorf("%w %s", r.Err, r.ErrMessage)
	}
	return err
}

//go:embed java/SluiceShell.java
var shellSource []byte

// JavaShell is the Java producer, classic consumer and admin client, in one process.
func JavaShell(ctx context.Context, version, bootstrap, name string) (Shell, error) {
	dir, err := kafkatest.Classes(ctx, version, "SluiceShell", shellSource)
	if err != nil {
		return nil, err
	}
	cmd, err := kafkatest.JVM(context.WithoutCancel(ctx), version, "128m", []string{dir}, "SluiceShell", bootstrap, name)
	if err != nil {
		return nil, err
	}
	j := &javaShell{cmd: cmd}
	cmd.Stderr = &j.stderr
	if j.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	j.out = bufio.NewScanner(out)
	return j, cmd.Start()
}

type javaShell struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr tail
}

// ask sends a line and returns the fields of each answer until the one that ends them.
func (j *javaShell) ask(ctx context.Context, fields ...string) (out [][]string, err error) {
	stop := context.AfterFunc(ctx, func() { _ = j.cmd.Process.Kill() })
	defer stop()
	if _, err := fmt.Fprintln(j.in, strings.Join(fields, "\t")); err != nil {
		return nil, err
	}
	for j.out.Scan() {
		switch f := strings.Split(j.out.Text(), "\t"); f[0] {
		case "ok":
			return out, nil
		case "error":
			return out, errors.New(f[1])
		case "record":
			out = append(out, f[1:])
		}
	}
	return out, fmt.Errorf("the Java client has ended: %s", j.stderr.String())
}

func (j *javaShell) Produce(ctx context.Context, topic string, value []byte, headers ...Header) error {
	fields := []string{"produce", topic, base64.StdEncoding.EncodeToString(value)}
	for _, h := range headers {
		fields = append(fields, h.Key, base64.StdEncoding.EncodeToString([]byte(h.Value)))
	}
	_, err := j.ask(ctx, fields...)
	return err
}

func (j *javaShell) CreateTopic(ctx context.Context, topic string, partitions int) error {
	_, err := j.ask(ctx, "create", topic, fmt.Sprint(partitions))
	return err
}

func (j *javaShell) Read(ctx context.Context, topic string, n int) (out []Seen, err error) {
	list, err := j.ask(ctx, "read", topic, fmt.Sprint(n))
	if err != nil {
		return nil, err
	}
	for _, f := range list {
		s := Seen{Headers: map[string]string{}}
		if f[0] != "null" {
			if s.Value, err = base64.StdEncoding.DecodeString(f[0]); err != nil {
				return out, err
			}
		}
		for i := 1; i+1 < len(f); i += 2 {
			v, err := base64.StdEncoding.DecodeString(f[i+1])
			if err != nil {
				return out, err
			}
			s.Headers[f[i]] = string(v)
		}
		out = append(out, s)
	}
	return out, nil
}

func (j *javaShell) Close() error {
	_ = j.in.Close()
	return j.cmd.Wait()
}
