package fakecloud

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/nodeinit"
)

// gated is a job that sorts lines, and whose maps stop at a gate until it is opened.
type gated struct {
	*user
	output   string
	gate     net.Listener
	arrivals chan string // addresses of machines to which maps have come
	opened   chan struct{}
	open     func()
	ended    chan struct{} // closed when it has ended
	failed   error         // how it has
	said     *bytes.Buffer
}

// begins begins such a job, whose output has the name of the stage.
func (u *user) begins() *gated {
	u.Helper()
	const most = 64 // maps that come, those that come again included
	j := &gated{
		user: u, output: path.Base(u.Name()), arrivals: make(chan string, most), opened: make(chan struct{}),
		ended: make(chan struct{}),
	}
	j.open = sync.OnceFunc(func() { close(j.opened) })
	var err error
	j.gate, err = net.Listen("tcp", net.JoinHostPort(Gateway, "0"))
	u.does(err)
	var held sync.WaitGroup
	held.Go(func() { j.hold(&held) })
	cmd, _, stderr := u.command("run", j.spec(), "--cluster", name, "--quiet")
	j.said = stderr
	u.does(cmd.Start())
	go func() {
		defer close(j.ended)
		j.failed = cmd.Wait()
	}()
	u.Cleanup(func() {
		j.open()
		_ = j.gate.Close()
		held.Wait()
		<-j.ended
	})
	return j
}

// spec writes the job down.
func (j *gated) spec() (file string) {
	dir := j.TempDir()
	script, spec := filepath.Join(dir, "gate.sh"), filepath.Join(dir, "gated.yaml")
	_, port, _ := net.SplitHostPort(j.gate.Addr().String()) // well formed
	for file, text := range map[string]string{
		script: "exec 3<>/dev/tcp/" + Gateway + "/" + port + " && read -r _ <&3 && tr ' ' '\n'\n",
		spec: "kind: mapreduce\nname: gated\ninput: " + at("in") + "\noutput: " + at(j.output) +
			"\nfiles: [" + script + "]\nresources: {memory: 256MiB}\n" +
			"mapreduce: {mapper: {exec: bash gate.sh}, reducer: {exec: cut -f 1}, reducers: 1, speculative: false}\n",
	} {
		j.does(os.WriteFile(file, []byte(text), 0o600))
	}
	return spec
}

// hold stops maps until the gate is closed for good.
func (j *gated) hold(held *sync.WaitGroup) {
	for {
		conn, err := j.gate.Accept()
		if err != nil {
			return // it is closed
		}
		host, _, _ := net.SplitHostPort(conn.RemoteAddr().String()) // well formed
		j.arrivals <- host
		held.Go(func() {
			<-j.opened
			fmt.Fprintln(conn, "go on") // to a map that may be no more
			_ = conn.Close()
		})
	}
}

// arrival waits for a map at another machine than those, and returns at which one it is.
func (j *gated) arrival(others ...string) string {
	j.Helper()
	late := time.After(patience)
	for {
		select {
		case address := <-j.arrivals:
			if id := j.cloud.At(address); id != "" && !slices.Contains(others, id) {
				return id
			}
		case <-j.ended:
			j.Fatalf("a job has ended before its maps: %v\n%s", j.failed, tailOf(j.said.String()))
		case <-late:
			j.Fatalf("no map has come but to %v\n%s", others, j.cloud.Consoles())
		}
	}
}

// ends opens the gate and waits for the end of the job, whose output must be right.
func (j *gated) ends() {
	j.Helper()
	j.open()
	if <-j.ended; j.failed != nil {
		j.Fatalf("a job: %v\n%s", j.failed, tailOf(j.said.String()))
	}
	if got := j.run("fs", "cat", at(j.output+"/part-r-00000")); got != "a\na\nb\n" {
		j.Errorf("a job sorts %q", got)
	}
	j.run("verify", at(j.output))
}

