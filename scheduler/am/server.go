package am

import (
	"context"
	"encoding/json"
	"time"

	"google.golang.org/grpc"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/amrpc"
)

// executorServer answers executors.
type executorServer struct {
	amrpc.UnimplementedExecutorsServer
	master *master
	stop   <-chan struct{} // closed when nobody should wait any more
}

// longPoll is how long Next waits for orders before it answers without.
const longPoll = 20 * time.Second

// Register gives the executor an empty mailbox. One that the launcher has seen end is refused: it ends, but not as if
// its work were done, after which no launcher would start another one.
func (s *executorServer) Register(_ context.Context, r *amrpc.RegisterRequest) (*amrpc.RegisterReply, error) {
	var holds []scheduler.AttemptID
	for _, text := range r.Holds {
		id, err := scheduler.ParseAttemptID(text)
		if err != nil {
			return nil, err
		}
		holds = append(holds, id)
	}
	a := s.master
	id, taken := r.Executor.GetContainer(), false
	a.step(func(m *machine, now int64) {
		if taken = m.register(id, r.Node, int(r.Cores), holds, now); taken {
			a.mu.boxes[id] = newMailbox(r.Executor.GetInstance(), a.cfg.Options.Now())
		}
	})
	if !taken {
		return nil, errs.Errorf("am.Register", errs.Exist, id,
			"it has ended, the launcher says, and another one has its place")
	}
	o := a.cfg.Options
	return &amrpc.RegisterReply{HeartbeatMillis: o.Heartbeat.Milliseconds(), DeadMillis: o.Dead.Milliseconds()}, nil
}

// boxLocked returns the mailbox of an executor that was just heard of.
func (a *master) boxLocked(e *amrpc.Executor) (*mailbox, error) {
	box := a.mu.boxes[e.GetContainer()]
	if box == nil || box.instance != e.GetInstance() {
		return nil, errs.Errorf("am.executor", errs.NotFound, e.GetContainer(), "is not registered")
	}
	box.seen = a.cfg.Options.Now()
	return box, nil
}

// Next answers when there are orders.
func (s *executorServer) Next(ctx context.Context, r *amrpc.NextRequest) (*amrpc.NextReply, error) {
	enough := time.NewTimer(longPoll)
	defer enough.Stop()
	for last := false; ; {
		orders, filled, err := s.master.ordersAfter(r)
		switch {
		case err != nil || len(orders) > 0:
			return &amrpc.NextReply{Orders: orders}, err
		case last:
			return nil, errs.Errorf("am.Next", errs.Unavailable, nil, "the application master ends")
		}
		select {
		case <-filled:
		case <-enough.C:
			return &amrpc.NextReply{}, nil
		case <-ctx.Done():
			return nil, errs.E("am.Next", errs.Canceled, nil, ctx.Err())
		case <-s.stop:
			last = true // an order to leave may have come at the same time
		}
	}
}

func (a *master) ordersAfter(r *amrpc.NextRequest) ([]*amrpc.Order, <-chan struct{}, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	box, err := a.boxLocked(r.Executor)
	if err != nil {
		return nil, nil, err
	}
	return box.after(r.After), box.filled, nil
}

// Report answers when the end of the attempt is in the ledger.
func (s *executorServer) Report(ctx context.Context, r *amrpc.ReportRequest) (*amrpc.ReportReply, error) {
	rep, err := parseReport(r)
	if err != nil {
		return nil, err
	}
	taken := make(chan bool, 1)
	if err := s.master.report(r.Executor, rep, taken); err != nil {
		return nil, err
	}
	select {
	case t := <-taken:
		return &amrpc.ReportReply{Taken: t}, nil
	case <-ctx.Done():
		return nil, errs.E("am.Report", errs.Canceled, rep.attempt, ctx.Err())
	case <-s.stop:
		select {
		case t := <-taken: // the report that ended the job has its answer, too
			return &amrpc.ReportReply{Taken: t}, nil
		default:
			return nil, errs.Errorf("am.Report", errs.Unavailable, rep.attempt, "the application master ends")
		}
	}
}

func (a *master) report(e *amrpc.Executor, rep report, taken chan<- bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.boxLocked(e); err != nil {
		return err
	}
	a.mu.waiting[rep.attempt] = append(a.mu.waiting[rep.attempt], taken)
	a.stepLocked(func(m *machine, now int64) { m.reported(rep, now) })
	return nil
}

func parseReport(r *amrpc.ReportRequest) (report, error) {
	id, err := scheduler.ParseAttemptID(r.Attempt)
	if err != nil {
		return report{}, err
	}
	rep := report{
		executor: r.Executor.GetContainer(), attempt: id, state: scheduler.AttemptState(r.State), ran: r.RunMillis,
		data: r.Data, cause: r.Failure.GetText(), kind: errs.ParseKind(r.Failure.GetKind()),
		counters: counters(r.Counters),
	}
	for _, in := range r.Inputs {
		input, err := scheduler.ParseAttemptID(in.Attempt)
		if err != nil {
			return report{}, err
		}
		rep.inputs = append(rep.inputs, scheduler.InputLost{Attempt: input, Sure: in.Sure})
	}
	switch {
	case len(r.Data) > scheduler.MaxOutput:
		return report{}, errs.Errorf("am.Report", errs.Invalid, id, "a result of %d bytes", len(r.Data))
	case rep.state != scheduler.AttemptSucceeded && rep.state != scheduler.AttemptFailed &&
		rep.state != scheduler.AttemptLost && rep.state != scheduler.AttemptKilled:
		return report{}, errs.Errorf("am.Report", errs.Invalid, id, "state %q", r.State)
	}
	return rep, nil
}

