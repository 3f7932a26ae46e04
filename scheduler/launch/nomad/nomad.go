// Package nomad is the launcher of a fleet: a group is a Nomad job of one task group, a container an allocation of it.
//
//	group 7k2f-wordcount/executor     job 7k2f-wordcount-executor, a batch job of one group and task: executor
//	container executor-3.1            allocation with index 3, started again once
//	Restart                           the task's restart policy; a machine that is lost, drained or taken away by
//	                                  preemption is Nomad's to replace, however often
//	Secrets                           Nomad variable nomad/jobs/<job>, which the job's own identity alone can read; a
//	                                  template makes them environment variables, so they are in no job file
//	Resources                         cpu shares and memory that Nomad reserves for the container
//
// A container's restarts are counted where they happen. The n-th restart in place is number n: a small script, which is
// what Nomad starts, counts its runs in a file of the allocation. An allocation that replaces another one of its index
// begins at the next thousand; which one it is, it finds in the variable nomad/jobs/<job>/<role>, where every Watch
// keeps how many of each index have begun. One that may have started before that was written, and so with a name that
// was used before, Watch has replaced.
//
// The driver is raw_exec or exec: see Driver. Values of Command, Env and LogDir may refer to the machine as Nomad has
// it, ${meta.runner_dir} for example.
package nomad

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// Options may all be left zero. What is not said is taken from the environment, as Nomad's own tools do: NOMAD_ADDR,
// NOMAD_TOKEN, NOMAD_CACERT and so on.
type Options struct {
	Address string       // of an agent, a URL
	Token   string       // may submit and read jobs, and write the variables below nomad/jobs
	Prefix  string       // before the names of all jobs, for launchers that share a fleet but no groups
	CPU     int          // Nomad's MHz for each core that a group asks for; 1000
	Client  *http.Client // nil: one that trusts NOMAD_CACERT
	Driver  Driver       // Exec
	// Namespace says in which of Nomad's namespaces a group is: what Token may do ends at theirs. The zero Job stands for
	// all groups of a role. nil: in the one that is always there.
	Namespace func(launch.GroupID) string
	// For the driver Exec: what groups call the machine's folder for jobs, this program, and the file of who vouches for
	// the agents. They may refer to the machine as Nomad has it.
	Folder, Program, CA string
}

// Launcher is a launch.Launcher. Any number of them, in any number of processes, may work on the same groups.
type Launcher struct {
	client *api.Client
	prefix string
	cpu    int
	driver Driver
	space  func(launch.GroupID) string // the group's namespace
	// folder, program and ca are what groups call these.
	folder, program, ca string
	doubted             sync.Map // ids of allocations that may have a wrong number
	// numbered has how many allocations of a group's index 0 have begun, as WatchRole has last written it down.
	numbered sync.Map // int by launch.GroupID
}

// Open returns a launcher that speaks to an agent. It does not try whether there is one.
func Open(o Options) (*Launcher, error) {
	o.Driver = cmp.Or(o.Driver, Exec)
	if o.Driver == Exec && (o.Folder == "" || o.Program == "" || o.CA == "") {
		return nil, errs.Errorf("nomad.Open", errs.Invalid, o.Driver, "nobody says where things are on the machines")
	}
	config := api.DefaultConfig()
	config.Address = cmp.Or(o.Address, config.Address)
	config.SecretID = cmp.Or(o.Token, config.SecretID)
	config.HttpClient = o.Client
	client, err := api.NewClient(config)
	if err != nil {
		return nil, errs.E("nomad.Open", errs.Invalid, config.Address, err)
	}
	if o.Namespace == nil {
		o.Namespace = func(launch.GroupID) string { return api.DefaultNamespace }
	}
	return &Launcher{
		client: client, prefix: o.Prefix, cpu: cmp.Or(o.CPU, 1000), driver: o.Driver, space: o.Namespace,
		folder: o.Folder, program: o.Program, ca: o.CA,
	}, nil
}

// Close gives the connections back. Groups go on.
func (l *Launcher) Close() { l.client.Close() }

// Name is the Nomad job of a group. Variables' paths have no dots; "~" is in no job's id.
func (l *Launcher) Name(id launch.GroupID) string {
	return l.prefix + strings.ReplaceAll(string(id.Job), ".", "~") + "-" + id.Role
}

// query and write are how Nomad is asked about a group: in its namespace.
func (l *Launcher) query(ctx context.Context, id launch.GroupID) *api.QueryOptions {
	return (&api.QueryOptions{Namespace: l.space(id)}).WithContext(ctx)
}

