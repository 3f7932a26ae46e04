package nomad

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/scheduler/launch"
)

// number writes down how many allocations of each index have begun, which is what the next one is to be called.
func (l *Launcher) number(ctx context.Context, id launch.GroupID) error {
	allocs, _, err := l.client.Jobs().Allocations(l.Name(id), true, l.query(ctx, id))
	if err != nil && code(err) != http.StatusNotFound {
		return err
	}
	return l.writeNumbers(ctx, id, allocs)
}

// count says how many allocations of each index have begun. One that waits to begin has not read its number yet.
func count(allocs []*api.AllocationListStub) map[int]int {
	had := map[int]int{}
	for _, a := range allocs {
		if i, ok := index(a); ok && begun(a) {
			had[i]++
		}
	}
	return had
}

// begun reports whether a process of the allocation was started, or may have been: of one that is lost nobody has heard
// for a while.
func begun(a *api.AllocationListStub) bool {
	if a.ClientStatus == api.AllocClientStatusLost || a.ClientStatus == api.AllocClientStatusUnknown {
		return true
	}
	for _, task := range a.TaskStates {
		if !task.StartedAt.IsZero() || task.Restarts > 0 {
			return true
		}
	}
	return false
}

// index is the index of an allocation in its group: "7k2f-wordcount-executor.executor[3]".
func index(a *api.AllocationListStub) (int, bool) {
	_, text, _ := strings.Cut(a.Name, "[")
	i, err := strconv.Atoi(strings.TrimSuffix(text, "]"))
	return i, err == nil
}

// writeNumbers raises the numbers to what was had, and doubts who may have read them too early. They never go back,
// though Nomad forgets old allocations. Where there are none, the group was forgotten, and whoever still watches it must
// not bring them back.
func (l *Launcher) writeNumbers(ctx context.Context, id launch.GroupID, allocs []*api.AllocationListStub) error {
	had := count(allocs)
	for {
		v, _, err := l.client.Variables().Peek(l.numbers(id), l.query(ctx, id))
		if err != nil {
			return err
		}
		if v == nil {
			return nil
		}
		changed, were := false, map[int]int{}
		for i, n := range had {
			if were[i], _ = strconv.Atoi(v.Items[strconv.Itoa(i)]); were[i] < n { // absent is 0
				v.Items[strconv.Itoa(i)], changed = strconv.Itoa(n), true
			}
		}
		if !changed {
			return nil
		}
		var raced api.ErrCASConflict
		if _, _, err = l.client.Variables().CheckedUpdate(v, l.write(ctx, id)); errors.As(err, &raced) {
			continue
		}
		if err == nil {
			l.doubt(allocs, were)
		}
		return err
	}
}

// doubt notes which allocations may have read another number than they have: the numbers were still what they were when
// those were there already. So it is when who watches is lost with its machine, and the machine with the allocation
// before.
func (l *Launcher) doubt(allocs []*api.AllocationListStub, were map[int]int) {
	had := map[int]int{}
	for _, a := range inOrder(allocs) {
		i, ok := index(a)
		if !ok {
			continue
		}
		if Alive(a) && had[i] > were[i] {
			l.doubted.Store(a.ID, true)
		}
		if begun(a) {
			had[i]++
		}
	}
}

// replace has Nomad replace what was doubted: it can't be told what it is called, and two may have one name. One that
// has not begun is left alone until it has, since its successor would not know which number is the next.
func (l *Launcher) replace(ctx context.Context, id launch.GroupID, allocs []*api.AllocationListStub) error {
	for _, a := range allocs {
		if _, doubted := l.doubted.Load(a.ID); !doubted || !begun(a) {
			continue
		}
		if Alive(a) {
			if _, err := l.client.Allocations().Stop(&api.Allocation{ID: a.ID}, l.query(ctx, id)); err != nil {
				return err
			}
		}
		l.doubted.Delete(a.ID)
	}
	return nil
}

// inOrder returns allocations as they were made.
func inOrder(allocs []*api.AllocationListStub) []*api.AllocationListStub {
	return slices.SortedFunc(slices.Values(allocs), func(a, b *api.AllocationListStub) int {
		return cmp.Compare(a.CreateIndex, b.CreateIndex)
	})
}
