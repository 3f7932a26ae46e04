package fleet_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

// confined is what must be true of a container: a root and a user of its own, and of its machine's folder for jobs
// what was handed over to it.
const confined = `kind: task
name: confined
output: %s
files: [greeting.txt]
secrets: [CONFINED_PASSWORD]
task:
  tasks: 3
  command: |
    set -e
    test "$(id -u)" = 65534 || { echo "it runs as $(id -u)"; exit 1; }
    for path in /etc/shadow /root %[2]s/cluster.json %[2]s/c?/key.pem; do
      test ! -e $path || { echo "it sees $path"; exit 1; }
    done
    for path in %[2]s/c?/runner; do
      test ! -w $path || { echo "it may write $path"; exit 1; }
      test -w $path/logs || { echo "it may not write $path/logs"; exit 1; }
    done
    cat greeting.txt > $RUNNER_OUTPUT/said
    echo $CONFINED_PASSWORD >> $RUNNER_OUTPUT/said
resources: {executors: 1, memory: 128MiB}
retry: {task: 1}
`

// TestConfined runs containers as they are started where nobody has asked for another driver: in a chroot each.
func TestConfined(t *testing.T) {
	tr := newTrial(t)
	tr.env = []string{"CONFINED_PASSWORD=s3cret"}
	tr.write("greeting.txt", "hello\n")
	tr.write("confined.yaml", fmt.Sprintf(confined, tr.uri("confined"), tr.cluster.Dir))
	tr.run("run", "confined.yaml")
	if out := tr.run("fs", "cat", tr.uri("confined/task-2/said")); out != "hello\ns3cret\n" {
		t.Errorf("it said %q", out)
	}
	// What has no line in it is kept whole by tail, which is more than the container has.
	tr.write("hungry.yaml", `kind: task
task: {tasks: 1, command: "head -c 400000000 /dev/zero | tail -n 1 > /dev/null"}
resources: {executors: 1, memory: 128MiB}
retry: {task: 1}
`)
	if out, err := tr.command("run", "hungry.yaml").CombinedOutput(); err == nil {
		t.Errorf("a container has used more memory than it was given:\n%s", out)
	} else if !strings.Contains(string(out), "FAILED") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestRawExecDriver runs a container as a process of its machine, on a cluster of its own that was started so.
func TestRawExecDriver(t *testing.T) {
	needCluster(t)
	c, err := cluster.Up(t.Context(), cluster.Options{
		Name: "raw", Dir: filepath.Join(t.TempDir(), "raw"), Servers: 1, Clients: 1, Driver: nomad.RawExec,
		Engines: site.cluster.State.Engines, Runner: filepath.Join(site.bin, "runner"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		before := controlGroups(t, c)
		if err := c.Down(); err != nil {
			t.Error(err)
		}
		if len(before) == 0 {
			t.Error("its containers have no control groups, so whether they are removed was not seen")
		}
		for _, group := range before {
			if _, err := os.Stat(group); err == nil {
				t.Errorf("left behind: %s", group)
			}
		}
	})
	if err := c.State.Fleet.Save(site.home); err != nil {
		t.Fatal(err)
	}
	tr := &trial{t: t, cluster: c, dir: t.TempDir()}
	tr.write("raw.yaml", fmt.Sprintf(`kind: task
task: {tasks: 1, command: "test $(id -u) = %d && test -e /root && test -e %s/cluster.json"}
resources: {executors: 1, memory: 128MiB}
retry: {task: 1}
`, os.Getuid(), c.Dir))
	tr.run("run", "raw.yaml")
}

// controlGroups are those of a cluster's containers.
func controlGroups(t *testing.T, c *cluster.Cluster) (all []string) {
	t.Helper()
	client, err := c.Nomad()
	if err != nil {
		t.Fatal(err)
	}
	allocs, _, err := client.Allocations().List(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range allocs {
		for _, tree := range []string{"/sys/fs/cgroup/memory/nomad", "/sys/fs/cgroup/nomad.slice/*"} {
			groups, _ := filepath.Glob(filepath.Join(tree, a.ID+".*")) // the pattern is well formed
			all = append(all, groups...)
		}
	}
	return all
}
