package invoke

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
)

// The places of a store.
const (
	journalName = store.Name("invocations/journal")
	payloads    = store.Name("invocations/payloads")
	keptLogs    = store.Name("invocations/logs")
)

// Options say how a Host works. Dir is needed; the rest may be zero.
type Options struct {
	Dir    string   // folder on the local disk: packages/ and logs/ are in it
	Writer string   // who this is, for people who look into the journal
	Env    []string // what all handlers find in their environment

	// Submit starts the job of a function that is no handler, and returns its id. The package lies in folder. nil: there
	// are handlers only.
	Submit func(ctx context.Context, v pack.Version, folder string, event []byte) (job string, err error)

	// Crew has handlers run elsewhere; nil: they are children of this process.
	Crew Crew

	// KeepLogs has the logs of what is over in the store, for hosts that go with their machines: short ones are in the
	// journal, with the result.
	KeepLogs bool

	Most     int           // invocations that are not over; 0 means 10,000
	AliasFor time.Duration // how long it is believed what an alias means; 0: it is looked up each time
	OnError  func(error)   // is told what went wrong without harm; must not block; nil ignores
}

// Host answers invocations. One process at a time is the host of a store; a lease decides who tries, and the journal
// who is. Its methods may be called by many goroutines at once.
type Host struct {
	st       store.Store
	registry pack.Registry
	starter  starter
	o        Options
	ledger   *Ledger
	leader   *journal.Leader
	take     chan *flight       // to run
	stop     context.CancelFunc // ends run, and so everything
	done     chan struct{}      // closed when nothing runs any more
	work     sync.WaitGroup     // flights, and what they have begun
	keeping  chan struct{}      // a place for each log that is being copied
	mu       struct {
		sync.Mutex
		flights map[ID]*flight
		keys    map[string]*flight
		pools   map[string]handlers // by the sum of the package
		names   map[string]string   // of functions, likewise
		aliases map[string]meaning
		active  time.Time // when the last flight landed
		closed  bool
	}
}

// meaning is what a reference meant a moment ago.
type meaning struct {
	version pack.Version
	at      time.Time
}

