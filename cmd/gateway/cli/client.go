package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/config"
)

// client asks the admin API of the gateway that runs with a file.
type client struct {
	base string
	user *config.User
}

// fileFlag adds -c to commands that ask a running gateway.
func fileFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", "sluice.yaml", "the YAML file of the running gateway; its admin API is asked")
}

// located is err, and how to name another file if this is not there: the name of -c may have been
// nobody's choice.
func located(file string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) && at.Path == file && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; name the gateway's file with -c FILE", err)
	}
	return err
}

func newClient(file string) (*client, error) {
	snap, err := config.Load(file)
	if err != nil {
		return nil, located(file, err)
	}
	if snap.Admin.Listen == "" {
		return nil, fmt.Errorf("%s has no `admin: listen:`, by which the running gateway could be asked", file)
	}
	c := &client{base: "http://" + snap.Admin.Listen}
	for i := range snap.Admin.Users {
		if u := &snap.Admin.Users[i]; c.user == nil || !c.user.Edits() && u.Edits() {
			c.user = u
		}
	}
	return c, nil
}

// get asks version 1 of the API.
func (c *client) get(ctx context.Context, path string, out any) error {
	return c.call(ctx, http.MethodGet, admin.Prefix+path, nil, out)
}

func (c *client) call(ctx context.Context, method, path string, body, out any) error {
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("If-Match", "*")
	req.Header.Set("User-Agent", "sluice-gateway")
	if c.user != nil {
		req.SetBasicAuth(c.user.Name, c.user.Password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("is the gateway running? %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		msg, _ := io.ReadAll(resp.Body)
		var p struct{ Detail string }
		if json.Unmarshal(msg, &p) == nil && p.Detail != "" {
			msg = []byte(p.Detail)
		}
		return fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(msg))
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
