package executor

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/amrpc"
	"github.com/seed3322913c/runner/scheduler/rpc"
)

// session is the time in which this executor obeys one application master.
type session struct {
	*executor
	calls amrpc.ExecutorsClient
}

// session serves the application master at here until it says to leave, or ctx ends.
func (e *executor) session(ctx context.Context, here amrpc.Endpoint) error {
	conn, err := rpc.Dial(here.Address, rpc.Peer{Secret: e.cfg.Secret, Epoch: here.Epoch})
	if err != nil {
		return err
	}
	defer conn.Close() // fails only if it is closed already
	s := &session{e, amrpc.NewExecutorsClient(conn)}
	for pause := retryPause(); ; {
		registered, err := s.round(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errLeave), errors.Is(err, errs.Permission), errors.Is(err, errs.Exist):
			return err
		}
		e.cfg.Options.Log.Debug("back to the application master", "error", err)
		if registered {
			pause.Reset()
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// round registers, and works until the application master does not know this executor any more. It also says whether it
// came as far as being registered.
func (s *session) round(ctx context.Context) (registered bool, err error) {
	reply, err := s.calls.Register(ctx, &amrpc.RegisterRequest{
		Executor: s.me, Node: s.cfg.Options.Node, Cores: int32(cap(s.cores)), Holds: s.holds(),
	})
	if err != nil {
		return false, err
	}
	s.heard()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.obey(ctx) })
	g.Go(func() error { return s.beat(ctx, time.Duration(reply.HeartbeatMillis)*time.Millisecond) })
	g.Go(func() error { return s.report(ctx) })
	return true, g.Wait()
}

// persist repeats a call while the trouble may pass; what it cannot get over, it returns.
func (s *session) persist(ctx context.Context, call func() error) error {
	for pause := retryPause(); ; {
		err := call()
		switch {
		case err == nil:
			s.heard()
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !errs.Retryable(err) && !errors.Is(err, errs.Canceled): // Canceled: the time of this call was up
			return err
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// maxPoll is how long Next may take; the application master answers earlier.
const maxPoll = time.Minute

// obey carries orders out.
func (s *session) obey(ctx context.Context) error {
	var after uint64
	for {
		var reply *amrpc.NextReply
		err := s.persist(ctx, func() (err error) {
			ctx, cancel := context.WithTimeout(ctx, maxPoll)
			defer cancel()
			reply, err = s.calls.Next(ctx, &amrpc.NextRequest{Executor: s.me, After: after})
			return err
		})
		if err != nil {
			return err
		}
		for _, o := range reply.Orders {
			if o.Number <= after {
				continue
			}
			after = o.Number
			if err := s.carryOut(o); err != nil {
				return err
			}
		}
	}
}

func (s *session) carryOut(o *amrpc.Order) error {
	switch what := o.What.(type) {
	case *amrpc.Order_Start:
		id, err := scheduler.ParseAttemptID(what.Start.Attempt)
		if err != nil {
			return err
		}
		s.start(id, what.Start.Payload)
	case *amrpc.Order_Kill:
		id, err := scheduler.ParseAttemptID(what.Kill)
		if err != nil {
			return err
		}
		s.kill(id)
	case *amrpc.Order_Leave:
		return errLeave
	}
	return nil
}

// beat sends heartbeats.
func (s *session) beat(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(max(every, time.Millisecond))
	defer tick.Stop()
	s.forgetSent()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		var reply *amrpc.HeartbeatReply
		request, sent := s.progress()
		err := s.persist(ctx, func() (err error) {
			ctx, cancel := context.WithTimeout(ctx, max(2*every, time.Second))
			defer cancel()
			reply, err = s.calls.Heartbeat(ctx, request)
			return err
		})
		if err != nil {
			return err
		}
		if reply.Unknown {
			return errs.Errorf("executor.beat", errs.NotFound, s.me.Container, "given up by the application master")
		}
		sent()
	}
}

// report sends the reports of finished attempts, each until it is acknowledged.
func (s *session) report(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	under := map[*attempt]bool{} // way
	for {
		finished, changed := s.finished()
		for _, a := range finished {
			if under[a] {
				continue
			}
			under[a] = true
			g.Go(func() error {
				var reply *amrpc.ReportReply
				err := s.persist(ctx, func() (err error) {
					ctx, cancel := context.WithTimeout(ctx, maxPoll)
					defer cancel()
					reply, err = s.calls.Report(ctx, a.result)
					return err
				})
				if err == nil {
					s.acknowledged(a, reply.Taken)
				}
				return err
			})
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return g.Wait()
		}
	}
}
