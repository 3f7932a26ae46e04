package invoke

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// acceptAfter is how long a first attempt may take until its invocation is accepted, if its caller waits.
const acceptAfter = 50 * time.Millisecond

// flight is an invocation that is not over.
type flight struct {
	inv     Invocation    // as it was accepted, or stood when the host began
	version pack.Version  // that inv.Version means; looked up if it is zero
	event   []byte        // nil: in inv.Event
	done    chan struct{} // closed when final or err is there
	final   Invocation
	err     error // why the host cannot say what became of it
	mu      struct {
		sync.Mutex
		accepted bool
	}
}

func newFlight(inv Invocation) *flight { return &flight{inv: inv, done: make(chan struct{})} }

func (f *flight) wait(ctx context.Context) (Invocation, error) {
	select {
	case <-f.done:
		return f.final, f.err
	case <-ctx.Done():
		return f.inv, errs.E("invoke.Wait", errs.Canceled, f.inv.ID, context.Cause(ctx))
	}
}

// launch sees a flight off, unless something has failed already.
func (h *Host) launch(f *flight, err error) error {
	if err == nil {
		select {
		case h.take <- f:
			return nil
		case <-h.done:
			err = gone(f.inv.ID)
		}
	}
	h.land(f, f.inv, err)
	return err
}

// spill moves a payload that is too long for the journal into an object.
func (h *Host) spill(ctx context.Context, id ID, which string, p *Payload) error {
	if len(p.Inline) <= MaxInline {
		return nil
	}
	name := payloads.Join(string(id)).Join(which)
	if err := store.Put(ctx, h.st, name, p.Inline); err != nil {
		return err
	}
	p.Inline, p.Object = nil, name
	return nil
}

// append writes records about a flight, after its acceptance if that is not in the journal yet.
func (h *Host) append(ctx context.Context, f *flight, records ...record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var texts [][]byte
	if !f.mu.accepted {
		inv := f.inv
		texts = append(texts, record{
			Op: opAccepted, ID: inv.ID, At: inv.Accepted, Function: inv.Function, Version: inv.Version, Key: inv.Key,
			Event: &inv.Event,
		}.encode())
	}
	for _, r := range records {
		texts = append(texts, r.encode())
	}
	if len(texts) == 0 {
		return nil
	}
	if err := h.leader.Append(ctx, texts...); err != nil {
		return errs.Errorf("", errs.Unavailable, nil, "nobody knows what became of invocation %s (%s); ask again", f.inv.ID,
			errs.Cause(err))
	}
	f.mu.accepted = true
	return nil
}

// land ends a flight.
func (h *Host) land(f *flight, final Invocation, err error) {
	h.mu.Lock()
	delete(h.mu.flights, f.inv.ID)
	if key := keyOf(f.inv.Function, f.inv.Key); h.mu.keys[key] == f {
		delete(h.mu.keys, key)
	}
	h.mu.active = time.Now()
	h.mu.Unlock()
	f.final, f.err = final, err
	close(f.done)
}

// fly makes attempts until the invocation is over, or the host ends.
func (h *Host) fly(ctx context.Context, f *flight) {
	keep := context.WithoutCancel(ctx) // what is known is written down, also while the host ends
	accepted := make(chan struct{})
	early := time.AfterFunc(acceptAfter, func() {
		defer close(accepted)
		if err := h.append(keep, f); err != nil {
			h.o.OnError(err) // the end of the attempt meets the same error
		}
	})
	defer func() {
		if !early.Stop() {
			<-accepted // nothing of a flight outlives it, nor the host
		}
	}()
	inv := f.inv
	for {
		if !until(ctx, inv.NotBefore) {
			h.land(f, inv, gone(inv.ID))
			return
		}
		version, o := h.attempt(ctx, f, inv)
		if ctx.Err() != nil && o.err != nil {
			h.land(f, inv, gone(inv.ID))
			return
		}
		if err := h.spill(keep, inv.ID, "result", &o.result); err != nil {
			o.err = err // what cannot be kept is no result
		}
		r := after(inv, o, version.Manifest.Retries, time.Now().UTC())
		if r.Op == opSucceeded && f.version.N > 0 { // of one that was redriven there may be an object, which is replaced
			r.Log = h.shortLog(inv)
		}
		err := h.append(keep, f, r)
		if err == nil {
			inv, err = ended(inv, r) // as the ledger has it, which may forget it soon
		}
		if err != nil || inv.State.Final() {
			h.land(f, inv, err)
			h.keepLog(keep, inv)
			h.tidy(keep)
			return
		}
	}
}

// until waits for a moment; false if ctx ended before.
func until(ctx context.Context, moment time.Time) bool {
	if moment.IsZero() {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt lets the function answer once.
func (h *Host) attempt(ctx context.Context, f *flight, inv Invocation) (v pack.Version, o outcome) {
	var err error
	v = f.version
	if v.N != inv.Version {
		v, err = h.registry.Version(ctx, inv.Function, inv.Version)
	}
	if err != nil {
		if errs.KindOf(err) == errs.NotFound {
			err = errs.Errorf("", errs.Invalid, nil, "version %d of %s is gone", inv.Version, inv.Function)
		}
		v.Manifest.Retries = pack.Defaults().Retries // for a store that does not answer
		return v, outcome{err: err}
	}
	event := f.event
	if event == nil {
		if event, err = Load(ctx, h.st, inv.Event); err != nil {
			return v, outcome{err: err}
		}
	}
	var result []byte
	if v.Manifest.Kind == pack.Handler {
		call := wire.Call{ID: string(inv.ID), Attempt: inv.Attempts + 1, Key: inv.Key}
		p := h.handlersOf(v)
		if p == nil {
			return v, outcome{err: gone(inv.ID)}
		}
		result, o.took, o.err = p.call(ctx, call, event, &logFile{path: LogFile(h.o.Dir, inv.Function, inv.ID)})
	} else {
		began := time.Now()
		result, o.err = h.submit(ctx, v, event)
		o.took = time.Since(began)
	}
	o.result = Payload{Inline: result, Size: int64(len(result))}
	return v, o
}

// submit starts the job of a function; the answer is its id.
func (h *Host) submit(ctx context.Context, v pack.Version, event []byte) ([]byte, error) {
	if h.o.Submit == nil {
		return nil, errs.Errorf("", errs.Invalid, nil, "%s is of kind %s, which this host cannot start", v.Name,
			v.Manifest.Kind)
	}
	folder, err := pack.Fetch(ctx, h.st, v.Package, h.starter.packages())
	if err != nil {
		return nil, err
	}
	job, err := h.o.Submit(ctx, v, folder, event)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{"job": job})
}
