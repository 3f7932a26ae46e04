package role

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/guagua/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// RunWorker does the work of one worker until the job is done. The kind Fenced says that another process has its place.
func RunWorker(ctx context.Context, job Job, me superstep.Member, in guagua.Split) error {
	job.settle()
	ctx, cancel := context.WithCancelCause(ctx)
	w := &worker{
		job: job, me: me, env: job.env(me.Index, me.Attempt), machine: superstep.NewWorker(me), results: new(payloads),
		notices: make(chan notice), links: make(chan dialed), frames: make(chan frame), computed: make(chan part, 1),
		routed: make(chan uplink),
		undial: func() {},
	}
	w.group = newGroup(job, me, &w.work)
	err := w.run(ctx, in)
	cancel(errs.E("guagua.Worker", errs.Canceled, me, nil))
	w.hangUp()
	if w.group != nil {
		w.group.close()
	}
	w.work.Wait()
	return err
}

// worker carries out what its machine wants. All but the channels is for its loop alone.
type worker struct {
	job     Job
	me      superstep.Member
	env     *guagua.Env
	program guagua.WorkerProgram
	machine *superstep.Worker
	results *payloads
	work    sync.WaitGroup

	address string // of the master of the highest epoch
	link    link.Link
	session int    // of the link; frames of older ones can be told by it
	count   int    // of all links so far
	undial  func() // ends the dialling under way

	group *group             // that this worker leads, or nil
	door  string             // where it takes members in
	up    uplink             // to the leader of the group that it is a member of
	via   superstep.Position // the newest order that is for the whole group

	now     *payload // the master result that was adopted
	pending *payload // the newest that has come
	mine    part     // the result that was computed last
	trail   trail    // the newest state of the master that has come
	trailAt superstep.Point
	held    *payload // the newest master result whose companion has come too
	heldBy  trail    // its companion

	notices  chan notice
	links    chan dialed
	routed   chan uplink
	frames   chan frame
	tasks    chan task
	computed chan part
}

// dialed is a new link, and the master it leads to.
type dialed struct {
	epoch uint64
	link  link.Link
}

// frame is a message that has come, or the end of its link.
type frame struct {
	session int
	head    wire.Header
	content *payload // of an announce
	early   bool     // it has only begun to come, and is for the group
	body    []byte   // of other kinds
	err     error
}

// task is an iteration to compute; part is what comes of it.
type task struct {
	step   *guagua.Step
	master *payload
}

type part struct {
	data []byte
	took time.Duration
	halt bool
	err  error
}

func (w *worker) run(ctx context.Context, in guagua.Split) (err error) {
	w.program, err = w.job.Program.NewWorker(ctx, w.env)
	if err != nil {
		return err
	}
	chain := guagua.NewChain(append(w.job.Interceptors, w.program.Interceptors()...)...)
	defer func() { err = ended(ctx, chain, w.program, w.env, err) }()
	if err := chain.Start(ctx, w.env); err != nil {
		return err
	}
	w.tasks = make(chan task, 1)
	computing, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { w.compute(computing, chain, in) })
	defer done.Wait() // before the program is closed
	defer close(w.tasks)
	defer stop()
	w.work.Go(func() { w.watch(ctx) })
	return w.loop(ctx)
}

// compute loads the data and then does what the loop asks for.
func (w *worker) compute(ctx context.Context, chain *guagua.Chain, in guagua.Split) {
	if err := w.program.Load(ctx, in); err != nil {
		w.computed <- part{err: errs.E("guagua.Load", errs.Other, w.env.Role(), err)}
		return
	}
	for t := range w.tasks {
		begun := time.Now()
		p := part{}
		p.err = chain.Enter(ctx, t.step)
		if p.err == nil {
			p.data, p.err = w.program.Compute(ctx, t.step, t.master.bytes())
		}
		if p.err == nil {
			p.err = chain.Leave(ctx, t.step)
		}
		p.took, p.halt = time.Since(begun), t.step.Halted()
		w.job.News.Progress(int64(t.step.Iteration))
		t.master.release()
		if p.err != nil {
			p.err = errs.E("guagua.Worker", errs.Other, w.env.Role()+" in "+iteration(t.step.Iteration), p.err)
		}
		w.computed <- p
	}
}

