package fleet_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

// confined is what must be true of a container of the driver exec: a root and a user of its own, and no more memory than
// it was given.
const confined = `kind: task
name: confined
output: s3://%s/confined
files: [greeting.txt]
secrets: [CONFINED_PASSWORD]
task:
  tasks: 3
  command: |
    set -e
    test "$(id -u)" = 65534 || { echo "it runs as $(id -u)"; exit 1; }
    for path in /etc/shadow /root %s; do
      test ! -e $path || { echo "it sees $path"; exit 1; }
    done
    cat greeting.txt > $RUNNER_OUTPUT/said
    echo $CONFINED_PASSWORD >> $RUNNER_OUTPUT/said
resources: {executors: 1, memory: 128MiB}
retry: {task: 1}
`

// TestExecDriver runs containers in a chroot each, on a cluster of its own.
func TestExecDriver(t *testing.T) {
	needCluster(t)
	t.Setenv("CONFINED_PASSWORD", "s3cret")
	dir := t.TempDir()
	c, err := cluster.Up(t.Context(), cluster.Options{
		Name: "exec", Dir: t.TempDir(), Servers: 1, Clients: 1, Driver: nomad.Exec,
		Engines: site.cluster.State.Engines, Runner: filepath.Join(site.bin, "runner"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Down(); err != nil {
			t.Error(err)
		}
	})
	if err := c.State.Fleet.Save(site.home); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"confined.yaml": fmt.Sprintf(confined, cluster.Bucket, site.home), "greeting.txt": "hello\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (string, error) {
		cmd := exec.Command(filepath.Join(site.bin, "runner"), args...)
		cmd.Dir, cmd.Env = dir, append(withoutStore(os.Environ()), embedded.HomeEnv+"="+site.home, "RUNNER_CLUSTER=exec")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("run", "confined.yaml"); err != nil {
		id, _, _ := strings.Cut(strings.TrimPrefix(out, "job "), "\n")
		logs, _ := run("logs", id)
		t.Fatalf("%v\n%s%s", err, out, logs)
	}
	out, err := run("fs", "cat", "s3://"+cluster.Bucket+"/confined/task-2/said")
	if err != nil || out != "hello\ns3cret\n" {
		t.Errorf("%q, %v", out, err)
	}
	// What has no line in it is kept whole by tail, which is more than the container has.
	if err := os.WriteFile(filepath.Join(dir, "hungry.yaml"), []byte(`kind: task
task: {tasks: 1, command: "head -c 400000000 /dev/zero | tail -n 1 > /dev/null"}
resources: {executors: 1, memory: 128MiB}
retry: {task: 1}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run("run", "hungry.yaml"); err == nil {
		t.Errorf("a container has used more memory than it was given:\n%s", out)
	} else if !strings.Contains(out, "FAILED") {
		t.Errorf("%v\n%s", err, out)
	}
}
