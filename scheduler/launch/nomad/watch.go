package nomad

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// wait bounds one blocking query.
const wait = time.Minute

// nextIndex is what to wait behind; an index that went backwards begins anew.
func nextIndex(before uint64, meta *api.QueryMeta) uint64 {
	if meta.LastIndex < before {
		return 0
	}
	return max(1, meta.LastIndex)
}

// Watch implements launch.Launcher.
func (l *Launcher) Watch(ctx context.Context, id launch.GroupID) iter.Seq2[launch.Event, error] {
	return func(yield func(launch.Event, error) bool) {
		told := map[int]launch.Event{}
		var had map[int]int
		q := l.query(ctx, id)
		for {
			allocs, meta, err := l.client.Jobs().Allocations(l.Name(id), true, q)
			if err != nil && code(err) != http.StatusNotFound {
				yield(launch.Event{}, fail(ctx, "nomad.Watch", id, err))
				return
			}
			if now := count(allocs); !maps.Equal(now, had) {
				if err := l.writeNumbers(ctx, id, allocs); err != nil {
					yield(launch.Event{}, fail(ctx, "nomad.Watch", id, err))
					return
				}
				had = now
			}
			if err := l.replace(ctx, id, allocs); err != nil {
				yield(launch.Event{}, fail(ctx, "nomad.Watch", id, err))
				return
			}
			for _, e := range events(id, allocs) {
				if e == told[e.Container.Index] {
					continue
				}
				told[e.Container.Index] = e
				if !yield(e, nil) {
					return
				}
			}
			if ctx.Err() != nil {
				yield(launch.Event{}, errs.E("nomad.Watch", errs.Canceled, id, ctx.Err()))
				return
			}
			q.WaitIndex, q.WaitTime = nextIndex(q.WaitIndex, meta), wait
		}
	}
}

// WatchRole yields the latest event of the one container of each group of a role, for groups that have no others: of
// all of them at first, and again when anything has changed. It is one query for any number of groups, and ends after
// the first error; ctx's end is such an error. Like Watch it numbers containers.
func (l *Launcher) WatchRole(ctx context.Context, role string) iter.Seq2[map[launch.GroupID]launch.Event, error] {
	return func(yield func(map[launch.GroupID]launch.Event, error) bool) {
		const op = "nomad.WatchRole"
		q := l.query(ctx, launch.GroupID{Role: role})
		q.Filter = fmt.Sprintf("TaskGroup == %q", role)
		for {
			allocs, meta, err := l.client.Allocations().List(q)
			if err != nil {
				yield(nil, fail(ctx, op, launch.GroupID{Role: role}, err))
				return
			}
			all := map[launch.GroupID]launch.Event{}
			for id, allocs := range l.groups(role, allocs) {
				now := count(allocs)
				if had, _ := l.numbered.Load(id); slices.ContainsFunc(allocs, Alive) && had != now[0] {
					if err := l.writeNumbers(ctx, id, allocs); err != nil {
						yield(nil, fail(ctx, op, id, err))
						return
					}
					l.numbered.Store(id, now[0])
				}
				for _, e := range events(id, allocs) {
					all[id] = e
				}
			}
			if !yield(all, nil) {
				return
			}
			q.WaitIndex, q.WaitTime = nextIndex(q.WaitIndex, meta), wait
		}
	}
}

// groups sorts the allocations of a role by their groups.
func (l *Launcher) groups(role string, allocs []*api.AllocationListStub) map[launch.GroupID][]*api.AllocationListStub {
	all := map[launch.GroupID][]*api.AllocationListStub{}
	for _, a := range allocs {
		name, ours := strings.CutPrefix(a.JobID, l.prefix)
		name, right := strings.CutSuffix(name, "-"+role)
		job, err := scheduler.ParseJobID(strings.ReplaceAll(name, "~", "."))
		if ours && right && err == nil {
			id := launch.GroupID{Job: job, Role: role}
			all[id] = append(all[id], a)
		}
	}
	return all
}

// LostMachines yields the address of each machine that Nomad has given up, the same one once while it is away. It ends
// after the first error; ctx's end is such an error.
func (l *Launcher) LostMachines(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var told map[string]bool
		q := l.query(ctx, launch.GroupID{})
		for {
			nodes, meta, err := l.client.Nodes().List(q)
			if err != nil {
				yield("", fail(ctx, "nomad.LostMachines", launch.GroupID{}, err))
				return
			}
			lost := map[string]bool{}
			for _, n := range nodes {
				if n.Status != api.NodeStatusDown {
					continue
				}
				lost[n.Address] = true
				if !told[n.Address] && !yield(n.Address, nil) {
					return
				}
			}
			told = lost
			q.WaitIndex, q.WaitTime = nextIndex(q.WaitIndex, meta), wait
		}
	}
}

