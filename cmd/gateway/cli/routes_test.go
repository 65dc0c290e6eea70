package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/sluice-gateway/sluice/core/admin"
)

// TestTopicsAreVisitedPageByPage, each once and in their order, also where the last page is a full
// one.
func TestTopicsAreVisitedPageByPage(t *testing.T) {
	for _, topics := range []int{0, 1, admin.PageSize - 1, admin.PageSize, 3*admin.PageSize + 7, 20 * admin.PageSize} {
		for _, were := range []int{topics, 0, 10 * topics} { // topics may come and go meanwhile
			visited(t, topics, were)
		}
	}
}

func visited(t *testing.T, topics, were int) {
	t.Helper()
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		first := min((page-1)*admin.PageSize, topics)
		list := []admin.Topic{}
		for i := first; i < min(first+admin.PageSize, topics); i++ {
			list = append(list, admin.Topic{Name: fmt.Sprint(i)})
		}
		_ = json.NewEncoder(w).Encode(list)
	}))
	defer s.Close()
	seen := 0
	err := (&client{base: s.URL}).topics(t.Context(), "vc", were, func(page []admin.Topic) error {
		for _, x := range page {
			if x.Name != fmt.Sprint(seen) {
				t.Errorf("topic %s comes as the %dth", x.Name, seen)
			}
			seen++
		}
		return nil
	})
	if err != nil || seen != topics {
		t.Errorf("%d of %d topics: %v", seen, topics, err)
	}
	if want := int64(topics/admin.PageSize + 1); asked.Load() != want && were <= topics {
		t.Errorf("%d topics, which were %d, take %d requests, want %d", topics, were, asked.Load(), want)
	}
}
