package control

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/coord/election"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler/roster"
)

// prefix is where the journal is.
const prefix store.Name = "control/queues"

// Server is one control. Its methods may be called by many goroutines at once.
type Server struct {
	cfg Config
	mu  struct {
		sync.Mutex
		lead    *leader         // nil: another one leads
		known   election.Leader // who leads, as far as is known
		changed chan struct{}   // closed and replaced when lead changes
	}
}

// New returns a control that does nothing before Run.
func New(cfg Config) *Server {
	o := &cfg.Options
	o.TTL, o.Every = cmp.Or(o.TTL, 4*time.Second), cmp.Or(o.Every, time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{cfg: cfg}
	s.mu.changed = make(chan struct{})
	return s
}

// Run stands for leader, and leads whenever it is elected, until ctx ends. While it leads it does the duties, too.
func (s *Server) Run(ctx context.Context, duties ...Duty) error {
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return s.watch(ctx) })
	all.Go(func() error {
		for {
			c := election.Campaign{Key: fleet.ControlKey, TTL: s.cfg.Options.TTL, Address: s.cfg.Address}
			err := election.Run(ctx, s.cfg.Coord, c, func(ctx context.Context, _ uint64) error {
				return s.leadFor(ctx, duties)
			})
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.cfg.Options.Log.Warn("leads no more", "error", err)
			if err := pause(ctx, time.Second); err != nil {
				return err
			}
		}
	})
	return all.Wait()
}

// leadFor is one leadership. It ends with an error; another one may follow.
func (s *Server) leadFor(ctx context.Context, duties []Duty) error {
	log := s.cfg.Options.Log
	book := &book{Roster: roster.New()}
	j, err := journal.Lead(ctx, s.cfg.Store, prefix, book, journal.Options{
		Writer: "control " + s.cfg.Address, CheckpointEntries: 1024,
		OnError: func(err error) { log.Warn("checkpoint of the queues", "error", err) },
	})
	if err != nil {
		return err
	}
	defer j.Close() // returns nil always
	l := newLeader(s.cfg, book, j)
	log.Info("leads", "epoch", j.Epoch())
	s.set(l)
	defer s.set(nil)
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return l.run(ctx) })
	all.Go(func() error { return attend(ctx, duties, log) })
	all.Go(func() error {
		select {
		case <-j.Done():
			return j.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return all.Wait()
}

func (s *Server) set(l *leader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.lead = l
	close(s.mu.changed)
	s.mu.changed = make(chan struct{})
}

// leading returns this control's leadership. It fails with errs.Unavailable if another one leads.
func (s *Server) leading() (*leader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.lead == nil {
		return nil, say.Errorf(errs.Unavailable, "this control does not lead at the moment. Try again")
	}
	return s.mu.lead, nil
}

// watch keeps known up to date, until ctx ends.
func (s *Server) watch(ctx context.Context) error {
	for {
		for l, err := range election.Watch(ctx, s.cfg.Coord, fleet.ControlKey) {
			if err != nil {
				break // a server is replaced, or ctx has ended
			}
			s.mu.Lock()
			s.mu.known = l
			s.mu.Unlock()
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// Handler answers under /v1/ with api if this control leads, and else with what the leader answers.
func (s *Server) Handler(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.leading(); err == nil {
			api.ServeHTTP(w, r)
			return
		}
		s.handOn(w, r)
	})
}

// pause waits, or until ctx ends, which it returns.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// patiently repeats what fails for a passing reason, until ctx ends.
func patiently(ctx context.Context, log *slog.Logger, what string, do func() error) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := do()
		passing := errs.Retryable(err) || errors.Is(err, context.DeadlineExceeded)
		if err == nil || ctx.Err() != nil || !passing {
			return err
		}
		log.Warn(what, "error", err)
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}