func (w *worker) loop(ctx context.Context) error {
	var ready chan struct{}
	if w.group != nil {
		ready = w.group.ready
	}
	for {
		var acts []superstep.WorkerAction
		select {
		case n := <-w.notices:
			if n.Done && w.machine.Dismissed(n.Epoch) {
				return nil
			}
			if w.machine.Heard(n.Epoch) {
				w.address = n.Address
				if w.group != nil {
					w.door = w.group.open(ctx, n.Epoch)
				}
				w.redial(ctx)
			}
		case d := <-w.links:
			w.join(ctx, d)
		case u := <-w.routed:
			w.linkUp(ctx, u)
		case <-ready:
			if err := w.sendSum(ctx, *w.group.last.Load()); err != nil {
				return err
			}
		case f := <-w.frames:
			if f.session != w.session && f.session != w.up.session {
				f.content.release()
				continue
			}
			var over bool
			var err error
			if acts, over, err = w.hear(ctx, f); over || err != nil {
				return err
			}
		case p := <-w.computed:
			if p.err != nil {
				return p.err
			}
			w.mine = p
			acts = w.machine.Computed()
		case <-ctx.Done():
			return canceled(ctx, w.env.Role())
		}
		for _, a := range acts {
			w.do(ctx, a)
		}
	}
}

// hear takes a message. It reports whether the work is over.
func (w *worker) hear(ctx context.Context, f frame) (acts []superstep.WorkerAction, over bool, err error) {
	if f.err != nil {
		if f.session == w.session {
			w.redial(ctx)
		} else {
			w.unlink(ctx)
		}
		return nil, false, nil
	}
	if f.early {
		w.pass(f)
		f.content.release()
		return nil, false, nil
	}
	switch f.head.Kind {
	case wire.Announce:
		a := superstep.Announce{
			Position: f.head.Position, To: f.head.Member, At: f.head.Point(),
			Older: f.head.Flags&wire.Older != 0, Counted: f.head.Counted,
		}
		if a.Content = f.content != nil; a.Content {
			w.pending.release()
			w.pending = f.content
		}
		w.pass(f)
		return w.machine.Announced(a), false, nil
	case wire.State:
		t, err := parseTrail(f.body)
		if err != nil {
			w.redial(ctx)
			return nil, false, nil
		}
		w.trail.extend(t)
		if w.trailAt = f.head.Point(); w.now != nil && w.now.at == w.trailAt {
			w.hold()
		}
	case wire.Route:
		w.route(ctx, string(f.body), f.head.Extra)
	case wire.Fetch:
		w.handOver(ctx, f.head.Point())
	case wire.Dismiss:
		return nil, w.machine.Dismissed(f.head.Epoch), nil
	case wire.Reject:
		return nil, true, errs.Errorf("guagua.Worker", errs.Fenced, w.me, "the master says: %s", f.body)
	}
	return nil, false, nil
}

// pass begins a turn of the whole group, once.
func (w *worker) pass(f frame) {
	if f.head.Flags&wire.Group == 0 || !w.via.Before(f.head.Position) {
		return
	}
	w.via = f.head.Position
	if w.group != nil {
		w.group.begin(f.head, f.content)
	}
}

func (w *worker) do(ctx context.Context, a superstep.WorkerAction) {
	switch a := a.(type) {
	case superstep.Adopt:
		w.now.release()
		w.now, w.pending = w.pending, nil
		if w.trailAt == a.At {
			w.hold()
		}
	case superstep.Work:
		master := w.now
		if a.At.Iteration == 0 {
			master = nil
		}
		w.tasks <- task{&guagua.Step{Env: w.env, Iteration: a.At.Iteration + 1}, master.hold()}
	case superstep.Send:
		w.send(ctx, a)
	case superstep.Rejoin:
		w.redial(ctx)
	}
}

