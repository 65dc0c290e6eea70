package console

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// sendLimit is how long a browser may take to read what is sent to it.
const sendLimit = 10 * time.Second

// A carriage return, as clients may have in their ids, ends a line of a stream as well: what
// follows would be another field of the event, or its end.
var lines = strings.NewReplacer("\r\n", "\ndata: ", "\n", "\ndata: ", "\r", "\ndata: ")

// stream sends the content of a page, and then what has changed of it: the event page is all of it,
// parts are elements that take the places of those with their ids. A browser that does not read is
// left.
func (c *Console) stream(w http.ResponseWriter, r *http.Request, every time.Duration, p page) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	send := func(event, data string) bool {
		_ = out.SetWriteDeadline(time.Now().Add(sendLimit))
		_, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, lines.Replace(data))
		return err == nil && out.Flush() == nil
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last parted
	for first := true; ; first = false {
		if _, err := c.access.Reader(r); err != nil {
			return // the user is not one any more
		}
		_, content, err := c.render(r, p)
		if err != nil {
			content = string(c.failure(err))
		}
		now := part(content)
		changed, small := now.since(last)
		if first || !small {
			if !send("page", content) {
				return
			}
		} else if !sendParts(send, changed) {
			return
		}
		last = now
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-c.ctx.Done():
			return
		}
	}
}

// sendParts sends rows of tables apart from other elements: beside those a browser would not take
// them for rows.
func sendParts(send func(event, data string) bool, changed []string) bool {
	var rows, others []string
	for _, x := range changed {
		if strings.HasPrefix(x, "<tr ") {
			rows = append(rows, x)
		} else {
			others = append(others, x)
		}
	}
	for _, list := range [][]string{others, rows} {
		if len(list) > 0 && !send("parts", strings.Join(list, "\n")) {
			return false
		}
	}
	return true
}
