package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/ory/dockertest/v3"
	"github.com/ory/dockertest/v3/docker"
)

// ContainerCluster is Apache Kafka in containers: a controller and brokers on the host's network, with the
// same properties as a RealCluster.
type ContainerCluster struct {
	*RealCluster
	pool  *dockertest.Pool
	mu    sync.Mutex
	nodes map[int32]*dockertest.Resource
}

// Containers starts a cluster in containers of an image and waits until every broker is known. dir must
// be a folder that the engine can mount.
func Containers(ctx context.Context, name, version, image, dir string, brokers int) (*ContainerCluster, error) {
	r, ids, err := plan(name, version, dir, brokers)
	if err != nil {
		return nil, err
	}
	pool, err := dockertest.NewPool("")
	if err != nil {
		return nil, err
	}
	c := &ContainerCluster{RealCluster: r, pool: pool, nodes: map[int32]*dockertest.Resource{}}
	if err := os.Chmod(r.dir, 0o777); err != nil { // official images don't run as root
		return nil, err
	}
	for _, n := range ids {
		if err := c.start(n, image); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	if err := c.ready(ctx, brokers); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *ContainerCluster) start(n int32, image string) error {
	repository, tag := image, "latest"
	for i := len(image) - 1; i >= 0 && image[i] != '/'; i-- {
		if image[i] == ':' {
			repository, tag = image[:i], image[i+1:]
		}
	}
	script := fmt.Sprintf("/opt/kafka/bin/kafka-storage.sh format -t %s -c %s --ignore-formatted && exec /opt/kafka/bin/kafka-server-start.sh %s", c.id, c.props(n), c.props(n))
	res, err := c.pool.RunWithOptions(&dockertest.RunOptions{
		Repository: repository, Tag: tag, Entrypoint: []string{"/bin/sh"}, Cmd: []string{"-c", script}, Mounts: []string{c.dir + ":" + c.dir},
	}, func(h *docker.HostConfig) { h.NetworkMode = "host" })
	if err != nil {
		return fmt.Errorf("node %d of %s: %w", n, c.name, err)
	}
	c.mu.Lock()
	c.nodes[n] = res
	c.mu.Unlock()
	return nil
}

func (c *ContainerCluster) container(n int32) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.nodes[n]; r != nil {
		return r.Container.ID
	}
	return ""
}

// Kill ends a broker with SIGKILL.
func (c *ContainerCluster) Kill(n int32) error {
	return c.pool.Client.KillContainer(docker.KillContainerOptions{ID: c.container(n), Signal: docker.SIGKILL})
}

// Restart starts a broker again on its data.
func (c *ContainerCluster) Restart(ctx context.Context, n int32) error {
	if err := c.pool.Client.StartContainer(c.container(n), nil); err != nil {
		return err
	}
	return c.ready(ctx, c.brokers)
}

// Freeze pauses a broker.
func (c *ContainerCluster) Freeze(n int32) error { return c.pool.Client.PauseContainer(c.container(n)) }

// Thaw lets a frozen broker go on.
func (c *ContainerCluster) Thaw(n int32) error { return c.pool.Client.UnpauseContainer(c.container(n)) }

// Close removes the containers.
func (c *ContainerCluster) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, r := range c.nodes {
		errs = append(errs, c.pool.Purge(r))
	}
	c.nodes = map[int32]*dockertest.Resource{}
	return errors.Join(errs...)
}
