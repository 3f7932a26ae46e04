package fleet_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3322913c/runner/scheduler"
)

// turnstile lets some maps of a job go on, and holds all others until it is opened: what happens meanwhile happens in
// the middle of the job, while each of its executors is at work, however fast or slow the machine is.
type turnstile struct {
	trial  *trial
	url    string        // which maps ask
	pass   atomic.Int64  // how many more go on
	held   atomic.Int64  // maps that wait
	full   chan struct{} // closed by fill, when every executor has one
	opened chan struct{} // closed by open

	fill, open func()
}

// executors is how many the trial's jobs have, each with one map at a time.
const executors = 3

// turnstile makes one that lets n maps of a job pass.
func (tr *trial) turnstile(n int) *turnstile {
	tr.t.Helper()
	g := &turnstile{trial: tr, full: make(chan struct{}), opened: make(chan struct{})}
	g.open, g.fill = sync.OnceFunc(func() { close(g.opened) }), sync.OnceFunc(func() { close(g.full) })
	g.pass.Store(int64(n))
	listener, err := net.Listen("tcp", net.JoinHostPort(tr.cluster.State.Machines[0].Address, "0"))
	tr.must(err)
	g.url = "http://" + listener.Addr().String()
	server := &http.Server{Handler: g, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // until it is closed
	tr.t.Cleanup(func() {
		g.open()
		_ = server.Close() // nobody asks any more
	})
	return g
}

func (g *turnstile) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	if g.pass.Add(-1) >= 0 {
		return
	}
	if g.held.Add(1) == executors {
		g.fill()
	}
	select {
	case <-g.opened:
	case <-r.Context().Done():
		g.held.Add(-1)
	}
}

// knock is the command by which a task comes to it.
func (g *turnstile) knock() string {
	return fmt.Sprintf(`bash -c 'exec 3<>/dev/tcp/%s && printf "GET / HTTP/1.0\r\n\r\n" >&3 && read answer <&3'`,
		strings.Replace(strings.TrimPrefix(g.url, "http://"), ":", "/", 1))
}

// start runs a job whose maps come to it, and returns when all of its executors wait there.
func (g *turnstile) start(spec string, more ...string) (*watched, scheduler.JobID) {
	g.trial.t.Helper()
	w := g.trial.start(append([]string{"run", spec, "--set", "gate=" + g.url}, more...)...)
	job := w.progressed(1).Job
	g.fills(w)
	return w, job
}

// fills returns when all executors of a run wait there.
func (g *turnstile) fills(w *watched) {
	g.trial.t.Helper()
	select {
	case <-g.full:
	case <-time.After(2 * time.Minute):
		g.trial.t.Fatalf("%d of %d executors wait at the turnstile\n%s", g.held.Load(), executors, w.stderr.String())
	}
}