func counters(list []*amrpc.Counter) scheduler.Counters {
	c := scheduler.Counters{}
	for _, one := range list {
		c.Add(one.Group, one.Name, one.Value)
	}
	return c
}

// Heartbeat takes progress.
func (s *executorServer) Heartbeat(_ context.Context, r *amrpc.HeartbeatRequest) (*amrpc.HeartbeatReply, error) {
	var list []progress
	for _, p := range r.Running {
		id, err := scheduler.ParseAttemptID(p.Attempt)
		if err != nil {
			return nil, err
		}
		list = append(list, progress{attempt: id, done: p.Done, status: p.Status, counters: counters(p.Counters)})
	}
	a := s.master
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.boxLocked(r.Executor); err != nil {
		return &amrpc.HeartbeatReply{Unknown: true}, nil
	}
	known := false
	a.stepLocked(func(m *machine, now int64) { known = m.beat(r.Executor.GetContainer(), list, now) })
	return &amrpc.HeartbeatReply{Unknown: !known}, nil
}

// clientServer answers people's programs.
type clientServer struct {
	amrpc.UnimplementedClientsServer
	master *master
	stop   <-chan struct{}
}

// watchPause is the time between two reports while nothing important happens.
const watchPause = 200 * time.Millisecond

// view returns a report, and channels that are closed when anything, or the job's state, is different.
func (a *master) view(short bool) (r Report, changed, turned <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.machine.report(a.cfg.Job, short), a.mu.changed, a.mu.turned
}

func statusReply(r Report) (*amrpc.StatusReply, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, errs.E("am.Status", errs.Internal, r.Job, err)
	}
	return &amrpc.StatusReply{Report: data}, nil
}

// Status sends everything.
func (s *clientServer) Status(context.Context, *amrpc.StatusRequest) (*amrpc.StatusReply, error) {
	r, _, _ := s.master.view(false)
	return statusReply(r)
}

// Watch sends short reports until the job is over, of which the last one says so.
func (s *clientServer) Watch(_ *amrpc.StatusRequest, out grpc.ServerStreamingServer[amrpc.StatusReply]) error {
	for last := false; ; {
		r, changed, turned := s.master.view(true)
		reply, err := statusReply(r)
		if err != nil {
			return err
		}
		if err := out.Send(reply); err != nil || r.State.Final() {
			return err
		}
		if last {
			return errs.Errorf("am.Watch", errs.Unavailable, nil, "the application master ends")
		}
		pause := time.After(watchPause)
		for changed != nil || pause != nil {
			select {
			case <-turned:
				changed, pause = nil, nil
			case <-changed:
				changed = nil
			case <-pause:
				pause = nil
			case <-out.Context().Done():
				return errs.E("am.Watch", errs.Canceled, nil, out.Context().Err())
			case <-s.stop: // it may have ended the job at the same time
				last, changed, pause = true, nil, nil
			}
		}
	}
}

// Kill answers when the ledger says that the job is killed.
func (s *clientServer) Kill(ctx context.Context, r *amrpc.KillRequest) (*amrpc.KillReply, error) {
	refused := ""
	s.master.step(func(m *machine, now int64) { refused = m.kill(r.Reason, now) })
	if refused != "" {
		return &amrpc.KillReply{Refused: refused}, nil
	}
	for {
		report, _, turned := s.master.view(true)
		if report.State.Final() {
			return &amrpc.KillReply{}, nil
		}
		select {
		case <-turned:
		case <-ctx.Done():
			return nil, errs.E("am.Kill", errs.Canceled, nil, ctx.Err())
		case <-s.stop:
			if report, _, _ := s.master.view(true); report.State.Final() {
				return &amrpc.KillReply{}, nil // it ends since the job is over
			}
			return nil, errs.Errorf("am.Kill", errs.Unavailable, nil, "the application master ends")
		}
	}
}

// Resize answers when the ledger says that the job has another number of executors.
func (s *clientServer) Resize(ctx context.Context, r *amrpc.ResizeRequest) (*amrpc.ResizeReply, error) {
	turn, refused := 0, ""
	s.master.step(func(m *machine, _ int64) { turn, refused = m.resize(int(r.Executors)) })
	if refused != "" {
		return &amrpc.ResizeReply{Refused: refused}, nil
	}
	for {
		done, changed := s.master.wasResized(turn)
		if done {
			return &amrpc.ResizeReply{}, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, errs.E("am.Resize", errs.Canceled, nil, ctx.Err())
		case <-s.stop:
			return nil, errs.Errorf("am.Resize", errs.Unavailable, nil, "the application master ends")
		}
	}
}

// wasResized reports whether the job was resized for so many times, or is over; and returns a channel that is closed
// when that may have changed.
func (a *master) wasResized(times int) (bool, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.mu.machine
	return m.resized >= times || m.state.Final(), a.mu.changed
}
