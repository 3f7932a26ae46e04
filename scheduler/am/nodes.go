package am

import (
	"context"
	"slices"
)

// nodeGone takes the word of whoever watches machines that one is gone for good, with all that lies on its disk.
// Outputs that others will read are made again at once, before anybody has missed them.
func (m *machine) nodeGone(node string) {
	switch {
	case m.ending: // nothing follows the record that ends the work
		return
	case !m.active:
		m.goneNodes = append(m.goneNodes, node)
		return
	}
	for _, s := range m.stages {
		if !m.wanted(s) {
			continue
		}
		for _, out := range s.outputs {
			if out.Node == node && out.Attempt.Task.Stage != "" {
				m.condemn(m.suspected(out.Attempt), out.Attempt, "its machine was lost")
			}
		}
	}
}

// wanted reports whether outputs of s will be read.
func (m *machine) wanted(s *stage) bool {
	return slices.ContainsFunc(m.stages, func(other *stage) bool {
		return slices.Contains(other.needs, s.name) && !other.finished()
	})
}

// watchNodes tells the machine which nodes are gone, until ctx ends.
func (a *master) watchNodes(ctx context.Context) {
	for {
		select {
		case node := <-a.cfg.GoneNodes:
			a.step(func(m *machine, _ int64) { m.nodeGone(node) })
		case <-ctx.Done():
			return
		}
	}
}
