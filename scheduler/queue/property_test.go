package queue

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/scheduler"
)

// drawTree draws a tree of at most three floors.
func drawTree(t *rapid.T) *Tree {
	next := 0
	var draw func(floor int) Config
	draw = func(floor int) Config {
		next++
		c := Config{Name: fmt.Sprintf("q%d", next)}
		n := rapid.IntRange(0, 3).Draw(t, "children")
		if floor == 3 || n == 0 {
			c.Order = rapid.SampledFrom([]Order{FIFO, Fair}).Draw(t, "order")
			c.Jobs = rapid.IntRange(0, 4).Draw(t, "jobs")
			c.UserMax = float64(rapid.IntRange(0, 4).Draw(t, "user")) / 4
			return c
		}
		for range n {
			child := draw(floor + 1)
			child.Share = float64(rapid.IntRange(0, 8/n).Draw(t, "share")) / 8
			if rapid.Bool().Draw(t, "limited") {
				child.Max = min(1, child.Share+float64(rapid.IntRange(1, 4).Draw(t, "more"))/8)
			}
			c.Children = append(c.Children, child)
		}
		return c
	}
	tree, err := New(draw(1))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func drawSnapshot(t *rapid.T, tree *Tree) Snapshot {
	s := Snapshot{Now: epoch, Total: Resources{Cores: 40, Memory: 60}, Hungry: map[string]time.Time{}}
	for i := range rapid.IntRange(0, 12).Draw(t, "count") {
		j := Job{
			ID: scheduler.JobID(fmt.Sprintf("j%02d", i)), Queue: rapid.SampledFrom(tree.Leaves()).Draw(t, "queue"),
			User: rapid.SampledFrom([]string{"ann", "bob"}).Draw(t, "user"), Priority: rapid.IntRange(0, 2).Draw(t, "priority"),
			Submitted: epoch.Add(-time.Duration(rapid.IntRange(0, 3).Draw(t, "age")) * 40 * time.Second),
			Ask: Resources{Cores: rapid.Int64Range(1, 4).Draw(t, "cores"),
				Memory: rapid.Int64Range(0, 6).Draw(t, "memory")},
			Want: max(0, rapid.IntRange(-20, 20).Draw(t, "want")), // many begin to want something later
		}
		if rapid.Bool().Draw(t, "gang") {
			j.Gang = rapid.IntRange(0, 6).Draw(t, "at once")
		}
		s.Jobs = append(s.Jobs, j)
	}
	for _, leaf := range tree.Leaves() {
		if rapid.Bool().Draw(t, "hungry") {
			s.Hungry[leaf] = epoch.Add(-time.Duration(rapid.IntRange(0, 30).Draw(t, "since")) * time.Second)
		}
	}
	return s
}

// TestEveryRound: rounds from anywhere, with jobs that end and machines that come and go between them, keep the
// promises of the queues.
func TestEveryRound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := drawTree(t)
		s := drawSnapshot(t, tree)
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			before := s
			all := Decide(tree, s, Options{})
			if again := Decide(tree, shuffled(t, s), Options{}); !reflect.DeepEqual(all, again) {
				t.Fatalf("the order of the jobs matters:\n%s%s", tell(all), tell(again))
			}
			s = apply(s, all)
			check(t, tree, before, s, all)
			s.Now = s.Now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "later")) * time.Second)
			for i := range s.Jobs {
				switch rapid.IntRange(0, 5).Draw(t, "end") {
				case 0:
					s.Jobs[i].Want, s.Jobs[i].Has, s.Jobs[i].Gang = 0, 0, 0
				case 1:
					s.Jobs[i].Want += 10
				}
			}
		}
	})
}

func shuffled(t *rapid.T, s Snapshot) Snapshot {
	s.Jobs = rapid.Permutation(s.Jobs).Draw(t, "order")
	return s
}

// sums is what queues and users hold.
func sums(tree *Tree, s Snapshot) (used map[string]Resources, users map[string]Resources, running map[string]int) {
	used, users, running = map[string]Resources{}, map[string]Resources{}, map[string]int{}
	for _, j := range s.Jobs {
		for n := tree.leaves[j.Queue]; n != nil; n = n.parent {
			used[n.name] = used[n.name].plus(j.Ask, int64(j.Has))
		}
		users[j.Queue+"/"+j.User] = users[j.Queue+"/"+j.User].plus(j.Ask, int64(j.Has))
		if j.Running {
			running[j.Queue]++
		}
	}
	return used, users, running
}

