package control

import (
	"context"
	"slices"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler/queue"
	"github.com/seed3322913c/runner/scheduler/roster"
)

// Queues says how queues stand, and who waits in them.
func (s *Server) Queues(context.Context) (client.QueueList, error) {
	l, err := s.leading()
	if err != nil {
		return client.QueueList{}, err
	}
	return l.queues(), nil
}

func (l *leader) queues() client.QueueList {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := client.QueueList{Jobs: []client.Queued{}}
	l.book.read(func(r *roster.Roster) {
		seen := roster.Seen{Total: l.mu.view.Total, Alive: l.mu.view.Alive}
		list.Config, list.Queues = r.Config(), r.Tree().Usage(r.Standing(seen))
		for _, e := range r.Jobs() {
			list.Jobs = append(list.Jobs, client.Queued{
				Job: e.Job, Queue: e.Queue, User: e.User, Priority: e.Priority, Running: e.Running(), Executors: e.Allowed,
				Wanted: e.Want, Waits: l.mu.waits[e.Job], Preempted: e.Preempted,
			})
		}
	})
	return list
}

// Standing returns the jobs that are not over, and the machines as the last round of decisions saw them. It fails with
// errs.NotFound as long as there was none.
func (s *Server) Standing() ([]roster.Entry, fleet.View, error) {
	l, err := s.leading()
	if err != nil {
		return nil, fleet.View{}, err
	}
	l.mu.Lock()
	view := l.mu.view
	l.mu.Unlock()
	if view.Alive == nil {
		return nil, view, errs.Errorf("control.Standing", errs.NotFound, nil, "no round of decisions yet")
	}
	return l.entries(), view, nil
}

// SetQueues replaces the queues. A queue in which jobs wait cannot go.
func (s *Server) SetQueues(ctx context.Context, config queue.Config) (client.QueueList, error) {
	l, err := s.leading()
	if err != nil {
		return client.QueueList{}, err
	}
	tree, err := queue.New(config)
	if err != nil {
		return client.QueueList{}, say.Errorf(errs.Invalid, "%s", say.Sentence(err))
	}
	for _, e := range l.entries() {
		if !slices.Contains(tree.Leaves(), e.Queue) {
			return client.QueueList{}, say.Errorf(errs.Invalid, "queue %s cannot go while job %s is in it", e.Queue, e.Job)
		}
	}
	if err := l.append(ctx, roster.Record{Queues: &config}); err != nil {
		return client.QueueList{}, err
	}
	l.nudge()
	return s.Queues(ctx)
}

// Nodes returns the machines, as the last round of decisions saw them.
func (s *Server) Nodes(context.Context) (client.NodeList, error) {
	l, err := s.leading()
	if err != nil {
		return client.NodeList{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return client.NodeList{Nodes: append([]client.Node{}, l.mu.view.Nodes...)}, nil
}

// Cluster says how the fleet stands as a whole.
func (s *Server) Cluster(context.Context) (client.Cluster, error) {
	l, err := s.leading()
	if err != nil {
		return client.Cluster{}, err
	}
	c := client.Cluster{
		Name: s.cfg.Options.Name, Leader: s.cfg.Address, Epoch: l.log.Epoch(), Since: l.since,
		Version: s.cfg.Options.Version,
	}
	for _, e := range l.entries() {
		if e.Running() {
			c.Running++
		} else {
			c.Waiting++
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Nodes = l.mu.view.Ready()
	return c, nil
}