// losesWorker kills a machine in the middle of a job, which goes on at another one. The group starts another machine.
func (u *user) losesWorker() {
	j := u.begins()
	lost := j.arrival()
	u.does(u.cloud.Kill(u.Context(), lost))
	j.arrival(lost)
	j.ends()
	u.awaitWorkers(2, lost)
}

// does fails if the cloud could not do something.
func (u *user) does(err error) {
	u.Helper()
	if err != nil {
		u.Fatal(err)
	}
}

// losesServer kills the machine of the control that leads in the middle of a job, which another one sees to its end. The
// group starts another machine, which joins.
func (u *user) losesServer() {
	j := u.begins()
	j.arrival()
	leader := u.leader("")
	u.does(u.cloud.Kill(u.Context(), leader))
	u.leader(leader)
	j.ends()
	u.awaitServers(leader)
}

// leader waits until a control leads at another machine than one, and returns at which.
func (u *user) leader(other string) (id string) {
	u.Helper()
	await(u.T, u.cloud, "a control that leads", func() bool {
		about, err := u.control().Cluster(u.Context())
		if errs.KindOf(err) == errs.Canceled {
			u.Fatal(err)
		}
		at, parsed := url.Parse(about.Leader)
		if err != nil || parsed != nil {
			return false
		}
		id = u.cloud.At(at.Hostname())
		return id != "" && id != other
	})
	return id
}

func (u *user) control() *client.Client {
	u.Helper()
	c, err := fleet.Load(u.home, name)
	u.does(err)
	none := func(context.Context, string) (store.Store, error) { return mem.New(), nil }
	f, err := fleet.Open(u.Context(), c, none)
	u.does(err)
	u.Cleanup(f.Close)
	control, err := f.Control()
	u.does(err)
	return control
}

// awaitServers waits until three servers are ready, and none of them is the one that was lost.
func (u *user) awaitServers(lost string) {
	u.Helper()
	await(u.T, u.cloud, "servers", func() bool {
		running := u.cloud.Running("server")
		return len(running) == 3 && !slices.Contains(running, lost) && u.status().Health.Servers == 3
	})
	u.learns()
}

// losesCable cuts a worker off in the middle of a job, which goes on at another one, and mends the cable.
func (u *user) losesCable() {
	j := u.begins()
	lost := j.arrival()
	u.does(u.cloud.Cut(lost, true))
	u.Cleanup(func() { _ = u.cloud.Cut(lost, false) }) // so that one stage that fails is not three
	j.arrival(lost)
	u.does(u.cloud.Cut(lost, false))
	j.ends()
	u.awaitWorkers(2, "")
	if !slices.Contains(u.cloud.Running("worker"), lost) {
		u.Errorf("%s was replaced, whose cable is well", lost)
	}
}

// losesSpot lets the cloud take a worker away in the middle of a job, and tell the other one that it is about to. Both
// must be done when they go. What they have left goes with them, and the job ends at others.
func (u *user) losesSpot() {
	j := u.begins()
	taken := j.arrival()
	both := u.cloud.Running("worker")
	told := both[1-slices.Index(both, taken)]
	var all sync.WaitGroup
	for id, notice := range map[string]struct {
		give func(context.Context, string) (Departure, error)
		says string
	}{
		taken: {u.cloud.Reclaim, "the cloud takes the machine away"},
		told:  {u.cloud.Rebalance, "the cloud is about to take the machine away"},
	} {
		all.Go(func() {
			d, err := notice.give(u.Context(), id)
			u.Logf("%s was done %.1f s after notice", id, d.Took.Seconds())
			if err != nil || !d.Ready || !strings.Contains(d.Said, notice.says) {
				u.Errorf("%s goes so: %+v, %v", id, d, err)
			}
		})
	}
	await(u.T, u.cloud, "a worker that drains", func() bool {
		_, gone := u.cloud.Departure(taken)
		return gone || slices.ContainsFunc(u.status().Health.Reports, func(r nodeinit.Report) bool {
			return r.Machine == taken && r.State == nodeinit.Draining
		})
	})
	j.ends()
	all.Wait()
	u.awaitWorkers(2, taken)
}
