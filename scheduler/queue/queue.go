// Package queue decides which job may start, which must wait, and which must give way, as YARN's capacity and fair
// schedulers do. It is a pure function: from what the queues are, what the machines have and what jobs hold and want,
// to decisions. It knows no clock, no network and no machine by name; placing executors on machines is Nomad's work.
//
//	root                          a queue is guaranteed a share of its parent's, and may take
//	├── analytics  50%, max 80%   more, up to its maximum, while others do not want theirs
//	│   ├── reports  40%
//	│   └── adhoc    60%  fair
//	└── training   50%            leaves hold jobs: first come first served, or fair
//
// A share is dominant (Ghodsi et al., Dominant Resource Fairness, NSDI 2011): of all that the machines have, the
// largest part that a queue or job holds of any one resource.
//
// One decision follows another until nothing fits any more: from the root down, the child that has the least of what it
// is guaranteed is served first; in a leaf, the first job of its order. Since within one round resources only become
// less, what does not fit once is not tried again.
package queue

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"

	"github.com/seed3322913c/runner/infra/errs"
)

// Resources are what an executor asks for, or a cluster has.
type Resources struct {
	Cores  int64 `json:"cores"`
	Memory int64 `json:"memory"` // bytes
	GPUs   int64 `json:"gpus,omitempty"`
}

func (r Resources) plus(o Resources, times int64) Resources {
	return Resources{r.Cores + o.Cores*times, r.Memory + o.Memory*times, r.GPUs + o.GPUs*times}
}

// fits reports whether as many times r as said fit into free.
func (r Resources) fits(free Resources, times int64) bool {
	return r.Cores*times <= free.Cores && r.Memory*times <= free.Memory && r.GPUs*times <= free.GPUs
}

// times is how many times r fits into one of room; r asks for something.
func (r Resources) times(room Resources) int64 {
	n := int64(math.MaxInt64)
	for _, part := range [][2]int64{{r.Cores, room.Cores}, {r.Memory, room.Memory}, {r.GPUs, room.GPUs}} {
		if part[0] > 0 {
			n = min(n, max(0, part[1])/part[0])
		}
	}
	return n
}

// share is the dominant share of r in total.
func (r Resources) share(total Resources) float64 {
	part := func(have, of int64) float64 {
		switch {
		case have <= 0:
			return 0
		case of <= 0:
			return math.Inf(1)
		}
		return float64(have) / float64(of)
	}
	return max(part(r.Cores, total.Cores), part(r.Memory, total.Memory), part(r.GPUs, total.GPUs))
}

// Order is which job of a leaf comes first.
type Order string

// The orders of a leaf.
const (
	FIFO Order = "fifo" // the higher priority, then the earlier submitted
	Fair Order = "fair" // who holds least beside his priority, then as FIFO; who holds more gives way in time
)

// Config is a queue as people describe it. Shares are parts of the parent's share.
type Config struct {
	Name     string   `json:"name"`
	Share    float64  `json:"share"`              // guaranteed, from 0 to 1; those of siblings add up to at most 1
	Max      float64  `json:"max,omitempty"`      // at most, from Share to 1; 0: all of the parent's
	UserMax  float64  `json:"userMax,omitempty"`  // of a leaf's maximum, at most for one user; 0: all of it
	Jobs     int      `json:"jobs,omitempty"`     // of a leaf, that run at once; 0: any number
	Order    Order    `json:"order,omitempty"`    // of a leaf; FIFO by default
	Children []Config `json:"children,omitempty"` // none: a leaf

	// PreemptAfter is how long a leaf goes without what it is guaranteed before others have to give way, in seconds, for
	// all queues: the root alone has it. 0: as Options say.
	PreemptAfter float64 `json:"preemptAfter,omitempty"`
}

// Tree is a checked Config. It never changes.
type Tree struct {
	root   *node
	leaves map[string]*node
	nodes  []*node // parents before children
}

// node is a queue; shares are of the whole cluster.
type node struct {
	index    int // in Tree.nodes
	name     string
	parent   *node
	share    float64
	max      float64
	userMax  float64
	jobs     int
	order    Order
	children []*node
}

