package integration

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/hdfsgw/client"
	"github.com/seed3322913c/runner/infra/seedtest"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/s3"
	"github.com/seed3322913c/runner/infra/store/s3/s3test"
)

// gateway is a process of `runner gateway`.
type gateway struct {
	address string // of WebHDFS
	rpc     string // "" without --rpc
	cmd     *exec.Cmd
	turns   chan bool // whether it leads, at first and at each change; closed when the process has ended
	stderr  strings.Builder
}

// startGateway starts a gateway. It is killed at the end of the test, if it still runs.
func startGateway(t *testing.T, env []string, args ...string) *gateway {
	t.Helper()
	all := append([]string{"gateway", "--json", "--superuser", "root"}, args...)
	g := &gateway{cmd: exec.Command(filepath.Join(os.Getenv(binEnv), "runner"), all...), turns: make(chan bool, 100)}
	g.cmd.Env = append(append(os.Environ(), "RUNNER_HOME="+t.TempDir()), env...) // for its cache
	g.cmd.Stderr = &g.stderr
	out, err := g.cmd.StdoutPipe()
	if err == nil {
		err = g.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = g.cmd.Process.Kill() // it may have ended
		_ = g.cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	var first struct {
		HTTP, RPC string
		Leader    bool
	}
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &first) != nil {
		t.Fatalf("the gateway said %q\n%s", lines.Text(), g.stderr.String())
	}
	g.address, g.rpc = first.HTTP, first.RPC
	go func() {
		defer close(g.turns)
		for lines.Scan() {
			var e struct{ Leader bool }
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				g.turns <- e.Leader
			}
		}
	}()
	return g
}

// leads waits until the gateway leads.
func (g *gateway) leads(t *testing.T) {
	t.Helper()
	for leader := range g.turns {
		if leader {
			return
		}
	}
	t.Fatalf("the gateway ended: %s", g.stderr.String())
}

// kill ends the gateway with SIGKILL.
func (g *gateway) kill(t *testing.T) {
	t.Helper()
	g.end(t, syscall.SIGKILL)
}

// end ends the gateway with a signal.
func (g *gateway) end(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := g.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	for range g.turns { // until its output ends
	}
	_ = g.cmd.Wait() // it was ended, as it was meant
}

// TestHDFSToHDFS counts words from a gateway to the same gateway, which keeps its files in a folder, or in S3 under a
// prefix, and compares with what an oracle counts.
func TestHDFSToHDFS(t *testing.T) {
	srv := s3test.Start(t)
	bucket := srv.NewBucket(t)
	keys, err := srv.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	aws := []string{"AWS_ENDPOINT_URL=" + srv.Endpoint, "AWS_REGION=" + srv.Region,
		"AWS_ACCESS_KEY_ID=" + keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + keys.SecretAccessKey}
	for _, kept := range []string{"file://" + t.TempDir(), "s3://" + bucket + "/deep/er"} {
		g := startGateway(t, aws, "--http", "127.0.0.1:0", "--store", kept)
		g.leads(t)
		tr := newTrial(t, seedtest.New(t))
		c, err := client.New([]string{g.address}, client.Options{User: "root"})
		if err != nil {
			t.Fatal(err)
		}
		st := client.NewStore(c)
		for _, name := range []string{"0.txt", "1.txt", "2.txt", "3.txt"} {
			text, err := os.ReadFile(filepath.Join(tr.dir, "in", name))
			if err != nil {
				t.Fatal(err)
			}
			if err := store.Put(t.Context(), st, store.Name("in/"+name), text); err != nil {
				t.Fatal(err)
			}
		}
		env := append([]string{"RUNNER_GATEWAYS=demo=" + g.address, "HADOOP_USER_NAME=root"}, aws...)
		run := func(code int, args ...string) string {
			t.Helper()
			cmd := tr.command(args...)
			cmd.Env = append(cmd.Env, env...)
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
				t.Fatalf("%q: %v\n%s\n%s", args, err, out, g.stderr.String())
			}
			return string(out)
		}
		count := []string{"run", "wordcount", "--input", "hdfs://demo/in/*.txt", "--output", "hdfs://demo/out/counts"}
		run(0, count...)
		got := map[string]int{}
		for info, err := range st.List(t.Context(), "out/counts/part-") {
			if err != nil {
				t.Fatal(err)
			}
			part, err := store.Get(t.Context(), st, info.Name, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(part)) {
				word, number, _ := strings.Cut(strings.TrimSpace(line), "\t")
				n, err := strconv.Atoi(number)
				if err != nil || got[word] != 0 {
					t.Fatalf("line %q: %v", line, err)
				}
				got[word] = n
			}
		}
		if d := cmp.Diff(tr.want, got); d != "" {
			t.Error(d)
		}
		if text := run(0, "verify", "hdfs://demo/out/counts"); !strings.Contains(text, "is whole") {
			t.Error(text)
		}
		if text := run(2, count...); !strings.Contains(text, "exists already, written by job ") {
			t.Error(text)
		}
		run(0, append(count, "--overwrite")...)
		for info, err := range st.List(t.Context(), "out/.") {
			t.Error("left behind:", info.Name, err)
		}
	}
	// What the gateway has in the bucket is below its prefix.
	all, err := s3.Open(t.Context(), srv.Config(bucket))
	if err != nil {
		t.Fatal(err)
	}
	for info, err := range all.List(t.Context(), "") {
		if err != nil || !strings.HasPrefix(string(info.Name), "deep/er/") {
			t.Fatal(info.Name, err)
		}
	}
}
