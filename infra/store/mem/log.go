package mem

import (
	"context"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// log is a store.Log.
type log struct {
	s    *Store
	name store.Name
	life int
	*grown
}

// grown is what all who have a log open share.
type grown struct{ data []byte }

// CreateLog implements store.Logs.
func (s *Store) CreateLog(ctx context.Context, name store.Name) (store.Log, error) {
	const op = "mem.CreateLog"
	if err := check(ctx, op, name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.mu.objects[name]; there {
		return nil, errs.E(op, errs.Exist, name, nil)
	}
	g := new(grown)
	s.putLocked(name, nil, "")
	s.growLocked(name, g)
	return &log{s, name, s.mu.life, g}, nil
}

// OpenLog implements store.Logs.
func (s *Store) OpenLog(ctx context.Context, name store.Name) (store.Log, error) {
	const op = "mem.OpenLog"
	if err := check(ctx, op, name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, there := s.mu.objects[name]
	switch {
	case !there:
		return nil, errs.E(op, errs.NotFound, name, nil)
	case o.log == nil:
		o.log = &grown{o.data} // as any file can be appended to
		s.growLocked(name, o.log)
	}
	return &log{s, name, s.mu.life, o.log}, nil
}

// growLocked shows what is in a log. Readers keep what they have: bytes are only ever added behind it.
func (s *Store) growLocked(name store.Name, g *grown) {
	o := s.mu.objects[name]
	o.log, o.data, o.info.Size, o.info.Version = g, g.data, int64(len(g.data)), s.nextLocked()
	s.mu.objects[name] = o
}

// Append implements store.Log.
func (l *log) Append(p []byte) (int64, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if err := l.s.aliveLocked("mem.Append", l.name, l.life); err != nil {
		return 0, err
	}
	at := int64(len(l.data))
	l.data = append(l.data, p...)
	if l.s.mu.objects[l.name].log == l.grown { // not deleted
		l.s.growLocked(l.name, l.grown)
	}
	return at, nil
}

// Close implements store.Log.
func (l *log) Close() error { return nil }
