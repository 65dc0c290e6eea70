package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/cmd/gateway/workbench"
	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/config"
)

// capturing is what to capture.
type capturing struct {
	file, out string
	// Of records of a cluster.
	cluster, topic string
	records        int
	fetch          bool
	// Of requests of clients.
	live  string // the virtual cluster
	apis  []string
	count int
	after time.Duration
}

func captureCommand() *cobra.Command {
	var c capturing
	cmd := &cobra.Command{
		Use: "capture -c FILE (--topic TOPIC | --live VIRTUAL_CLUSTER)", Short: "Copy records or requests into a file, for gateway plugin replay",
		Long: `Copy the newest records of a topic on a cluster, or with --live what clients send through the running gateway from now on, and their
answers, into a file that gateway plugin replay shows to two versions of a plugin. The file holds what clients have sent: keep it as you
keep that.`,
		Example: `  gateway capture -c sluice.yaml --topic orders
  gateway capture -c sluice.yaml --live main --api CreateTopics --api Produce --count 500`,
		Args: exactArgs(0, "no arguments but flags"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			requests, err := c.kind(cmd)
			if err != nil {
				return err
			}
			if requests {
				return c.requests(cmd)
			}
			return c.recordsOf(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&c.file, "config", "c", "sluice.yaml", "the YAML file that names the cluster, or of the running gateway")
	f.StringVarP(&c.out, "out", "o", "capture.yaml", "the file")
	f.StringVar(&c.topic, "topic", "", "the topic's name on the cluster")
	f.StringVar(&c.cluster, "cluster", "", "with --topic: the cluster; default: the first")
	f.IntVar(&c.records, "records", 1000, "with --topic: how many records, per partition the newest ones")
	f.BoolVar(&c.fetch, "fetch", false, "with --topic: show them to plugins as a consumer gets them, not as a producer sends them")
	f.StringVar(&c.live, "live", "", "the virtual cluster whose requests are captured")
	f.StringArrayVar(&c.apis, "api", nil, "with --live: an API by Kafka's name; may be given several times; default: all")
	f.IntVar(&c.count, "count", 100, "with --live: how many requests")
	f.DurationVar(&c.after, "for", 10*time.Second, "with --live: for how long, if there are not that many")
	return cmd
}

// kind says whether requests are to be captured, or refuses flags that don't belong together.
func (c *capturing) kind(cmd *cobra.Command) (requests bool, err error) {
	requests = cmd.Flags().Changed("live")
	given, others := "--topic", []string{"api", "count", "for"}
	switch {
	case requests == cmd.Flags().Changed("topic"):
		return false, &usageError{errors.New("give either --topic TOPIC, to copy records of a topic, or --live VIRTUAL_CLUSTER, to copy what clients send from now on")}
	case requests:
		given, others = "--live", []string{"cluster", "records", "fetch"}
	}
	if given == "--topic" && c.topic == "" || requests && c.live == "" {
		return false, &usageError{fmt.Errorf("%s is empty", given)}
	}
	for _, name := range others {
		if cmd.Flags().Changed(name) {
			return false, &usageError{fmt.Errorf("--%s does not go with %s; see gateway capture --help", name, given)}
		}
	}
	return requests, nil
}

// recordsOf copies records of a topic on a cluster.
func (c *capturing) recordsOf(cmd *cobra.Command) error {
	if c.records < 1 {
		return &usageError{errors.New("--records must be above 0")}
	}
	snap, err := config.Load(c.file)
	if err != nil {
		return located(c.file, err)
	}
	from := snap.Clusters[0].Name
	if c.cluster != "" {
		from = c.cluster
	}
	k, ok := snap.Cluster(from)
	if !ok {
		return &usageError{fmt.Errorf("%s has no cluster %q", c.file, from)}
	}
	kind := "produce"
	if c.fetch {
		kind = "fetch"
	}
	done, end := progress(cmd, "records", c.records)
	cases, err := workbench.Capture(cmd.Context(), k.Bootstrap, c.topic, kind, c.records, done)
	end()
	if err != nil {
		return err
	}
	n := 0
	for _, k := range cases.Cases {
		n += len(k.Records)
	}
	if n == 0 {
		return fmt.Errorf("%s on %s has no records, so there is nothing to capture", c.topic, k.Name)
	}
	if err := cases.Save(c.out); err != nil {
		return err
	}
	return show(cmd, map[string]any{"records": n, "topic": c.topic, "cluster": k.Name, "file": c.out}, func(w io.Writer) {
		fmt.Fprintf(w, "%d records of %s on %s\n", n, c.topic, k.Name)
	})
}

// requests asks the running gateway.
func (c *capturing) requests(cmd *cobra.Command) error {
	seconds := int((c.after + time.Second - 1) / time.Second)
	if c.count < 1 || c.count > admin.MostExchanges || seconds < 1 || seconds > admin.MostSeconds {
		return &usageError{fmt.Errorf("--count is from 1 to %d, --for up to %ds", admin.MostExchanges, admin.MostSeconds)}
	}
	ask, err := newClient(c.file)
	if err != nil {
		return err
	}
	var got []admin.Exchange
	body := admin.Capture{APIs: c.apis, Exchanges: c.count, Seconds: seconds}
	if err := ask.call(cmd.Context(), http.MethodPost, admin.Prefix+"captures/"+url.PathEscape(c.live), body, &got); err != nil {
		return err
	}
	cases := &workbench.Cases{}
	for _, x := range got {
		list, err := workbench.CasesOf(x)
		if err != nil {
			return err
		}
		cases.Cases = append(cases.Cases, list...)
	}
	if len(cases.Cases) == 0 {
		return fmt.Errorf("nothing that a plugin would see was sent within %ds: see --for and --api", seconds)
	}
	if err := cases.Save(c.out); err != nil {
		return err
	}
	return show(cmd, map[string]any{"requests": len(got), "cases": len(cases.Cases), "virtual_cluster": c.live, "file": c.out}, func(w io.Writer) {
		fmt.Fprintf(w, "%d requests to %s, %d cases\n", len(got), c.live, len(cases.Cases))
	})
}