func (l *Launcher) write(ctx context.Context, id launch.GroupID) *api.WriteOptions {
	return (&api.WriteOptions{Namespace: l.space(id)}).WithContext(ctx)
}

// code is the HTTP status of an answer, 0 if there was none.
func code(err error) int {
	var status api.UnexpectedResponseError
	if errors.As(err, &status) {
		return status.StatusCode()
	}
	return 0
}

// fail gives an error of the client its kind.
func fail(ctx context.Context, op string, id launch.GroupID, err error) error {
	kind := errs.Unavailable
	switch c := code(err); {
	case ctx.Err() != nil:
		kind = errs.Canceled
	case c == http.StatusNotFound:
		kind = errs.NotFound
	case c == http.StatusForbidden || c == http.StatusUnauthorized:
		kind = errs.Permission
	case c >= 400 && c < 500 && c != http.StatusTooManyRequests:
		kind = errs.Invalid
	}
	return errs.E(op, kind, id, err)
}

// Start implements launch.Launcher.
func (l *Launcher) Start(ctx context.Context, g launch.Group) error {
	const op = "nomad.Start"
	if err := g.Check(); err != nil {
		return err
	}
	if g.Restart.Attempts >= generation {
		return errs.Errorf(op, errs.Invalid, g.ID, "%d restarts, %d allowed", g.Restart.Attempts, generation-1)
	}
	name := l.Name(g.ID)
	before, _, err := l.client.Jobs().Info(name, l.query(ctx, g.ID))
	var index uint64
	switch {
	case err == nil && before.Stop != nil && !*before.Stop:
		return nil
	case err == nil:
		index = *before.JobModifyIndex
	case code(err) != http.StatusNotFound:
		return fail(ctx, op, g.ID, err)
	}
	if err := l.entrust(ctx, g); err != nil {
		return fail(ctx, op, g.ID, err)
	}
	_, _, err = l.client.Jobs().EnforceRegister(l.job(g), index, l.write(ctx, g.ID))
	if err != nil && strings.Contains(err.Error(), api.RegisterEnforceIndexErrPrefix) {
		return nil // somebody else was quicker
	}
	if err != nil {
		return fail(ctx, op, g.ID, err)
	}
	return nil
}

// Keep keeps variables for a group that is not started yet, where its containers alone can read them; Forget removes
// them.
func (l *Launcher) Keep(ctx context.Context, id launch.GroupID, vars map[string]string) error {
	if len(vars) == 0 { // which Nomad does not keep
		return nil
	}
	_, _, err := l.client.Variables().Update(&api.Variable{Path: l.kept(id), Items: vars}, l.write(ctx, id))
	if err != nil {
		return fail(ctx, "nomad.Keep", id, err)
	}
	return nil
}

// Kept returns what Keep has kept; nothing if there is nothing.
func (l *Launcher) Kept(ctx context.Context, id launch.GroupID) (map[string]string, error) {
	v, _, err := l.client.Variables().Peek(l.kept(id), l.query(ctx, id))
	if err != nil {
		return nil, fail(ctx, "nomad.Kept", id, err)
	}
	if v == nil {
		return nil, nil
	}
	return v.Items, nil
}

// CPU is Nomad's MHz for each core.
func (l *Launcher) CPU() int { return l.cpu }

// entrust writes what the containers of a group that is about to start read: their numbers, and the group's secrets. A
// variable may not be empty.
func (l *Launcher) entrust(ctx context.Context, g launch.Group) error {
	none := &api.Variable{Path: l.numbers(g.ID), Items: api.VariableItems{"role": g.ID.Role}}
	var exists api.ErrCASConflict
	if _, _, err := l.client.Variables().CheckedUpdate(none, l.write(ctx, g.ID)); err != nil && !errors.As(err, &exists) {
		return err
	}
	if err := l.number(ctx, g.ID); err != nil {
		return err
	}
	items := api.VariableItems{}
	maps.Copy(items, g.Secrets)
	if len(items) == 0 {
		return nil
	}
	_, _, err := l.client.Variables().Update(&api.Variable{Path: l.secrets(g.ID), Items: items}, l.write(ctx, g.ID))
	return err
}

func (l *Launcher) secrets(id launch.GroupID) string { return "nomad/jobs/" + l.Name(id) }
func (l *Launcher) kept(id launch.GroupID) string    { return l.secrets(id) + "/kept" }
func (l *Launcher) numbers(id launch.GroupID) string {
	return "nomad/jobs/" + l.Name(id) + "/" + id.Role
}

