package fleet_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
)

// TestDetached leaves a job alone. When it is over, the next who looks at the jobs finds nothing of it in Nomad or
// Consul; and files of the cluster are seen by verbs that know the cluster's name alone.
func TestDetached(t *testing.T) {
	tr := newTrial(t)
	output := "s3://" + cluster.Bucket + "/" + tr.folder + "/out"
	id := strings.TrimSpace(tr.run("run", "task", "--command", "echo one > $RUNNER_OUTPUT/x", "--tasks", "1",
		"--output", output, "--detach"))
	tr.must(tr.cluster.Eventually(t.Context(), func() error {
		var s embedded.Status
		if err := json.Unmarshal([]byte(tr.run("status", id, "--json")), &s); err != nil {
			return err
		}
		if s.State != scheduler.JobSucceeded {
			return fmt.Errorf("the job is %s", s.State)
		}
		return nil
	}))
	nomad, err := tr.cluster.Nomad()
	tr.must(err)
	tr.must(tr.cluster.Eventually(t.Context(), func() error { // its application master may still be on its way out
		tr.run("jobs")
		if jobs, _, err := nomad.Jobs().PrefixList(id); err != nil || len(jobs) > 0 {
			return fmt.Errorf("%d jobs are left in Nomad: %w", len(jobs), err)
		}
		return nil
	}))
	tr.nothingLeft(scheduler.JobID(id))
	tr.bare("verify", output)
	if got := tr.bare("fs", "cat", output+"/task-0/x"); got != "one\n" {
		t.Errorf("fs cat: %q", got)
	}
}

// withoutStore is an environment without what leads to the store of the cluster that the tests share.
func withoutStore(env []string) []string {
	return slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "AWS_") })
}

// bare runs a verb that must succeed with no more of the cluster than its name.
func (tr *trial) bare(args ...string) string {
	tr.t.Helper()
	cmd := tr.command(args...)
	cmd.Env = withoutStore(cmd.Env)
	out, err := cmd.Output()
	if err != nil {
		tr.t.Fatalf("%q: %v %v", args, err, err.(*exec.ExitError).Stderr)
	}
	return string(out)
}
