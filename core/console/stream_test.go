package console

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes are a listener of connections in memory, whose buffers are empty: what nobody reads can't
// be written.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// browse opens the stream of a page. What it says is to be read from it.
func (p pipes) browse(t *testing.T, path string) *bufio.Reader {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { _ = near.Close() })
	p <- far
	if _, err := near.Write([]byte("GET " + path + " HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(near)
}

// serve opens a console that counts.
func serve(t *testing.T, c *Console) pipes {
	t.Helper()
	p := make(pipes)
	s := &http.Server{Handler: c}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(p) }()
	t.Cleanup(func() {
		c.Close()
		close(p)
		<-done
		_ = s.Close()
	})
	return p
}

// event reads the next one: its name and its data.
func event(t *testing.T, r *bufio.Reader) (name, data string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		line = strings.TrimRight(line, "\r\n")
		switch field, value, _ := strings.Cut(line, ": "); field {
		case "event":
			name = value
		case "data":
			data += value + "\n"
		case "":
			if name != "" {
				return name, data
			}
		}
	}
}

// TestAStreamSendsWhatHasChanged: the page, and then the rows that are other ones.
func TestAStreamSendsWhatHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newCrowd()
		c := New(g, open)
		r := serve(t, c).browse(t, "/console/moves?state=open")
		name, page := event(t, r)
		if name != "page" || len(ids(page)) != 100 {
			t.Fatalf("the first is %s, with %d rows", name, len(ids(page)))
		}
		g.mu.Lock()
		g.moves[1299].Error = "something else"
		g.mu.Unlock()
		name, parts := event(t, r)
		if name != "parts" || !slices.Equal(ids(strings.ReplaceAll(parts, `hx-swap-oob="morph" `, "")), []string{"open-m-01299"}) || !strings.Contains(parts, "something else") {
			t.Errorf("the second is %s, with %d bytes", name, len(parts))
		}
		if !strings.HasPrefix(parts, `<tr hx-swap-oob="morph" id="open-m-01299">`) {
			t.Errorf("it does not say where it belongs: %.80s", parts)
		}
		// What comes and goes changes the list.
		g.mu.Lock()
		g.moves = g.moves[:1299]
		g.mu.Unlock()
		if name, parts = event(t, r); name != "parts" || !strings.HasPrefix(parts, `<section hx-swap-oob="morph" id="history">`) || strings.Contains(parts, "m-01299") {
			t.Errorf("the third is %s, %.80s", name, parts)
		}
	})
}

// TestWhatDoesNotChangeIsNotSent.
func TestWhatDoesNotChangeIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, New(newCrowd(), open)).browse(t, "/console/moves?page=9")
		event(t, r)
		sent := make(chan struct{})
		go func() { defer close(sent); _, _ = r.ReadByte(); _, _ = r.ReadString(0) }()
		select {
		case <-sent:
			t.Error("something is sent of a page that does not change")
		case <-time.After(10 * time.Second):
		}
	})
}

// TestABrowserThatDoesNotReadHoldsUpNobody, and is left after a while.
func TestABrowserThatDoesNotReadHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newCrowd()
		c := New(g, open)
		c.Start()
		p := serve(t, c)
		deaf := p.browse(t, "/console/")
		var others []*bufio.Reader
		for range 5 {
			others = append(others, p.browse(t, "/console/"))
		}
		for range 5 {
			for _, r := range others {
				event(t, r)
			}
		}
		time.Sleep(2 * sendLimit)
		if _, err := deaf.ReadString(0); err == nil {
			t.Error("who does not read is still written to")
		}
	})
}

// TestManyBrowsersAskClustersOnce.
func TestManyBrowsersAskClustersOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newCrowd()
		p := serve(t, New(g, open))
		var all []*bufio.Reader
		for range 10 {
			all = append(all, p.browse(t, "/console/topics/shop"))
		}
		for _, r := range all {
			event(t, r)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.topics != 1 {
			t.Errorf("clusters were asked %d times", g.topics)
		}
	})
}

// TestThePageHasItsRatesAtOnce: the server counts, whether somebody looks or not.
func TestThePageHasItsRatesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newCrowd()
		c := New(g, open)
		c.Start()
		defer c.Close()
		time.Sleep(70*time.Second + time.Millisecond)
		_, page := ask(c, "GET", "/console/", nil)
		if !strings.Contains(page, "<b>10<i>/s</i></b>") {
			t.Error("the overview has no rate of 10 requests per second")
		}
		_, points, _ := strings.Cut(page, `points="`)
		points, _, _ = strings.Cut(points, `"`)
		if n := len(strings.Fields(points)); n != looks {
			t.Errorf("the line has %d points", n)
		}
		_, page = ask(c, "GET", "/console/topics/shop", nil)
		// 10 in each of 6 partitions, and counted in the same moment as they come.
		if n := len(regexp.MustCompile(`data-label="Records per second">(5[4-9]|6\d)(\.\d)?<`).FindAllString(page, -1)); n != 100 {
			t.Errorf("%d of 100 topics have their rate", n)
		}
		if _, page = ask(c, "GET", "/console/clients", nil); strings.Contains(page, `data-label="Per second">…<`) {
			t.Error("clients have no rates")
		}
	})
}

// TestWhatIsCountedEnds with the console.
func TestWhatIsCountedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fails while a goroutine is left
		c := New(newCrowd(), open)
		c.Start()
		c.Start()
		time.Sleep(time.Minute)
		c.Close()
		c.Close()
	})
}

// TestPartsOfAPage are taken out and put back.
func TestPartsOfAPage(t *testing.T) {
	const page = `<p>x</p><section id="a"><table><tr id="1"><td>one</td></tr><tr id="2"><td>two</td></tr></table></section><p id="b">end</p>`
	before := part(page)
	for name, c := range map[string]struct {
		from, to string
		want     []string
	}{
		"nothing":                {"", "", nil},
		"a row":                  {"two", "zwei", []string{`<tr hx-swap-oob="morph" id="2"><td>zwei</td></tr>`}},
		"outside a section":      {"end", "Ende", []string{`<p hx-swap-oob="morph" id="b">Ende</p>`}},
		"a row is gone":          {`<tr id="1"><td>one</td></tr>`, "", []string{`<section hx-swap-oob="morph" id="a"><table><tr id="2"><td>two</td></tr></table></section>`}},
		"what is no part":        {"<p>x</p>", "<p>y</p>", []string{"all"}},
		"a part that never ends": {`</section>`, "", []string{"all"}},
	} {
		got, ok := part(strings.Replace(page, c.from, c.to, 1)).since(before)
		if !ok {
			got = []string{"all"}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestWhoGivesUpTakesNothingFromOthers: a browser that leaves while clusters are asked does not end
// the question.
func TestWhoGivesUpTakesNothingFromOthers(t *testing.T) {
	c := New(newCrowd(), open)
	gone, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequestWithContext(gone, http.MethodGet, "/console/topics/shop", nil)
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	if _, page := ask(c, "GET", "/console/topics/shop", nil); len(ids(page)) != 100 {
		t.Errorf("the next one sees %d topics", len(ids(page)))
	}
}
