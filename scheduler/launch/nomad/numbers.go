package nomad

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/scheduler/launch"
)

// number writes down how many allocations of each index have begun, which is what the next one is to be called.
func (l *Launcher) number(ctx context.Context, id launch.GroupID) error {
	allocs, _, err := l.client.Jobs().Allocations(l.Name(id), true, query(ctx))
	if err != nil && code(err) != http.StatusNotFound {
		return err
	}
	return l.writeNumbers(ctx, id, count(allocs))
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

// begun reports whether a process of the allocation was started.
func begun(a *api.AllocationListStub) bool {
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

// writeNumbers raises the numbers to what was had. They never go back, though Nomad forgets old allocations. Where
// there are none, the group was forgotten, and whoever still watches it must not bring them back.
func (l *Launcher) writeNumbers(ctx context.Context, id launch.GroupID, had map[int]int) error {
	for {
		v, _, err := l.client.Variables().Peek(l.numbers(id), query(ctx))
		if err != nil {
			return err
		}
		if v == nil {
			return nil
		}
		changed := false
		for i, n := range had {
			if now, _ := strconv.Atoi(v.Items[strconv.Itoa(i)]); now < n { // absent is 0
				v.Items[strconv.Itoa(i)], changed = strconv.Itoa(n), true
			}
		}
		if !changed {
			return nil
		}
		var raced api.ErrCASConflict
		if _, _, err = l.client.Variables().CheckedUpdate(v, write(ctx)); !errors.As(err, &raced) {
			return err
		}
	}
}
