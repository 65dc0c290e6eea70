// Package containers runs Apache Kafka in containers. It is a module of its own because of its
// libraries: a Docker client and what that needs are as much as all the rest.
package containers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/ory/dockertest/v3"
	"github.com/ory/dockertest/v3/docker"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// Cluster is Apache Kafka in containers: a controller and brokers on the host's network, with the
// same properties as a kafkatest.RealCluster.
type Cluster struct {
	*kafkatest.RealCluster
	pool  *dockertest.Pool
	mu    sync.Mutex
	nodes map[int32]*dockertest.Resource
}

// Start starts a cluster in containers of an image and waits until every broker is known. dir must
// be a folder that the engine can mount.
func Start(ctx context.Context, name, version, image, dir string, brokers int) (*Cluster, error) {
	r, ids, err := kafkatest.Plan(name, version, dir, brokers)
	if err != nil {
		return nil, err
	}
	pool, err := dockertest.NewPool("")
	if err != nil {
		return nil, err
	}
	c := &Cluster{RealCluster: r, pool: pool, nodes: map[int32]*dockertest.Resource{}}
	if err := os.Chmod(r.Dir(), 0o777); err != nil { // official images don't run as root
		return nil, err
	}
	for _, n := range ids {
		if err := c.start(n, image); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	if err := c.Ready(ctx, brokers); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) start(n int32, image string) error {
	repository, tag := image, "latest"
	for i := len(image) - 1; i >= 0 && image[i] != '/'; i-- {
		if image[i] == ':' {
			repository, tag = image[:i], image[i+1:]
		}
	}
	script := fmt.Sprintf("/opt/kafka/bin/kafka-storage.sh format -t %s -c %s --ignore-formatted && exec /opt/kafka/bin/kafka-server-start.sh %s", c.ID(), c.Props(n), c.Props(n))
	res, err := c.pool.RunWithOptions(&dockertest.RunOptions{
		Repository: repository, Tag: tag, Entrypoint: []string{"/bin/sh"}, Cmd: []string{"-c", script}, Mounts: []string{c.Dir() + ":" + c.Dir()},
	}, func(h *docker.HostConfig) { h.NetworkMode = "host" })
	if err != nil {
		return fmt.Errorf("node %d of %s: %w", n, c.Name(), err)
	}
	c.mu.Lock()
	c.nodes[n] = res
	c.mu.Unlock()
	return nil
}

func (c *Cluster) container(n int32) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.nodes[n]; r != nil {
		return r.Container.ID
	}
	return ""
}

// Kill ends a broker with SIGKILL.
func (c *Cluster) Kill(n int32) error {
	return c.pool.Client.KillContainer(docker.KillContainerOptions{ID: c.container(n), Signal: docker.SIGKILL})
}

// Restart starts a broker again on its data.
func (c *Cluster) Restart(ctx context.Context, n int32) error {
	if err := c.pool.Client.StartContainer(c.container(n), nil); err != nil {
		return err
	}
	return c.Ready(ctx, len(c.Nodes()))
}

// Freeze pauses a broker.
func (c *Cluster) Freeze(n int32) error { return c.pool.Client.PauseContainer(c.container(n)) }

// Thaw lets a frozen broker go on.
func (c *Cluster) Thaw(n int32) error { return c.pool.Client.UnpauseContainer(c.container(n)) }

// Close removes the containers.
func (c *Cluster) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, r := range c.nodes {
		errs = append(errs, c.pool.Purge(r))
	}
	c.nodes = map[int32]*dockertest.Resource{}
	return errors.Join(errs...)
}
