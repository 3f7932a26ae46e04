package invoke

import (
	"context"
	"net"
	"time"

	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Worker is a process that takes the events of one package from a host, one at a time, and keeps a handler for them.
type Worker struct {
	starter starter
	version pack.Version
	pool    *pool
}

// forever is how long a worker's handler waits for the next event: the host ends workers that are idle.
const forever = 100 * 365 * 24 * time.Hour

// NewWorker fetches a package, and starts its handler: one that cannot be started is told of with the first event. dir
// is a folder on the local disk for packages, env is what handlers find beside what is theirs. Close must be called.
func NewWorker(ctx context.Context, st store.Store, sum, dir string, env []string) (*Worker, error) {
	w := &Worker{starter: starter{st: st, dir: dir, env: env}}
	folder, err := pack.Fetch(ctx, st, sum, w.starter.packages())
	if err != nil {
		return nil, err
	}
	m, err := pack.ReadFolder(folder)
	if err != nil {
		return nil, err
	}
	if w.starter.temps, err = openTemps(w.starter.root()); err != nil {
		return nil, err
	}
	m.Idle = pack.Time(forever)
	w.version = pack.Version{Name: m.Name, Package: sum, Manifest: m}
	w.pool = newPool(w.version, w.starter.start)
	if h, err := w.starter.start(context.WithoutCancel(ctx), w.version); err == nil {
		w.pool.give(h)
	}
	return w, nil
}

// Close ends the handler.
func (w *Worker) Close() {
	w.pool.close()
	w.starter.temps.close()
}

// event is what a host hands over.
type event struct {
	call    wire.Call
	payload []byte
}

// Work takes events until ctx ends, which is nil, or the host is gone. What has begun when ctx ends is finished.
func (w *Worker) Work(ctx context.Context, conn net.Conn) error {
	l := newLine(conn)
	defer l.Close() // all was said, or nobody hears
	events, gone := make(chan event), make(chan error, 1)
	over := make(chan struct{})
	defer close(over)
	go func() { gone <- l.listen(events, over) }()
	beat := time.NewTicker(pulse)
	defer beat.Stop()
	go func() { // also while an event is being worked on
		for {
			select {
			case <-beat.C:
				_ = l.send(wire.Frame(wire.Status, nil)) // fails if the host is gone, which listen finds, too
			case <-over:
				return
			}
		}
	}()
	for {
		select {
		case e := <-events:
			answered := make(chan error, 1)
			go func() { answered <- w.answer(context.WithoutCancel(ctx), l, e) }()
			select {
			case err := <-answered:
				if err != nil {
					return err
				}
			case err := <-gone: // nobody waits for the answer
				return err
			}
		case err := <-gone:
			return err
		case <-ctx.Done():
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// listen reads events until the host is gone, or nobody takes them any more.
func (l *line) listen(events chan<- event, over <-chan struct{}) error {
	const op = "invoke.Work"
	var e event
	for {
		kind, payload, err := wire.Read(l.in, nil)
		if err != nil {
			return errs.E(op, errs.Unavailable, "the host of functions", err)
		}
		switch kind {
		case wire.Status:
		case wire.Invoke:
			e = event{}
			if err := wire.ParseJSON(payload, &e.call); err != nil {
				return err
			}
		case wire.Value:
			e.payload = payload
			select {
			case events <- e:
			case <-over:
				return nil
			}
		default:
			return errs.Errorf(op, errs.Corrupt, nil, "a frame of type %q", byte(kind))
		}
	}
}

// answer has the handler answer one event, and tells the host.
func (w *Worker) answer(ctx context.Context, l *line, e event) error {
	result, _, err := w.pool.call(ctx, e.call, e.payload, &lineLog{l})
	if err == nil {
		return l.send(wire.Frame(wire.Value, result))
	}
	head, err := wire.JSONFrame(wire.Failed, wire.Failure{Message: textOf(err), Kind: errs.KindOf(err).String()})
	if err != nil {
		return err
	}
	return l.send(head)
}

// lineLog sends what is said to the host.
type lineLog struct{ *line }

// Write sends a piece.
func (l *lineLog) Write(text []byte) (int, error) {
	for rest := text; len(rest) > 0; {
		piece := rest[:min(len(rest), wire.FrameSize)]
		if err := l.send(wire.Frame(wire.Status, piece)); err != nil {
			return 0, err
		}
		rest = rest[len(piece):]
	}
	return len(text), nil
}

// Close does nothing: the line has further use.
func (l *lineLog) Close() error { return nil }
