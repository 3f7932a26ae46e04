package child_test

import (
	"bufio"
	"fmt"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestChildDiesWithItsParent kills a parent that cannot do anything about it, and waits for the death of its child,
// which never reads its input.
func TestChildDiesWithItsParent(t *testing.T) {
	cmd := command("parent")
	parent := exec.CommandContext(t.Context(), cmd.Argv[0])
	parent.Env = cmd.Env
	said, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanln(bufio.NewReader(said), &pid); err != nil {
		t.Fatal(err)
	}
	life, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(life)
	check(t, parent.Process.Kill())
	if err := parent.Wait(); err == nil {
		t.Error("the parent was not killed")
	}
	const patience = 10_000 // milliseconds
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(life), Events: unix.POLLIN}}, patience)
	if n != 1 || err != nil {
		t.Errorf("the child lives on (%v)", err)
	}
}
