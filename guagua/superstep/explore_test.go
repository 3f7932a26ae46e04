package superstep

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// This test explores the two machines as they are: masters that crash or go stale, workers that crash and are replaced,
// connections that reset, messages in any order. Small sizes exhaustively, larger ones by random walks.
//
// Safety: a worker leaves only when the ledger says that the job is done; a master counts a worker's result only if it
// was computed from the very master result that the iteration starts from; nobody works for an attempt that was
// replaced. Liveness: from every state that can be reached the job can end without further failures. And each rule
// matters: leaving one out must be noticed.

// explore visits every state that can be reached, and reports the first violation, or a state from which the job can't
// end.
func explore(s size, bug string, limit int) (states int, verdict string) {
	start := newWorld(s, bug)
	ids := map[string]int{start.id(): 0}
	todo := []*world{start}
	var back [][]int32 // for each state, those from which one step without a fault leads here
	back = append(back, nil)
	var ends []int32
	another := map[int]bool{}
	for i := 0; len(todo) > 0; i++ {
		w := todo[0]
		todo = todo[1:]
		if w.over() {
			ends = append(ends, int32(i))
		}
		another[i] = w.mayGetAnother()
		for _, st := range w.steps() {
			next := w.clone()
			st.do(next)
			if next.broken != "" {
				return len(ids), next.broken
			}
			id := next.id()
			j, seen := ids[id]
			if !seen {
				j = len(ids)
				ids[id] = j
				back = append(back, nil)
				todo = append(todo, next)
				if j >= limit {
					return j, "too many states"
				}
			}
			if !st.fault {
				back[j] = append(back[j], int32(i))
			}
		}
	}
	good := make([]bool, len(ids))
	for queue := ends; len(queue) > 0; queue = queue[1:] {
		if i := queue[0]; !good[i] {
			good[i] = true
			queue = append(queue, back[i]...)
		}
	}
	for i, ok := range good {
		if !ok && !another[i] {
			return len(ids), "stuck"
		}
	}
	return len(ids), ""
}

func TestEveryInterleaving(t *testing.T) {
	sizes := []size{
		{workers: 1, total: 1, masters: 1, crashes: 1, resets: 1},
		{workers: 1, total: 2, masters: 2},
		{workers: 2, total: 1, masters: 1, crashes: 1},
		{workers: 2, total: 2, masters: 1, agains: 1},
		{workers: 2, total: 3, masters: 1, staleness: 1},
	}
	if !testing.Short() {
		sizes = append(sizes,
			size{workers: 1, total: 2, masters: 2, resets: 1},
			size{workers: 1, total: 2, masters: 2, crashes: 1},
			size{workers: 2, total: 2, masters: 1, resets: 1},
			size{workers: 2, total: 1, masters: 2},
			size{workers: 2, total: 2, masters: 2},
			size{workers: 2, total: 4, masters: 1, staleness: 1},
			size{workers: 2, total: 4, masters: 1, staleness: 2})
	}
	for _, s := range sizes {
		states, verdict := explore(s, "", 1_000_000)
		t.Logf("%+v: %d states", s, states)
		if verdict != "" {
			t.Errorf("%+v: %s", s, verdict)
		}
	}
}

func TestEachRuleMatters(t *testing.T) {
	for bug, s := range map[string]size{
		"leavefirst":  {workers: 1, total: 1, masters: 1},
		"norejoin":    {workers: 1, total: 1, masters: 1, resets: 1},
		"waitall":     {workers: 2, total: 1, masters: 2},
		"oldattempt":  {workers: 1, total: 1, masters: 1, crashes: 1},
		"oldjoin":     {workers: 2, total: 2, masters: 1, resets: 1},
		"notorn":      {workers: 2, total: 1, masters: 1, crashes: 1},
		"anyposition": {workers: 1, total: 2, masters: 1, resets: 1},
		"keepold":     {workers: 1, total: 2, masters: 1},
		"oldorder":    {workers: 2, total: 2, masters: 1, crashes: 1},
		"twice":       {workers: 2, total: 5, masters: 1, staleness: 2},
		"anylag":      {workers: 2, total: 5, masters: 1, staleness: 1},
	} {
		states, verdict := explore(s, bug, 1_000_000)
		t.Logf("%s: %s after %d states", bug, verdict, states)
		if verdict == "" || verdict == "too many states" {
			t.Errorf("%s: nobody noticed (%q)", bug, verdict)
		}
	}
}

// TestRandomWalks tries larger worlds: faults strike at random, then everything goes on without, and must end.
func TestRandomWalks(t *testing.T) {
	walks := uint64(6000)
	if testing.Short() {
		walks = 1000
	}
	for seed := range walks {
		r := rand.New(rand.NewPCG(seed, 5))
		w := newWorld(size{1 + r.IntN(4), 1 + r.IntN(6), 1 + r.IntN(4), r.IntN(4), r.IntN(5), r.IntN(3), r.IntN(3)}, "")
		var trace []string
		for n := 0; !w.over(); n++ {
			steps := w.steps()
			if !w.mayGetAnother() && (n > 400 || r.IntN(4) > 0) { // faults are rarer than progress
				steps = slices.DeleteFunc(steps, func(s step) bool { return s.fault })
			}
			if len(steps) == 0 && !w.mayGetAnother() || n > 20_000 {
				t.Fatalf("seed %d %+v: stuck\n%s", seed, w.size, strings.Join(trace, "\n"))
			}
			if len(steps) == 0 {
				continue
			}
			s := steps[r.IntN(len(steps))]
			trace = append(trace, s.name)
			s.do(w)
			if w.broken != "" {
				t.Fatalf("seed %d: %s\n%s", seed, w.broken, strings.Join(trace, "\n"))
			}
		}
	}
}