func check(t *rapid.T, tree *Tree, before, after Snapshot, all Decisions) {
	used, users, running := sums(tree, after)
	had, _, ran := sums(tree, before)
	if root := used[tree.root.name]; !root.fits(after.Total, 1) {
		t.Fatalf("%+v is held of %+v\n%s", root, after.Total, tell(all))
	}
	for _, n := range tree.nodes {
		share := used[n.name].share(after.Total)
		if over(share, n.max) && share > had[n.name].share(after.Total) {
			t.Fatalf("%v has %g and may have %g\n%s", n, share, n.max, tell(all))
		}
		if tree.Leaf(n.name) && running[n.name] > max(n.jobs, ran[n.name]) {
			t.Fatalf("%v runs %d jobs and may run %d\n%s", n, running[n.name], n.jobs, tell(all))
		}
	}
	for i, j := range after.Jobs {
		old, leaf := before.Jobs[i], tree.leaves[j.Queue]
		grown := j.Has > old.Has
		switch {
		case grown && j.Has < j.Gang:
			t.Fatalf("%s has %d of a gang of %d\n%s", j.ID, j.Has, j.Gang, tell(all))
		case grown && j.Has > j.Want:
			t.Fatalf("%s has %d and wants %d\n%s", j.ID, j.Has, j.Want, tell(all))
		case grown && over(users[j.Queue+"/"+j.User].share(after.Total), leaf.userMax):
			t.Fatalf("user %s has too much of %v\n%s", j.User, leaf, tell(all))
		case j.Has < old.Has && j.Has > 0 && j.Has < j.Gang:
			t.Fatalf("%s keeps %d of a gang of %d\n%s", j.ID, j.Has, j.Gang, tell(all))
		case j.Has < old.Has && leaf.order == FIFO && used[leaf.name].share(after.Total) < leaf.share-tolerance:
			t.Fatalf("%v was taken below its guarantee\n%s", leaf, tell(all))
		}
	}
	idle(t, tree, after, all)
}

// idle fails if something is free that a waiting job could have had.
func idle(t *rapid.T, tree *Tree, after Snapshot, all Decisions) {
	for _, d := range all.List {
		if d.Verb == Shrink || strings.HasSuffix(d.Reason, "kept for it") {
			return // what was free during the round is not known any more
		}
	}
	r := newRound(tree, after, Options{}.withDefaults())
	for _, leaf := range tree.nodes {
		for _, j := range r.of(leaf).waiting.jobs {
			if r.obstacle(j, j.next(), r.free) == "" {
				t.Fatalf("%s could have more\n%s", j.ID, tell(all))
			}
		}
	}
}

// TestGuaranteesAreReached: a queue that wants what it is guaranteed has it in the end, whoever came before, if jobs
// can give way one executor at a time.
func TestGuaranteesAreReached(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := rapid.IntRange(1, 9).Draw(t, "share")
		tree, err := New(Config{Name: "root", Children: []Config{
			{Name: "a", Share: float64(share) / 10}, {Name: "b", Share: float64(10-share) / 10, Order: Fair},
		}})
		if err != nil {
			t.Fatal(err)
		}
		s := Snapshot{Now: epoch, Total: Resources{Cores: 40}, Jobs: []Job{
			{ID: "early", Queue: "b", Ask: Resources{Cores: 1}, Want: 40, Submitted: epoch},
			{ID: "earlier", Queue: "b", Ask: Resources{Cores: 1}, Want: 40, Submitted: epoch.Add(-time.Second)},
		}}
		s = apply(s, Decide(tree, s, Options{}))
		s.Jobs = append(s.Jobs, Job{ID: "late", Queue: "a", Ask: Resources{Cores: 1}, Want: 40, Submitted: epoch})
		for range 4 {
			s = apply(s, Decide(tree, s, Options{}))
			s.Now = s.Now.Add(16 * time.Second)
		}
		if got := s.Jobs[2].Has; got != 4*share {
			t.Fatalf("it has %d cores of the %d that it is guaranteed", got, 4*share)
		}
	})
}
