package queue

// Usage is how a queue stands. Shares are of all that the machines have.
type Usage struct {
	Name      string    `json:"name"`
	Parent    string    `json:"parent,omitempty"`
	Leaf      bool      `json:"leaf"`
	Order     Order     `json:"order,omitempty"` // of a leaf
	Share     float64   `json:"share"`           // that it is guaranteed
	Max       float64   `json:"max"`             // that it may have at most
	Used      float64   `json:"used"`            // that its jobs hold
	Held      Resources `json:"held"`            // what they hold
	Running   int       `json:"running"`         // jobs
	Waiting   int       `json:"waiting"`         // jobs that were not admitted yet
	Executors int       `json:"executors"`       // that its jobs have
	Wanted    int       `json:"wanted"`          // that they could use beside those
}

// Usage says how all queues stand, parents before children.
func (t *Tree) Usage(s Snapshot) []Usage {
	all := make([]Usage, len(t.nodes))
	for i, n := range t.nodes {
		all[i] = Usage{Name: n.name, Leaf: len(n.children) == 0, Share: n.share, Max: n.max}
		if n.parent != nil {
			all[i].Parent = n.parent.name
		}
		if all[i].Leaf {
			all[i].Order = n.order
		}
	}
	for _, j := range s.Jobs {
		leaf := t.leaves[j.Queue]
		if leaf == nil {
			continue // it is refused
		}
		leaf.path(func(at *node) bool {
			u := &all[at.index]
			u.Held = u.Held.plus(j.Ask, int64(j.Has))
			u.Executors += j.Has
			u.Wanted += max(0, j.Want-(j.Has-j.Leaving))
			if j.Running {
				u.Running++
			} else {
				u.Waiting++
			}
			return true
		})
	}
	for i := range all {
		all[i].Used = all[i].Held.share(s.Total)
	}
	return all
}
