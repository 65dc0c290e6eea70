package protocol

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// stream is a page of the console as it comes to who follows it, by lines.
func (h *house) stream(path string) *bufio.Scanner {
	h.t.Helper()
	req := must(http.NewRequestWithContext(h.ctx, http.MethodGet, h.gw.Admin+path, nil))
	req.SetBasicAuth("none", "none")
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = resp.Body.Close() })
	return bufio.NewScanner(resp.Body)
}

// TestAStreamCarriesWhatClientsCallThemselves: a client's id can't end the event that shows it, nor
// begin another.
func TestAStreamCarriesWhatClientsCallThemselves(t *testing.T) {
	h := build(t, "orders")
	const id = "\r\rretry: 9\r\n\r\nevent: x\rdata: <b>"
	h.produce(h.client(h.gw.Bootstrap, kgo.ClientID(id)), "orders", "x", 1)
	events := h.stream("/console/clients")
	var data []string
	for events.Scan() && events.Text() != "" {
		line := events.Text()
		if strings.Contains(line, "\r") || line != "event: page" && !strings.HasPrefix(line, "data: ") {
			t.Fatalf("a line of the stream is %q", line)
		}
		data = append(data, strings.TrimPrefix(line, "data: "))
	}
	page := strings.Join(data, "\n")
	if !strings.Contains(page, "event: x\ndata: &lt;b&gt;") || !strings.HasSuffix(strings.TrimSpace(page), "</section>") {
		t.Errorf("the event is not the whole page:\n%s", page)
	}
}

// TestAStreamShowsErrorsAsThePageDoes: what can no longer be shown is said in the same banner.
func TestAStreamShowsErrorsAsThePageDoes(t *testing.T) {
	h := build(t, "orders")
	first := h.stream("/console/moves/none")
	for first.Scan() && first.Text() != "" {
		if strings.Contains(first.Text(), `role="alert">there is no such move<`) {
			return
		}
	}
	t.Error("the error does not look like one")
}