// maxPatience bounds Config.PreemptAfter, in seconds.
const maxPatience = 30 * 24 * 3600

// tolerance forgives the rounding of shares.
const tolerance = 1e-9

// New checks a configuration. Names are of leaves and inner queues alike, and each is used once.
func New(root Config) (*Tree, error) {
	t := &Tree{leaves: map[string]*node{}}
	root.Share, root.Max = 1, 1
	if !(root.PreemptAfter >= 0 && root.PreemptAfter <= maxPatience) { // also if it is NaN
		return t, invalid(root.Name, "nobody can wait %g seconds", root.PreemptAfter)
	}
	names := map[string]bool{}
	n, err := t.add(root, nil, names)
	t.root = n
	return t, err
}

func (t *Tree) add(c Config, parent *node, names map[string]bool) (*node, error) {
	if err := c.check(names); err != nil {
		return nil, err
	}
	if parent != nil && c.PreemptAfter != 0 {
		return nil, invalid(c.Name, "preemptAfter is for all queues together")
	}
	names[c.Name] = true
	n := &node{
		index: len(t.nodes), name: c.Name, parent: parent, share: c.Share, max: cmp.Or(c.Max, 1),
		userMax: cmp.Or(c.UserMax, 1), jobs: cmp.Or(c.Jobs, math.MaxInt), order: cmp.Or(c.Order, FIFO),
	}
	if parent != nil {
		n.share *= parent.share
		n.max *= parent.max
	}
	n.userMax *= n.max
	t.nodes = append(t.nodes, n)
	sum := 0.0
	for _, child := range c.Children {
		sum += child.Share
		sub, err := t.add(child, n, names)
		if err != nil {
			return nil, err
		}
		n.children = append(n.children, sub)
	}
	if sum > 1+tolerance {
		return nil, invalid(c.Name, "its children are guaranteed %g of it, which is more than all", sum)
	}
	if len(n.children) == 0 {
		t.leaves[n.name] = n
	}
	return n, nil
}

var name = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (c Config) check(names map[string]bool) error {
	between := func(v, least, most float64) bool { return v >= least && v <= most } // false for NaN
	switch {
	case !name.MatchString(c.Name):
		return invalid(c.Name, "a queue's name is letters, digits, - and _")
	case names[c.Name]:
		return invalid(c.Name, "there are two queues of this name")
	case !between(c.Share, 0, 1):
		return invalid(c.Name, "its share %g is not between 0 and 1", c.Share)
	case c.Max != 0 && !between(c.Max, c.Share, 1):
		return invalid(c.Name, "its maximum %g is not between its share %g and 1", c.Max, c.Share)
	case !between(c.UserMax, 0, 1):
		return invalid(c.Name, "what one user may have, %g, is not between 0 and 1", c.UserMax)
	case c.Jobs < 0:
		return invalid(c.Name, "it cannot have %d jobs", c.Jobs)
	case c.Order != "" && c.Order != FIFO && c.Order != Fair:
		return invalid(c.Name, "its order %q is neither %s nor %s", c.Order, FIFO, Fair)
	case len(c.Children) > 0 && (c.UserMax != 0 || c.Jobs != 0 || c.Order != ""):
		return invalid(c.Name, "only queues without children have jobs, so order, userMax and jobs belong there")
	}
	return nil
}

func invalid(queue, format string, args ...any) error {
	return errs.Errorf("queue.New", errs.Invalid, queue, format, args...)
}

// Leaf reports whether jobs can be submitted to a queue of this name.
func (t *Tree) Leaf(name string) bool { return t.leaves[name] != nil }

// Leaves returns the names of the queues that jobs can be submitted to, in order.
func (t *Tree) Leaves() []string {
	var names []string
	for name := range t.leaves {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// path is the queue and all above it.
func (n *node) path(each func(*node) bool) bool {
	for ; n != nil; n = n.parent {
		if !each(n) {
			return false
		}
	}
	return true
}

func (n *node) String() string { return fmt.Sprintf("queue %s", n.name) }
