package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
	all, err := (&client{base: s.URL}).topicsInFull(t.Context(), "vc", were)
	for i, x := range all {
		if x.Name != fmt.Sprint(i) {
			t.Errorf("topic %s comes as the %dth", x.Name, i)
		}
	}
	if err != nil || len(all) != topics {
		t.Errorf("%d of %d topics: %v", len(all), topics, err)
	}
	if want := int64(topics/admin.PageSize + 1); asked.Load() != want && were <= topics {
		t.Errorf("%d topics, which were %d, take %d requests, want %d", topics, were, asked.Load(), want)
	}
}

// TestRoutesAsksOnce for all topics of a virtual cluster, without their partitions, and prints them
// in one table and in large pieces: ten thousand of them are many.
func TestRoutesAsksOnce(t *testing.T) {
	const topics = 1000
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/status" {
			_ = json.NewEncoder(w).Encode(admin.Status{VirtualClusters: []admin.VirtualCluster{{Name: "shop", Topics: topics}}})
			return
		}
		asked = append(asked, r.URL.RequestURI())
		var list []admin.Topic
		for i := range topics {
			list = append(list, admin.Topic{VirtualCluster: "shop", Name: fmt.Sprint("topic-", i), PartitionCount: 3, Records: int64(i)})
		}
		_ = json.NewEncoder(w).Encode(list)
	}))
	defer s.Close()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	text := fmt.Sprintf(`admin: {listen: %q}
state: {dir: ./state}
clusters: {prod: {bootstrap: ["127.0.0.1:1"]}}
virtual_clusters:
  shop: {listen: {bootstrap: "127.0.0.1:2", brokers: {ports: 3-42}}, chain: []}
`, s.Listener.Addr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out := &pieces{}
	cmd := routesCommand()
	cmd.SetArgs([]string{"-c", file})
	cmd.SetOut(out)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"/api/v1/topics/shop?sort=name&partitions=false"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 1+topics {
		t.Errorf("%d lines for %d topics", lines, topics)
	}
	if !strings.Contains(out.String(), "\nshop             topic-999                3           999") {
		t.Errorf("the last line is wrong:\n%.300s", out.String())
	}
	if out.written > topics/10 {
		t.Errorf("written in %d pieces", out.written)
	}
}

// pieces counts how often it is written to.
type pieces struct {
	strings.Builder
	written int
}

func (p *pieces) Write(b []byte) (int, error) {
	p.written++
	return p.Builder.Write(b)
}
