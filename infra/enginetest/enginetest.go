// Package enginetest finds and starts the real servers that tests run against. They are built by scripts/engines, each
// once; where one can't be built its test is skipped, and fails if CI=true or RUNNER_REQUIRE_ENGINES=1 says that
// nothing may be.
//
//	p := enginetest.Start(t, exec.Command(enginetest.Binary(t, "consul"), "agent", "-dev"))
package enginetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Binary returns the path of an engine's binary.
func Binary(t testing.TB, name string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(here), "../../scripts/engines"), name)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		return strings.TrimSpace(string(out))
	}
	message := fmt.Sprintf("nothing to test against: scripts/engines %s: %v\n%s", name, err, stderr.String())
	if os.Getenv("CI") == "true" || os.Getenv("RUNNER_REQUIRE_ENGINES") == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
	return ""
}

// The ports that Free chooses from lie below those that the kernel gives to whoever asks for any. As many behind them
// are never given away: who listens there has the one in front.
const firstPort, portsInAll, portTries = 10_000, 5_000, 1000

// Free returns n ports of the loopback interface that nobody uses. No other test gets them before this one ends.
func Free(t testing.TB, n int) (ports []int) {
	t.Helper()
	for range portTries {
		if len(ports) == n {
			return ports
		}
		port := firstPort + rand.IntN(portsInAll)
		taken, err := listen(port + portsInAll)
		if err != nil {
			continue
		}
		t.Cleanup(func() { taken.Close() })
		if l, err := listen(port); err == nil {
			l.Close()
			ports = append(ports, port)
		}
	}
	t.Fatalf("%d ports of 127.0.0.1 are free, not %d", len(ports), n)
	return nil
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
}

// Process is a running server.
type Process struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	ended  chan struct{}
	err    error // how it ended; read after ended is closed
	stop   sync.Once
}

// stopTime is how long a server may take to end by itself.
const stopTime = 10 * time.Second

// Start starts a server that ends with the test at the latest; if the test is killed the kernel ends it.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	cmd.SysProcAttr = dieWithParent()
	cmd.WaitDelay = stopTime
	started := make(chan error)
	go func() {
		// The kernel's wish is about the thread that started the process, so that thread waits for it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// Stop asks the server to end, and waits until it has.
func (p *Process) Stop() {
	p.stop.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails if it has ended
		late := time.AfterFunc(stopTime, p.kill)
		defer late.Stop()
		<-p.ended
	})
}

// Kill ends the server as a power cut would.
func (p *Process) Kill() {
	p.kill()
	<-p.ended
}

func (p *Process) kill() { _ = p.cmd.Process.Kill() } // fails if it has ended

// Await waits until ready returns nil. It fails when the server ends first, or is late, with what the server has said.
func (p *Process) Await(ready func() error) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	late := time.After(time.Minute)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-p.ended:
			return fmt.Errorf("%s ended before it was ready: %v\n%s", p.cmd.Path, p.err, p.output.Bytes())
		case <-late:
			p.Kill()
			return fmt.Errorf("%s is not ready: %w\n%s", p.cmd.Path, err, p.output.Bytes())
		}
	}
}