// Scale implements launch.Launcher. Nomad stops those with the highest indexes.
func (l *Launcher) Scale(ctx context.Context, id launch.GroupID, count int) error {
	const op = "nomad.Scale"
	if count < 0 {
		return errs.Errorf(op, errs.Invalid, id, "%d containers", count)
	}
	job, _, err := l.client.Jobs().Info(l.Name(id), l.query(ctx, id))
	if err != nil {
		return fail(ctx, op, id, err)
	}
	if *job.Stop {
		return errs.Errorf(op, errs.NotFound, id, "it was stopped")
	}
	if *job.TaskGroups[0].Count == count {
		return nil
	}
	if err := l.number(ctx, id); err != nil {
		return fail(ctx, op, id, err)
	}
	_, _, err = l.client.Jobs().Scale(l.Name(id), id.Role, &count, "", false, nil, l.write(ctx, id))
	if err != nil {
		return fail(ctx, op, id, err)
	}
	return nil
}

// Stop implements launch.Launcher. What a group was called stays known until Forget, so that no name is used twice.
func (l *Launcher) Stop(ctx context.Context, id launch.GroupID) error {
	const op = "nomad.Stop"
	if known, err := l.deregister(ctx, id, false); err != nil || !known {
		return err
	}
	if _, err := l.client.Variables().Delete(l.secrets(id), l.write(ctx, id)); err != nil {
		return fail(ctx, op, id, err)
	}
	q := l.query(ctx, id)
	for {
		allocs, meta, err := l.client.Jobs().Allocations(l.Name(id), true, q)
		if err != nil {
			return fail(ctx, op, id, err)
		}
		if !slices.ContainsFunc(allocs, Alive) {
			return nil
		}
		q.WaitIndex, q.WaitTime = nextIndex(q.WaitIndex, meta), wait
	}
}

// Alive reports whether an allocation has processes, or may get some.
func Alive(a *api.AllocationListStub) bool {
	switch a.ClientStatus {
	case api.AllocClientStatusComplete, api.AllocClientStatusFailed, api.AllocClientStatusLost:
		return false
	case api.AllocClientStatusPending:
		return a.DesiredStatus == api.AllocDesiredStatusRun || len(a.TaskStates) > 0
	}
	return true
}

// Alive reports whether any container of a group runs, or will.
func (l *Launcher) Alive(ctx context.Context, id launch.GroupID) (bool, error) {
	job, _, err := l.client.Jobs().Info(l.Name(id), l.query(ctx, id))
	if err != nil {
		if code(err) == http.StatusNotFound {
			return false, nil
		}
		return false, fail(ctx, "nomad.Alive", id, err)
	}
	return *job.Status != "dead" && !*job.Stop, nil
}

// Forget removes all that Nomad knows of the groups of a job. None of them may run.
func (l *Launcher) Forget(ctx context.Context, job scheduler.JobID, roles ...string) error {
	for _, role := range roles {
		id := launch.GroupID{Job: job, Role: role}
		if _, err := l.deregister(ctx, id, true); err != nil {
			return err
		}
		for _, path := range []string{l.secrets(id), l.numbers(id), l.kept(id)} {
			if _, err := l.client.Variables().Delete(path, l.write(ctx, id)); err != nil {
				return fail(ctx, "nomad.Forget", id, err)
			}
		}
		l.numbered.Delete(id)
	}
	return nil
}

// deregister has Nomad stop a group, or with purge remove it; known is false if Nomad says that it has none. When somebody
// else removes it at the same moment Nomad fails as it does for trouble of its own, so it is asked again.
func (l *Launcher) deregister(ctx context.Context, id launch.GroupID, purge bool) (known bool, err error) {
	_, _, err = l.client.Jobs().Deregister(l.Name(id), purge, l.write(ctx, id))
	if err == nil {
		return true, nil
	}
	if code(err) != http.StatusNotFound {
		if _, _, now := l.client.Jobs().Info(l.Name(id), l.query(ctx, id)); code(now) != http.StatusNotFound {
			return false, fail(ctx, "nomad.deregister", id, err)
		}
	}
	return false, nil
}

