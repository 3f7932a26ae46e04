package fakecloud

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/runner/say"
)

// failsToBoot deploys the fleet again, with one more worker, whose disk is broken: deploy names it and says why, and
// ends at once, long before it gives machines up that say nothing.
func (u *user) failsToBoot() {
	before := u.cloud.Running("worker")
	all := slices.Clone(deploy)
	all[slices.Index(all, "--workers")+1] = strconv.Itoa(len(before) + 1)
	u.cloud.Trouble(func(role string) Trouble { return Trouble{Disk: role == "worker"} })
	defer u.cloud.Trouble(nil)
	cmd, _, stderr := u.command(append(all, "--yes")...)
	_ = cmd.Run() // how it ends says its exit code
	exit, story, workers := cmd.ProcessState.ExitCode(), stderr.String(), u.cloud.Running("worker")
	broken := slices.DeleteFunc(slices.Clone(workers), func(id string) bool { return slices.Contains(before, id) })
	if exit != say.ExitUnreachable || len(broken) != 1 || !strings.Contains(story, fmt.Sprintf(
		"%d of %d workers of %s work; %s: nodeinit.prepare /var/lib/runner/logs: ",
		len(before), len(workers), name, broken[0])) {
		u.Errorf("deploy ends with %d, when %v run: %s", exit, workers, tailOf(story))
	}
}
