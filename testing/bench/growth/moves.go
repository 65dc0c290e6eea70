package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/failover"
)

// failedOver is what it takes to move `default`: the half of the topics that live where it says.
type failedOver struct {
	topics    int
	wall, cpu time.Duration
	state     int64         // bytes written to disk
	hold      time.Duration // the longest that clients of a topic are held, by the moves
	pause     time.Duration // the longest that a client waits for an answer
}

// failOver edits the file and waits until everything that lived on prod lives on dr, while clients
// write.
func (g *gateway) failOver(ctx context.Context, topics int) (out failedOver, err error) {
	text, err := os.ReadFile(g.file)
	if err != nil {
		return out, err
	}
	clients, err := g.produceTo(ctx, topics)
	if err != nil {
		return out, err
	}
	defer func() {
		pause, cerr := clients.end()
		out.pause, err = pause, errors.Join(err, cerr)
	}()
	stored := written()
	began, was := time.Now(), used()
	if err := os.WriteFile(g.file, []byte(strings.Replace(string(text), "default: prod", "default: dr", 1)), 0o600); err != nil {
		return out, err
	}
	err = g.moved(&out)
	out.wall, out.cpu = time.Since(began), used()-was
	out.state = written() - stored
	return out, err
}

// written is how many bytes the process has written to disks. It is known on Linux alone.
func written() (n int64) {
	text, _ := os.ReadFile("/proc/self/io")
	for line := range strings.Lines(string(text)) {
		if v, found := strings.CutPrefix(line, "write_bytes: "); found {
			n, _ = strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		}
	}
	return n
}

// moved waits until no topic lives elsewhere than it should. What it asks for while there are
// moves costs little.
func (g *gateway) moved(out *failedOver) error {
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var s admin.Status
		var elsewhere []admin.Topic
		var past []failover.Report
		if err := g.get("status", &s); err != nil {
			return err
		}
		if s.OpenMoves > 0 {
			continue
		}
		if err := g.get("moves?state=done", &past); err != nil {
			return err
		}
		if err := g.get("topics/vc?state=elsewhere&page=1", &elsewhere); err != nil {
			return err
		}
		if len(past) == 0 || len(elsewhere) > 0 {
			continue
		}
		out.topics = len(past)
		for _, m := range past {
			out.hold = max(out.hold, time.Duration(m.PauseMS)*time.Millisecond)
		}
		return nil
	}
	return errors.New("not all topics have moved after five minutes")
}

// get asks the admin API.
func (g *gateway) get(path string, into any) error {
	resp, err := http.Get("http://" + g.admin + admin.Prefix + path)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// each is the CPU for one topic.
func (f failedOver) each() time.Duration { return f.cpu / time.Duration(max(f.topics, 1)) }
