package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/admin"
)

// sight is what top has seen at one moment.
type sight struct {
	at      time.Time
	status  admin.Status
	clients []admin.Client
	traffic []admin.Traffic
	topics  []admin.Topic
}

// rates are what has happened between two sights.
type rates struct {
	Seconds float64      `json:"seconds"`
	APIs    []apiRate    `json:"apis"`
	Topics  []topicRate  `json:"topics"`
	Clients []clientRate `json:"clients"`
}

type apiRate struct {
	VirtualCluster string        `json:"virtual_cluster"`
	API            string        `json:"api"`
	Requests       float64       `json:"requests_per_second"`
	In             float64       `json:"bytes_in_per_second"`
	Out            float64       `json:"bytes_out_per_second"`
	P50            time.Duration `json:"p50_ns"`
	P99            time.Duration `json:"p99_ns"`
}

type topicRate struct {
	VirtualCluster string  `json:"virtual_cluster"`
	Topic          string  `json:"topic"`
	Home           string  `json:"home"`
	Records        float64 `json:"records_per_second"`
	Lag            int64   `json:"most_lag"` // of all copies; -1: unknown
}

type clientRate struct {
	admin.Client
	RequestRate float64 `json:"requests_per_second"`
}

func topCommand() *cobra.Command {
	var file string
	var every time.Duration
	var once bool
	var rows int
	cmd := &cobra.Command{
		Use: "top [-c] FILE", Short: "Show clients, topics and latencies of a running gateway, again and again",
		Long: `Show what a running gateway does, once per interval: requests and latencies by API, records by topic, requests by
client. A topic's records are the growth of its end offsets. The time of a Fetch is mostly its wait for records.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every <= 0 || rows <= 0 {
				return &usageError{fmt.Errorf("--interval and --rows must be above 0")}
			}
			c, err := newClient(file)
			if err != nil {
				return err
			}
			before, err := look(cmd.Context(), c)
			if err != nil {
				return err
			}
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-cmd.Context().Done():
					return nil
				case <-tick.C:
				}
				now, err := look(cmd.Context(), c)
				if err != nil {
					if cmd.Context().Err() != nil {
						return nil
					}
					return err
				}
				r := compare(before, now)
				switch {
				case wantsJSON(cmd):
					err = encode(cmd, r)
				default:
					if !once {
						fmt.Fprintf(cmd.OutOrStdout(), "\x1b[H\x1b[2J") // home, clear
					}
					err = r.write(cmd.OutOrStdout(), now.status, rows)
				}
				if err != nil || once {
					return err
				}
				before = now
			}
		},
	}
	takesFile(cmd, &file, "the YAML file of the running gateway; its admin API is asked")
	cmd.Flags().DurationVar(&every, "interval", 2*time.Second, "how often to look")
	cmd.Flags().BoolVar(&once, "once", false, "look once, over one interval, and end")
	cmd.Flags().IntVar(&rows, "rows", 10, "how many lines of each table")
	return cmd
}

func look(ctx context.Context, c *client) (s sight, err error) {
	for path, out := range map[string]any{"status": &s.status, "clients": &s.clients, "traffic": &s.traffic} {
		if err := c.get(ctx, path, out); err != nil {
			return s, err
		}
	}
	for _, v := range s.status.VirtualClusters {
		topics, err := c.topics(ctx, v.Name)
		if err != nil {
			return s, err
		}
		s.topics = append(s.topics, topics...)
	}
	s.at = time.Now()
	return s, nil
}

// compare works out rates, the busiest first.
func compare(before, now sight) rates {
	r := rates{Seconds: now.at.Sub(before.at).Seconds(), APIs: []apiRate{}, Topics: []topicRate{}, Clients: []clientRate{}}
	per := func(now, before int64) float64 { return float64(max(now-before, 0)) / r.Seconds }
	for _, t := range now.traffic {
		for _, a := range t.APIs {
			var old admin.APITraffic
			for _, u := range before.traffic {
				if i := slices.IndexFunc(u.APIs, func(o admin.APITraffic) bool { return u.VirtualCluster == t.VirtualCluster && o.API == a.API }); i >= 0 {
					old = u.APIs[i]
				}
			}
			h := a.Latency.Since(old.Latency)
			r.APIs = append(r.APIs, apiRate{t.VirtualCluster, a.API, per(a.Requests, old.Requests), per(a.BytesIn, old.BytesIn), per(a.BytesOut, old.BytesOut), h.Quantile(0.5), h.Quantile(0.99)})
		}
	}
	type life struct {
		virtualCluster, topic string
		generation            int32
	}
	lived := map[life]admin.Topic{}
	for _, t := range before.topics {
		lived[life{t.VirtualCluster, t.Name, t.Generation}] = t
	}
	for _, t := range now.topics {
		x := topicRate{VirtualCluster: t.VirtualCluster, Topic: t.Name, Home: t.Home}
		for _, c := range t.Copies {
			if x.Lag < 0 || c.Lag < 0 {
				x.Lag = admin.Unknown
			} else {
				x.Lag = max(x.Lag, c.Lag)
			}
		}
		if old, ok := lived[life{t.VirtualCluster, t.Name, t.Generation}]; ok && old.Records >= 0 {
			x.Records = per(t.Records, old.Records)
		}
		r.Topics = append(r.Topics, x)
	}
	for _, c := range now.clients {
		x := clientRate{Client: c}
		if i := slices.IndexFunc(before.clients, func(o admin.Client) bool { return o.ID == c.ID }); i >= 0 {
			x.RequestRate = per(c.Requests, before.clients[i].Requests)
		}
		r.Clients = append(r.Clients, x)
	}
	slices.SortStableFunc(r.APIs, func(a, b apiRate) int { return cmp.Compare(b.Requests, a.Requests) })
	slices.SortStableFunc(r.Topics, func(a, b topicRate) int { return cmp.Compare(b.Records, a.Records) })
	slices.SortStableFunc(r.Clients, func(a, b clientRate) int { return cmp.Compare(b.RequestRate, a.RequestRate) })
	return r
}

func (r rates) write(out io.Writer, s admin.Status, rows int) error {
	var clusters []string
	for _, c := range s.Clusters {
		state := "up"
		if !c.Reachable {
			state = "DOWN"
		}
		clusters = append(clusters, c.Name+" "+state)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "revision %s, up %s, %d moves open; clusters: %s\n", s.Revision, time.Since(s.Started).Round(time.Second), s.OpenMoves, strings.Join(clusters, ", "))
	if s.ConfigError != "" {
		fmt.Fprintf(w, "the file is wrong: %s\n", s.ConfigError)
	}
	in := func(vc, name string) string {
		if name = cell(name); name == "" {
			name = "-"
		}
		if len(s.VirtualClusters) > 1 {
			return name + " of " + vc
		}
		return name
	}
	fmt.Fprintln(w, "\nAPI\tREQ/S\tKB/S IN\tKB/S OUT\tP50\tP99")
	for _, a := range r.APIs[:min(rows, len(r.APIs))] {
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.1f\t%s\t%s\n", in(a.VirtualCluster, a.API), a.Requests, a.In/1e3, a.Out/1e3, lasted(a.P50), lasted(a.P99))
	}
	fmt.Fprintln(w, "\nTOPIC\tHOME\tRECORDS/S\tMOST LAG")
	for _, t := range r.Topics[:min(rows, len(r.Topics))] {
		fmt.Fprintf(w, "%s\t%s\t%.1f\t%s\n", in(t.VirtualCluster, t.Topic), t.Home, t.Records, known(t.Lag))
	}
	fmt.Fprintln(w, "\nCLIENT\tSOFTWARE\tADDRESS\tREQ/S\tREQUESTS\tCONNECTED FOR")
	for _, c := range r.Clients[:min(rows, len(r.Clients))] {
		fmt.Fprintf(w, "%s\t%s %s\t%s\t%.1f\t%d\t%s\n", in(c.VirtualCluster, c.ClientID), cell(c.Software), cell(c.SoftwareVersion), c.Address, c.RequestRate, c.Requests, time.Since(c.Since).Round(time.Second))
	}
	return w.Flush()
}

// lasted shows a duration to three digits or so, or that there was none.
func lasted(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d >= time.Second:
		d = d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		d = d.Round(10 * time.Microsecond)
	default:
		d = d.Round(100 * time.Nanosecond)
	}
	return d.String()
}