// Open takes the journal of a store over and goes on with what is not over. ctx bounds the opening only.
func Open(ctx context.Context, st store.Store, o Options) (*Host, error) {
	o.Most = cmp.Or(o.Most, 10_000)
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	h := &Host{
		st: st, registry: pack.Registry{Store: st}, o: o, ledger: &Ledger{}, take: make(chan *flight),
		done: make(chan struct{}), starter: starter{st: st, dir: o.Dir, env: o.Env},
		keeping: make(chan struct{}, maxKeeping),
	}
	h.mu.flights, h.mu.keys = map[ID]*flight{}, map[string]*flight{}
	h.mu.pools, h.mu.names = map[string]handlers{}, map[string]string{}
	h.mu.aliases, h.mu.active = map[string]meaning{}, time.Now()
	var err error
	if h.starter.temps, err = openTemps(h.starter.root()); err != nil {
		return nil, err
	}
	kept := journal.Options{Writer: o.Writer, OnError: o.OnError}
	if h.leader, err = journal.Lead(ctx, st, journalName, h.ledger, kept); err != nil {
		h.starter.temps.close()
		return nil, err
	}
	if err := errors.Join(h.sweep(ctx), h.sweepLogs(ctx)); err != nil {
		o.OnError(err) // the next host tries again
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop = stop
	var flights []*flight
	for _, inv := range slices.Backward(h.ledger.List("", Queued)) { // the oldest first
		f := newFlight(inv)
		f.mu.accepted = true
		h.register(f)
		flights = append(flights, f)
	}
	go h.run(running, flights)
	return h, nil
}

// Close ends the host: handlers are killed, and callers that still wait are told to ask again. What was accepted goes
// on with the next host.
func (h *Host) Close() error {
	h.stop()
	<-h.done
	return h.leader.Close()
}

// Done is closed when the host has ended: closed, or because another one has taken over.
func (h *Host) Done() <-chan struct{} { return h.done }

// run starts flights until the host is stopped, or leads no more.
func (h *Host) run(ctx context.Context, flights []*flight) {
	defer close(h.done)
	defer h.stop()
	for _, f := range flights {
		h.work.Go(func() { h.fly(ctx, f) })
	}
	h.work.Go(func() { h.forgetLogs(ctx) })
	for open := true; open; {
		select {
		case f := <-h.take:
			h.work.Go(func() { h.fly(ctx, f) })
		case <-h.leader.Done():
			open = false
		case <-ctx.Done():
			open = false
		}
	}
	h.stop()
	h.mu.Lock()
	h.mu.closed = true
	pools := slices.Collect(maps.Values(h.mu.pools))
	h.mu.Unlock()
	h.work.Wait()
	var ending sync.WaitGroup
	for _, p := range pools {
		ending.Go(p.close)
	}
	ending.Wait()
	h.starter.temps.close()
}

// gone is what callers are told when the host ends.
func gone(id ID) error {
	return errs.Errorf("", errs.Unavailable, nil, "the host of functions ended before invocation %s did; ask again", id)
}

// Request is what a caller wants.
type Request struct {
	Function string // NAME, NAME@ALIAS or NAME@VERSION
	Key      string // idempotency key; "" for none
	Event    []byte
	Async    bool // the answer is an invocation that is accepted, and may not be over
}

// Invoke has an event answered. Without Async it returns when the invocation is over, which may be that it is DEAD, or
// when ctx ends; the invocation goes on then. If there is an invocation of the function with this key, that is the
// answer, whatever the event.
//
// Errors: errs.NotFound for a function that there is not; errs.Invalid for a request that is too long; errs.Exhausted
// when too much waits; errs.Unavailable when nobody knows what became of it: ask again, with the key.
func (h *Host) Invoke(ctx context.Context, r Request) (Invocation, error) {
	switch {
	case len(r.Event) > MaxPayload:
		return Invocation{}, errs.Errorf("", errs.Invalid, nil, "an event of %d bytes; %d are allowed", len(r.Event),
			MaxPayload)
	case len(r.Key) > MaxKey:
		return Invocation{}, errs.Errorf("", errs.Invalid, nil, "a key of %d bytes; %d are allowed", len(r.Key), MaxKey)
	}
	v, err := h.resolve(ctx, r.Function)
	if err != nil {
		return Invocation{}, err
	}
	inv := Invocation{
		ID: newID(), Function: v.Name, Version: v.N, Key: r.Key, State: Queued, Accepted: time.Now().UTC(),
		Event: Payload{Inline: r.Event, Size: int64(len(r.Event))},
	}
	ctx, caller := context.WithoutCancel(ctx), ctx // a caller that goes changes nothing for others with its key
	if err := h.spill(ctx, inv.ID, "event", &inv.Event); err != nil {
		return Invocation{}, err
	}
	mine := newFlight(inv)
	mine.version, mine.event = v, r.Event
	f, over, err := h.admit(mine)
	if f != mine && inv.Event.Object != "" {
		if err := h.st.Delete(ctx, inv.Event.Object); err != nil {
			h.o.OnError(err)
		}
	}
	if err != nil || over != nil {
		return value(over), err
	}
	if r.Async {
		err = h.append(ctx, f)
	}
	if f == mine {
		err = h.launch(f, err)
	}
	if err != nil {
		return Invocation{}, err
	}
	if r.Async {
		return h.now(f.inv), nil
	}
	return f.wait(caller)
}

func value(inv *Invocation) Invocation {
	if inv == nil {
		return Invocation{}
	}
	return *inv
}

// now returns an invocation as it stands: as the ledger has it, once it was accepted.
func (h *Host) now(inv Invocation) Invocation {
	if known, ok := h.ledger.Get(inv.ID); ok {
		return known
	}
	return inv
}

// Wait returns an invocation when it is over, or when ctx ends, as it stands then.
func (h *Host) Wait(ctx context.Context, id ID) (Invocation, error) {
	h.mu.Lock()
	f, flies := h.mu.flights[id]
	h.mu.Unlock()
	if flies {
		inv, err := f.wait(ctx)
		if ctx.Err() != nil {
			return h.now(f.inv), nil
		}
		return inv, err
	}
	inv, ok := h.ledger.Get(id)
	if !ok {
		return inv, unknown(id)
	}
	return inv, nil
}

func unknown(id ID) error {
	return errs.Errorf("", errs.NotFound, nil,
		"there is no invocation %q; what is over is kept for a day, and no more than %d",
		id, KeepMost)
}

func newID() ID {
	var chance [10]byte
	_, _ = rand.Read(chance[:]) // never fails
	return ID(strings.ToLower(base32.StdEncoding.EncodeToString(chance[:])))
}

// admit registers a flight, unless there is one with its key, which is returned instead, or one that is over.
func (h *Host) admit(f *flight) (*flight, *Invocation, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.inv.Key != "" {
		if other, ok := h.mu.keys[keyOf(f.inv.Function, f.inv.Key)]; ok {
			return other, nil, nil
		}
		if inv, ok := h.ledger.ByKey(f.inv.Function, f.inv.Key); ok {
			return nil, &inv, nil
		}
	}
	switch {
	case h.mu.closed:
		return nil, nil, gone(f.inv.ID)
	case len(h.mu.flights) >= h.o.Most:
		return nil, nil, errs.Errorf("", errs.Exhausted, nil, "%d invocations wait already; ask again later", h.o.Most)
	}
	h.registerLocked(f)
	return f, nil, nil
}

func (h *Host) register(f *flight) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.registerLocked(f)
}

