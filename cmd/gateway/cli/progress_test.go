package cli

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// terminal opens a pseudo terminal: what is written to far is read from near.
func terminal(t *testing.T) (near, far *os.File) {
	t.Helper()
	near, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close() })
	if err := unix.IoctlSetPointerInt(int(near.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(near.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if far, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	return near, far
}

func TestProgressIsForTerminals(t *testing.T) {
	cmd := &cobra.Command{}
	var file bytes.Buffer
	cmd.SetErr(&file)
	done, end := progress(cmd, "records", 10)
	done(5)
	end()
	if file.Len() > 0 {
		t.Errorf("into a file: %q", file.String())
	}
	near, far := terminal(t)
	cmd.SetErr(far)
	done, end = progress(cmd, "records", 10)
	shown := make(chan string)
	go func() {
		b := make([]byte, 4096)
		n, _ := near.Read(b)
		shown <- string(b[:n])
	}()
	for i := 0; ; i++ { // it is not drawn each time
		done(1 + i%8)
		select {
		case got := <-shown:
			if !strings.Contains(got, "records") || !strings.Contains(got, "/10") {
				t.Errorf("on a terminal: %q", got)
			}
			end()
			return
		default:
		}
	}
}