// Machines returns the addresses of the machines that may be given containers.
func (l *Launcher) Machines(ctx context.Context) ([]string, error) {
	nodes, _, err := l.client.Nodes().List(l.query(ctx, launch.GroupID{}))
	if err != nil {
		return nil, fail(ctx, "nomad.Machines", launch.GroupID{}, err)
	}
	var all []string
	for _, n := range nodes {
		if n.Status == api.NodeStatusReady && n.SchedulingEligibility == api.NodeSchedulingEligible {
			all = append(all, n.Address)
		}
	}
	return all, nil
}

// Eligible says whether a machine may be given more containers. Those that it has go on.
func (l *Launcher) Eligible(ctx context.Context, machine string, yes bool) error {
	if _, err := l.client.Nodes().ToggleEligibility(machine, yes, l.write(ctx, launch.GroupID{})); err != nil {
		return fail(ctx, "nomad.Eligible", launch.GroupID{}, err)
	}
	return nil
}

// events returns the latest event of each container, in the order of their indexes.
func events(id launch.GroupID, allocs []*api.AllocationListStub) []launch.Event {
	latest, had := map[int]launch.Event{}, map[int]int{}
	for _, a := range inOrder(allocs) {
		i, ok := index(a)
		if !ok {
			continue
		}
		e, ok := event(a, launch.Container{Role: id.Role, Index: i, Restart: had[i] * generation})
		if begun(a) {
			had[i]++
		}
		if ok {
			latest[i] = e
		}
	}
	return slices.SortedFunc(maps.Values(latest), func(a, b launch.Event) int {
		return cmp.Compare(a.Container.Index, b.Container.Index)
	})
}

// event says how an allocation stands, whose first run is c; ok is false if nothing has happened yet.
func event(a *api.AllocationListStub, c launch.Container) (e launch.Event, ok bool) {
	e = launch.Event{Container: c}
	task := a.TaskStates[c.Role]
	if task != nil {
		e.Container.Restart += int(task.Restarts)
	}
	replaced := a.NextAllocation != "" || a.DesiredStatus == api.AllocDesiredStatusEvict
	switch a.ClientStatus {
	case api.AllocClientStatusRunning:
		e.State = launch.Running
	case api.AllocClientStatusComplete:
		e.State, e.Exit = launch.Done, exit(task)
		if replaced { // its machine was drained, or another job was more important
			e.State = launch.Exited
		}
	case api.AllocClientStatusFailed:
		e.State, e.Exit = launch.Failed, exit(task)
		if replaced {
			e.State = launch.Exited
		}
		if e.Exit.OK() {
			e.Exit = launch.Exit{Code: -1, Error: cmp.Or(lastMessage(task), a.ClientDescription)}
		}
	case api.AllocClientStatusLost, api.AllocClientStatusUnknown:
		e.State, e.Exit = launch.Exited, launch.Exit{Code: -1, Error: "its machine was lost"}
	default: // pending: it begins, or waits for its restart
		if task == nil || task.Restarts == 0 {
			return e, false
		}
		e.State, e.Exit = launch.Exited, exit(task)
		e.Container.Restart--
	}
	return e, true
}

// exit says how the latest run of a task has ended.
func exit(task *api.TaskState) launch.Exit {
	if task == nil {
		return launch.Exit{}
	}
	for _, e := range slices.Backward(task.Events) {
		if e.Type != api.TaskTerminated {
			continue
		}
		if n, _ := strconv.Atoi(e.Details["signal"]); n != 0 { // a number, or absent
			return launch.Exit{Code: -1, Signal: signalName(n)}
		}
		status, _ := strconv.Atoi(e.Details["exit_code"]) // a number, or absent
		return launch.Exit{Code: status}
	}
	return launch.Exit{}
}

// lastMessage is why a task could not be started: the last that was said of it, before that it is not tried again.
func lastMessage(task *api.TaskState) string {
	if task == nil {
		return ""
	}
	for _, e := range slices.Backward(task.Events) {
		if e.Type != api.TaskNotRestarting && e.Type != api.TaskKilling && e.Type != api.TaskKilled {
			return e.DisplayMessage
		}
	}
	return ""
}

// signalName is a signal as Go calls it: "killed".
func signalName(n int) string { return syscall.Signal(n).String() }