func (h *Host) registerLocked(f *flight) {
	h.mu.flights[f.inv.ID] = f
	if f.inv.Key != "" {
		h.mu.keys[keyOf(f.inv.Function, f.inv.Key)] = f
	}
}

// Load returns the bytes of a payload.
func Load(ctx context.Context, st store.Store, p Payload) ([]byte, error) {
	if p.Object == "" {
		return p.Inline, nil
	}
	return store.Get(ctx, st, p.Object, MaxPayload)
}

// handlersOf returns the handlers of a version; nil if the host ends, and those that there are with it.
func (h *Host) handlersOf(v pack.Version) handlers {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.closed {
		return nil
	}
	p, ok := h.mu.pools[v.Package]
	if !ok {
		if h.o.Crew != nil {
			p = newCrew(v, h.o.Crew, h.o.OnError)
		} else {
			p = newPool(v, h.starter.start)
		}
		h.mu.pools[v.Package] = p
		h.mu.names[v.Package] = v.Name
	}
	return p
}

// resolve returns what a reference means.
func (h *Host) resolve(ctx context.Context, ref string) (pack.Version, error) {
	h.mu.Lock()
	m, ok := h.mu.aliases[ref]
	h.mu.Unlock()
	if ok && time.Since(m.at) < h.o.AliasFor {
		return m.version, nil
	}
	v, err := h.registry.Resolve(ctx, ref)
	if err == nil && h.o.AliasFor > 0 {
		h.mu.Lock()
		h.mu.aliases[ref] = meaning{v, time.Now()}
		h.mu.Unlock()
	}
	return v, err
}

// Redrive queues dead letters again, for the version that is live now: those with the given ids, or else all of a
// function. It returns how many.
func (h *Host) Redrive(ctx context.Context, function string, ids ...ID) (int, error) {
	v, err := h.registry.Resolve(ctx, function)
	if err != nil {
		return 0, err
	}
	ctx = context.WithoutCancel(ctx) // what the journal has is begun
	n := 0
	for _, inv := range h.ledger.List(v.Name, Dead) {
		if len(ids) > 0 && !slices.Contains(ids, inv.ID) {
			continue
		}
		f := h.revive(inv.ID, v.N)
		if f == nil {
			continue
		}
		err := h.append(ctx, f, record{Op: opRedriven, ID: inv.ID, At: time.Now().UTC(), Version: v.N})
		if err := h.launch(f, err); err != nil {
			return n, err
		}
		n++
	}
	if n < len(ids) {
		return n, errs.Errorf("", errs.NotFound, nil, "%d of %d are no dead letters of %s", len(ids)-n, len(ids), v.Name)
	}
	return n, nil
}

// revive registers a flight of a dead letter; nil if it is none any more: somebody else was quicker.
func (h *Host) revive(id ID, version int) *flight {
	h.mu.Lock()
	defer h.mu.Unlock()
	inv, _ := h.ledger.Get(id)
	if _, flies := h.mu.flights[id]; flies || inv.State != Dead {
		return nil
	}
	f := newFlight(revived(inv, version))
	f.mu.accepted = true
	h.registerLocked(f)
	return f
}

// sweep removes payloads of invocations that the ledger does not have: their host died before they were accepted, or
// before it had removed what it forgot.
func (h *Host) sweep(ctx context.Context) error {
	for info, err := range h.st.List(ctx, string(payloads)+"/") {
		if err != nil {
			return err
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(string(info.Name), string(payloads)+"/"), "/")
		if _, known := h.ledger.Get(ID(id)); known {
			continue
		}
		if err := h.st.Delete(ctx, info.Name); err != nil {
			return err
		}
	}
	return nil
}

// tidy removes what belonged to invocations that the ledger has forgotten.
func (h *Host) tidy(ctx context.Context) {
	for _, inv := range h.ledger.takeDropped() {
		for _, p := range []Payload{inv.Event, inv.Result} {
			if p.Object == "" {
				continue
			}
			if err := h.st.Delete(ctx, p.Object); err != nil {
				h.o.OnError(err)
			}
		}
		_ = os.Remove(LogFile(h.o.Dir, inv.Function, inv.ID)) // most have said nothing
	}
}

// Ledger returns what the host knows of invocations.
func (h *Host) Ledger() *Ledger { return h.ledger }

// Idle returns since when there has been nothing to do; ok is false while there is.
func (h *Host) Idle() (since time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.active, len(h.mu.flights) == 0
}

// Handlers says how many handlers of each function wait for an event.
func (h *Host) Handlers() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := map[string]int{}
	for sum, p := range h.mu.pools {
		n[h.mu.names[sum]] += p.size()
	}
	return n
}
