package fakecloud

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/fleet/aws"
	"github.com/seed3322913c/runner/infra/fleet/fleettest"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
)

// circles runs jobs of files of this machine with `runner run --deploy --teardown`, each with a fleet of its own, all
// at the same time: one counts words, one fails, and of one the client is killed.
func (u *user) circles() {
	for name, play := range map[string]func(*user){
		"counts": (*user).circleCounts, "fails": (*user).circleFails, "is killed": (*user).circleIsKilled,
	} {
		u.Run(name, func(t *testing.T) {
			t.Parallel()
			one := *u
			one.T, one.env = t, slices.Clone(u.env)
			play(&one)
		})
	}
}

// circle writes down a job that reads the file in.txt of a folder and writes to its folder out, and returns the command
// that plays it.
func (u *user) circle(job, dir, mapreduce string) []string {
	u.Helper()
	spec, in := filepath.Join(dir, "job.yaml"), filepath.Join(dir, "in.txt")
	for file, text := range map[string]string{
		in: "b a\na\n",
		spec: "kind: mapreduce\nname: " + job + "\ninput: " + in + "\noutput: " + filepath.Join(dir, "out") +
			"\nresources: {memory: 256MiB}\nmapreduce: " + mapreduce + "\n",
	} {
		u.does(os.WriteFile(file, []byte(text), 0o600))
	}
	return []string{
		"run", spec, "--deploy", "--teardown", "--provider", "aws", "--region", fleettest.Region, "--servers", "1",
		"--workers", "1", "--driver", "raw_exec", "--yes",
	}
}

// circleCounts finds what its job has written, and what its processes have said, on this machine.
func (u *user) circleCounts() {
	dir := u.TempDir()
	u.run(u.circle("counts", dir, "{mapper: {builtin: wordcount}, reducer: {builtin: sum}, reducers: 1}")...)
	if text, err := os.ReadFile(filepath.Join(dir, "out", "part-r-00000")); err != nil || string(text) != "a\t2\nb\t1\n" {
		u.Errorf("it counts %q, %v", text, err)
	}
	logs, _ := filepath.Glob(filepath.Join(u.home, "logs", "*-counts", "am-0.log")) // the pattern is well formed
	if len(logs) == 0 {
		u.Error("the log of its application master was not fetched")
	}
}

// circleFails ends as its job does.
func (u *user) circleFails() {
	cmd, _, stderr := u.command(u.circle("fails", u.TempDir(), "{mapper: {exec: bash -c 'exit 7'}, reducers: 0}")...)
	_ = cmd.Run() // how it ends says its exit code
	exit, story := cmd.ProcessState.ExitCode(), stderr.String()
	if exit != say.ExitFailed || !strings.Contains(story, "exited with status 7") {
		u.Errorf("it ends with %d: %s", exit, tailOf(story))
	}
}

// circleIsKilled loses its client in the midst of its job. The time of the fleet comes, whereupon nothing is left that
// is paid for by the hour; and somebody at another computer removes the rest.
func (u *user) circleIsKilled() {
	const name = "killed"
	dir, elsewhere := u.TempDir(), *u
	elsewhere.env = append(elsewhere.env, embedded.HomeEnv+"="+filepath.Join(dir, "home"))
	gate, err := net.Listen("tcp", net.JoinHostPort(Gateway, "0"))
	u.does(err)
	_, port, _ := net.SplitHostPort(gate.Addr().String()) // well formed
	waits := "{mapper: {exec: bash -c 'read -r _ < /dev/tcp/" + Gateway + "/" + port + "'}, reducers: 0}"
	job := append(elsewhere.circle("waits", dir, waits), "--cluster", name, "--ttl", "30m")
	cmd, _, stderr := elsewhere.command(job...)
	u.does(cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()   // it is killed
		_ = gate.Close() // if it has not got that far, nobody will come
	}()
	held, err := gate.Accept()
	if err != nil {
		u.Fatalf("it has ended before its map: %s", tailOf(stderr.String()))
	}
	defer held.Close()
	u.does(cmd.Process.Kill())
	<-ended

	var s status
	elsewhere.answer(&s, "status", "--cluster", name)
	if len(s.Machines) != 2 {
		u.Fatalf("it has the machines %v", s.Machines)
	}
	if fired, err := u.cloud.Fire(u.Context(), s.Expires); err != nil || fired != 2 {
		u.Fatalf("%d switches fire, %v", fired, err)
	}
	_, err = io.WriteString(held, "go on\n") // or its machine would be waited for
	u.does(err)
	await(u.T, u.cloud, "the end of a fleet that nobody looks after", func() bool {
		running := slices.Concat(u.cloud.Running("server"), u.cloud.Running("worker"))
		return !slices.Contains(running, s.Machines[0].ID) && !slices.Contains(running, s.Machines[1].ID)
	})
	var end struct{ Left []any }
	u.answer(&end, "teardown", name, "--provider", "aws", "--region", fleettest.Region, "--yes", "--purge-data")
	if len(end.Left) > 0 {
		u.Errorf("teardown says that something is left: %v", end.Left)
	}
}

// leavesNothing looks for what carries the mark of any fleet.
func (u *user) leavesNothing() {
	u.nothingToCollect()
	u.awaitNobody()
	p, err := aws.New(u.Context(), fleettest.Region)
	u.does(err)
	left, err := p.Scan(u.Context(), "")
	u.does(err)
	if len(left) > 0 {
		u.Errorf("in the end there are %v", left)
	}
}