// job is a group as Nomad wants it.
func (l *Launcher) job(g launch.Group) *api.Job {
	role := g.ID.Role
	env := map[string]string{}
	maps.Copy(env, g.Env)
	mode, delay := "fail", restartDelay(g.Restart)
	interval := max(g.Restart.Healthy, 5*time.Second, 2*time.Duration(g.Restart.Attempts)*delay)
	if g.Restart.Healthy == 0 {
		interval = 24 * time.Hour
	}
	kill := cmp.Or(g.Grace, launch.DefaultGrace)
	task := api.NewTask(role, string(RawExec))
	task.Config = map[string]any{
		"command": "/bin/sh", "args": append([]string{"-c", script, role, g.LogDir}, g.Command...),
	}
	task.Env, task.KillTimeout, task.KillSignal = env, &kill, "SIGTERM"
	task.Resources = &api.Resources{
		CPU:      ptr(max(1, g.Resources.CPU) * l.cpu),
		MemoryMB: ptr(max(minMemory, int(cmp.Or(g.Resources.Memory, defaultMemory)>>20))),
	}
	if g.Exclusive {
		task.Resources.CPU, task.Resources.Cores = nil, ptr(max(1, g.Resources.CPU))
	}
	if n := g.Resources.GPUs; n > 0 {
		task.Resources.Devices = []*api.RequestedDevice{{Name: "gpu", Count: ptr(uint64(n))}}
	}
	task.LogConfig = &api.LogConfig{MaxFiles: ptr(1), MaxFileSizeMB: ptr(1), Disabled: ptr(true)} // see script
	task.Templates = []*api.Template{l.environment(g)}
	group := api.NewTaskGroup(role, g.Count).AddTask(task)
	if l.driver == Exec {
		l.confine(group, task)
	}
	group.EphemeralDisk = &api.EphemeralDisk{SizeMB: ptr(16)}
	group.RestartPolicy = &api.RestartPolicy{
		Attempts: &g.Restart.Attempts, Delay: &delay, Interval: &interval, Mode: &mode, RenderTemplates: ptr(false),
	}
	group.ReschedulePolicy = &api.ReschedulePolicy{Attempts: ptr(0), Unlimited: ptr(false)}
	job := api.NewBatchJob(l.Name(g.ID), l.Name(g.ID), "", api.JobDefaultPriority).AddTaskGroup(group)
	job.Region, job.Namespace, job.Datacenters = nil, ptr(l.space(g.ID)), []string{"*"}
	return job
}

const (
	minMemory     = 10        // MiB; Nomad gives no task less
	defaultMemory = 128 << 20 // bytes, for a group that does not say how much it needs
)

func ptr[T any](v T) *T { return &v }

// restartDelay is the one delay that Nomad knows, for one that doubles up to a limit: their geometric mean.
func restartDelay(r launch.Restart) time.Duration {
	return max(r.Delay, time.Duration(math.Sqrt(float64(r.Delay)*float64(r.MaxDelay))))
}

// script is what Nomad starts: it names the container, sends what it says to its log, and becomes its command.
//
//	$0 the role   $1 the log directory or ""   $2... the command
//
// Nomad takes a dollar and a brace for its own.
const script = `umask 077
n=0
if [ -f "$NOMAD_TASK_DIR/runs" ]; then read -r n < "$NOMAD_TASK_DIR/runs"; fi
echo $((n + 1)) > "$NOMAD_TASK_DIR/runs"
export ` + launch.ContainerEnv + `="$0-$NOMAD_ALLOC_INDEX.$((` + generationEnv + ` * 1000 + n))"
unset ` + generationEnv + `
log=$1
shift
if [ -n "$log" ]; then
	mkdir -p "$log" && exec >> "$log/$0-$NOMAD_ALLOC_INDEX.log" 2>&1
	case $` + launch.ContainerEnv + ` in *.0) ;; *) echo "--- $` + launch.ContainerEnv + `" ;; esac
fi
exec "$@"`

const (
	generationEnv = "RUNNER_GENERATION"
	maxPriority   = 100  // of Nomad's jobs, where nobody has configured more
	generation    = 1000 // restart numbers for each allocation of an index
)

// environment makes environment variables of a group's numbers and secrets. It is one template, since Nomad starts a
// process for each.
func (l *Launcher) environment(g launch.Group) *api.Template {
	text := numberTemplate(l.numbers(g.ID))
	if len(g.Secrets) > 0 {
		text += secretTemplate(l.secrets(g.ID))
	}
	return &api.Template{
		EmbeddedTmpl: &text, DestPath: ptr("secrets/environment"), Envvars: ptr(true), ChangeMode: ptr("noop"),
		Perms: ptr("0600"), Once: ptr(true),
	}
}

func secretTemplate(path string) string {
	return `{{ with nomadVar "` + path + `" }}{{ range $k, $v := . }}{{ $k }}={{ $v.Value | toJSON }}
{{ end }}{{ end }}`
}

func numberTemplate(path string) string {
	return `{{ with nomadVar "` + path + `" }}{{ range $k, $v := . }}{{ if eq $k (env "NOMAD_ALLOC_INDEX") }}` +
		generationEnv + `={{ $v.Value }}
{{ end }}{{ end }}{{ end }}`
}
