// Package gatewaytest runs a gateway inside a test or the demo, with a file that can be edited.
package gatewaytest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-gateway/sluice/core/gateway"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/plugins"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// Gateway is a gateway in this process.
type Gateway struct {
	*gateway.Gateway
	Dir       string
	File      string
	Bootstrap string
	Admin     string

	// Specs are of interceptors besides the built-in ones.
	Specs []plugin.Spec

	exporters telemetry.Exporters
	log       *slog.Logger
	cancel    context.CancelFunc
	done      chan error
}

// Config writes the file of a gateway over clusters, with the virtual cluster
// "passThroughTenant" and the topics' homes; routing may hold more lines of the routing section.
func Config(dir string, port int, homes map[string]string, routing string, clusters map[string][]string, order ...string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "admin: {listen: 127.0.0.1:%d, users: [{name: none, password: none}], delete_grace: 30s}\n", port+1)
	b.WriteString("state: {dir: ./state}\nclusters:\n")
	for _, n := range order {
		aliases := ""
		if n == "dr" {
			aliases = ", aliases: [main]"
		}
		fmt.Fprintf(&b, "  %s: {bootstrap: [%s], nodes: 0-9%s}\n", n, strings.Join(clusters[n], ", "), aliases)
	}
	fmt.Fprintf(&b, "virtual_clusters:\n  passThroughTenant:\n    listen: {bootstrap: 127.0.0.1:%d, brokers: {host: 127.0.0.1, ports: %d-%d}}\n    chain:\n      - routing:\n          default: %s\n          topics:\n", port, port+2, port+2+10*len(order)-1, order[0])
	for t, c := range homes {
		fmt.Fprintf(&b, "            %s: {cluster: %s}\n", t, c)
	}
	b.WriteString(routing)
	b.WriteString("      - topics: {hide: [\"__*\", \"mm2-*\", \"*.internal\", \"heartbeats\"]}\n      - offsets: {}\n")
	file := filepath.Join(dir, "sluice.yaml")
	return file, os.WriteFile(file, []byte(b.String()), 0o644)
}

// Start starts a gateway with a fresh file; see Config. It has no exporters: see StartWith.
func Start(ctx context.Context, dir string, homes map[string]string, log *slog.Logger, clusters ...kafkatest.Cluster) (*Gateway, error) {
	return StartWith(ctx, nil, dir, homes, log, clusters...)
}

// StartWith starts a gateway that can send traces and metrics.
func StartWith(ctx context.Context, exporters telemetry.Exporters, dir string, homes map[string]string, log *slog.Logger, clusters ...kafkatest.Cluster) (*Gateway, error) {
	file, port, err := fresh(dir, homes, "", clusters)
	if err != nil {
		return nil, err
	}
	g := &Gateway{Dir: dir, File: file, Bootstrap: bootstrap(port), Admin: admin(port), exporters: exporters, log: log}
	return g, g.Restart(ctx)
}

// StartGuarded is StartWith, without exporters, for clusters that are entered by settings: `tls:`
// and `sasl:`, in one line.
func StartGuarded(ctx context.Context, dir string, homes map[string]string, door string, log *slog.Logger, clusters ...kafkatest.Cluster) (*Gateway, error) {
	file, port, err := fresh(dir, homes, "", clusters)
	if err != nil {
		return nil, err
	}
	g := &Gateway{Dir: dir, File: file, Bootstrap: bootstrap(port), Admin: admin(port), log: log}
	if err := g.EditAll(func(text string) string { return strings.ReplaceAll(text, "nodes: 0-9", "nodes: 0-9, "+door) }); err != nil {
		return nil, err
	}
	return g, g.Restart(ctx)
}

// fresh writes the file of a gateway over clusters, which listens from a free port on.
func fresh(dir string, homes map[string]string, routing string, clusters []kafkatest.Cluster) (file string, port int, err error) {
	if port, err = kafkatest.FreePorts(2 + 10*len(clusters)); err != nil {
		return "", 0, err
	}
	addrs := map[string][]string{}
	var order []string
	for _, c := range clusters {
		addrs[c.Name()] = c.Bootstrap()
		order = append(order, c.Name())
	}
	file, err = Config(dir, port, homes, routing, addrs, order...)
	return file, port, err
}

func bootstrap(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func admin(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port+1) }

// Open starts a gateway on a file that the caller has written.
func Open(ctx context.Context, file string, log *slog.Logger, specs ...plugin.Spec) (*Gateway, error) {
	return OpenWith(ctx, nil, file, log, specs...)
}

// OpenWith starts a gateway that can send traces and metrics, on a file that the caller has
// written.
func OpenWith(ctx context.Context, exporters telemetry.Exporters, file string, log *slog.Logger, specs ...plugin.Spec) (*Gateway, error) {
	g := &Gateway{Dir: filepath.Dir(file), File: file, Specs: specs, exporters: exporters, log: log}
	return g, g.Restart(ctx)
}

// Restart starts the gateway (again) on its file and state.
func (g *Gateway) Restart(ctx context.Context) error {
	var err error
	if g.Gateway, err = gateway.Start(ctx, gateway.Options{Path: g.File, Specs: append(plugins.Builtin(), g.Specs...), Exporters: g.exporters, Log: g.log}); err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.Background())
	g.cancel, g.done = cancel, make(chan error, 1)
	go func() { g.done <- g.Run(run) }()
	return nil
}

// Edit replaces a text in the file, which the gateway notices by itself.
func (g *Gateway) Edit(from, to string) error {
	found := false
	if err := g.EditAll(func(text string) string {
		found = strings.Contains(text, from)
		return strings.Replace(text, from, to, 1)
	}); err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("the file has no %q", from)
	}
	return nil
}

// EditAll writes the file as change makes it, in one write.
func (g *Gateway) EditAll(change func(text string) string) error {
	b, err := os.ReadFile(g.File)
	if err != nil {
		return err
	}
	return os.WriteFile(g.File, []byte(change(string(b))), 0o644)
}

// Stop ends the gateway, unless it has ended.
func (g *Gateway) Stop() error {
	if g.cancel == nil {
		return nil
	}
	g.cancel()
	g.cancel = nil
	<-g.done
	return g.Close()
}