// hold keeps the present master result for a successor of the master, since its companion has come too.
func (w *worker) hold() {
	w.held.release()
	w.held, w.heldBy = w.now.hold(), w.trail
}

func (w *worker) holds() superstep.Point {
	if w.held == nil {
		return superstep.Point{}
	}
	return w.held.at
}

func (w *worker) send(ctx context.Context, s superstep.Send) {
	to := w.link
	if s.Position == w.via {
		if w.group != nil {
			w.group.own(s.Position, w.me, w.mine)
			return
		}
		to = w.up.link
	}
	if to == nil {
		return // it will be asked for again
	}
	h := wire.Header{Kind: wire.Result, Position: s.Position, Member: w.me, Extra: uint64(w.mine.took)}
	if w.now != nil {
		h.Iteration = w.now.at.Iteration
	}
	h.Iteration++
	if w.mine.halt {
		h.Flags |= wire.Halt
	}
	if s.Older {
		h.Flags |= wire.Older
	}
	if err := to.Send(ctx, h, wire.NewMessage(w.mine.data)); err != nil {
		to.Close() // the reader notices
	}
}

// handOver sends what this worker holds of a point to a master that needs it.
func (w *worker) handOver(ctx context.Context, at superstep.Point) {
	if w.holds() != at {
		w.redial(ctx) // the master is mistaken: join again, and say what is true
		return
	}
	body := binary.LittleEndian.AppendUint64(nil, uint64(len(w.held.data)))
	body = append(body, w.held.data...)
	t, err := w.heldBy.encode()
	if err != nil {
		w.redial(ctx)
		return
	}
	h := wire.Header{Kind: wire.Holding, Member: w.me, Position: superstep.Position{Epoch: w.machine.Epoch()}}
	h.SetPoint(at)
	if err := w.link.Send(ctx, h, wire.NewMessage(append(body, t...))); err != nil {
		w.link.Close() // the reader notices
	}
}

// hangUp ends the present link, if there is one.
func (w *worker) hangUp() {
	if w.link != nil {
		w.link.Close()
		w.link = nil
	}
	w.session = w.newSession()
	w.up.close()
	w.up = uplink{}
	w.undial()
}

// redial ends the present link and connects to the master of the highest epoch that was heard of.
func (w *worker) redial(ctx context.Context) {
	w.hangUp()
	ctx, w.undial = context.WithCancel(ctx)
	address, epoch := w.address, w.machine.Epoch()
	w.work.Go(func() {
		for wait := time.Millisecond; ; wait = min(2*wait, time.Second) {
			l, err := w.job.Transport.Dial(ctx, address, w.job.secret(epoch))
			if err == nil {
				select {
				case w.links <- dialed{epoch, l}:
				case <-ctx.Done():
					l.Close()
				}
				return
			}
			if errors.Is(err, errs.Permission) || !pause(ctx, wait) { // another program has this address now
				return
			}
		}
	})
}

// join says the first words on a new link, and begins to listen.
func (w *worker) join(ctx context.Context, d dialed) {
	if d.epoch != w.machine.Epoch() || w.link != nil {
		d.link.Close()
		return
	}
	w.link = d.link
	w.session = w.newSession()
	session := w.session
	h, body := wire.JoinMessage(w.machine.Connected(w.holds()))
	if err := d.link.Send(ctx, h, wire.NewMessage(body)); err != nil {
		d.link.Close() // the reader notices
	}
	if w.door != "" {
		w.say(ctx, wire.Header{Kind: wire.Door}, []byte(w.door))
	}
	w.work.Go(func() { w.listen(ctx, d.link, session) })
}
