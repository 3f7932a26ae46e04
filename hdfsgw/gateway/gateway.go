// Package gateway makes a namespace, a journal and a store into one HDFS: it leads or stands by, serves WebHDFS, and
// keeps house.
//
//	      ┌▶ standby: follows the journal, answers StandbyException ──────────┐ got the lease
//	Run ──┤                                                                   │
//	      └─ leader: seals the journal, serves, deletes dropped blocks ◀──────┘
//	         (until it loses the lease, or is fenced)
//
// The lease only decides who tries; the journal decides who leads. So two leaders can't both change anything, and what
// remains is that an old leader answers reads from its memory although there is a newer one. It does so only while it
// has seen within a quarter of the lease's time that it still has the lease; otherwise, as after a pause of the process
// or the machine, it first proves by an entry in the journal that it leads.
package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/fsck"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/webhdfs"
	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
)

// Journal is where the namespace's journal is in the store.
const Journal store.Name = "namespace"

// Options of a Gateway. The zero Options are for one gateway alone, on loopback.
type Options struct {
	Web     webhdfs.Options
	Tree    namespace.Options
	Journal journal.Options

	// Coord has the lease that says which of several gateways tries to lead; nil means that this one does at once.
	Coord coord.Coordinator
	Key   coord.Key     // of the lease; "" means "gateway"
	TTL   time.Duration // of the lease; 0 means 8 s

	// Grace is how long a block is kept after its last file has gone, for those who are reading it; 0 means 10 min.
	Grace time.Duration
	// LeaseLimit is how long a writer may be silent before its file is closed; 0 means 20 min.
	LeaseLimit time.Duration
	// Every is how often the leader keeps house; 0 means 30 s.
	Every time.Duration
	// CheckEvery is how often the leader compares all files with the store and deletes orphans; 0 means 24 h.
	CheckEvery time.Duration
	// Scrub is how many bytes a second are compared with their checksums then; 0: none.
	Scrub int64
	// OnError is told what went wrong while keeping house; it is tried again. It must not block. nil ignores.
	OnError func(error)
}

func (o Options) withDefaults() Options {
	if o.Key == "" {
		o.Key = "gateway"
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&o.TTL, 8 * time.Second}, {&o.Grace, 10 * time.Minute}, {&o.LeaseLimit, 20 * time.Minute},
		{&o.Every, 30 * time.Second}, {&o.CheckEvery, 24 * time.Hour}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	return o
}

// Gateway is an http.Handler. It answers StandbyException until Run leads.
type Gateway struct {
	store store.Store
	o     Options
	role  atomic.Pointer[leadership] // nil on standby
	turns chan struct{}              // gets a token at each change of role, if there is room
}

// leadership is one time as the leader.
type leadership struct {
	*namespace.Service
	journal *journal.Leader
	web     *webhdfs.Server
	seen    atomic.Pointer[time.Time] // when we last knew that the lease was ours
	fresh   time.Duration             // for how long that is enough
	began   int64                     // when it began to lead, ms
	emptied int64                     // when the trash was seen to, ms
}

// New returns a gateway to the files in st.
func New(st store.Store, o Options) *Gateway {
	return &Gateway{store: st, o: o.withDefaults(), turns: make(chan struct{}, 1)}
}

// Turns gets a token when the role has changed since the last look.
func (g *Gateway) Turns() <-chan struct{} { return g.turns }

// Leads reports whether this gateway leads, as far as it knows.
func (g *Gateway) Leads() bool { return g.role.Load() != nil }

func (g *Gateway) turn(l *leadership) {
	g.role.Store(l)
	select {
	case g.turns <- struct{}{}:
	default:
	}
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l, err := g.leadership(r.Context())
	if err != nil {
		webhdfs.Refuse(w, err)
		return
	}
	l.web.ServeHTTP(w, r)
}

// Names returns the namespace while this gateway leads, and else the refusal that clients know.
func (g *Gateway) Names(ctx context.Context) (*namespace.Service, error) {
	l, err := g.leadership(ctx)
	if err != nil {
		return nil, err
	}
	return l.Service, nil
}

func (g *Gateway) leadership(ctx context.Context) (*leadership, error) {
	l := g.role.Load()
	if l == nil {
		return nil, standby()
	}
	return l, l.certain(ctx)
}

func standby() error {
	return namespace.Refuse(namespace.Standby, "Operation category READ is not supported in state standby. Visit "+
		"https://s.apache.org/sbnn-error")
}

// certain makes sure that this process leads, so that what it has in memory is the truth.
func (l *leadership) certain(ctx context.Context) error {
	now := time.Now()
	if l.recent(now) {
		return nil
	}
	if err := l.journal.Append(ctx); err != nil {
		return standby()
	}
	l.seen.Store(&now) // before the proof began
	return nil
}

// recent reports whether it was known a short time before now that the lease is ours.
func (l *leadership) recent(now time.Time) bool {
	seen := *l.seen.Load()
	// The wall clock counts the time that the machine was suspended, the other one never jumps.
	wall := now.Round(0).Sub(seen.Round(0))
	return wall >= 0 && max(wall, now.Sub(seen)) < l.fresh
}

// look notes that nobody has said that the lease is lost. After a pause that says nothing: whoever would say it may not
// have had the time yet.
func (l *leadership) look(now time.Time) {
	if l.recent(now) {
		l.seen.Store(&now)
	}
}

// Run leads or stands by until ctx ends, which it returns as errs.Canceled, or the journal can't be read. Without a
// coordinator it ends with errs.Fenced when another gateway takes over: to take over again would go on for ever.
func (g *Gateway) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := g.round(ctx); err != nil {
			return err
		}
	}
	return errs.E("gateway.Run", errs.Canceled, nil, ctx.Err())
}

// round is one time on standby, and one as the leader.
func (g *Gateway) round(ctx context.Context) error {
	tree := namespace.New(g.o.Tree)
	kept := g.o.Journal
	kept.Segments = true
	follower, err := journal.Follow(g.store, Journal, tree, kept)
	if err != nil {
		return err
	}
	lease, err := g.wait(ctx, follower)
	if err != nil {
		return err
	}
	lost := make(<-chan struct{})
	if lease != nil {
		lost = lease.Done()
		defer func() {
			if err := lease.Release(context.WithoutCancel(ctx)); err != nil {
				g.o.OnError(err) // it ends by itself
			}
		}()
	}
	leader, err := follower.Lead(ctx)
	if err != nil {
		return err
	}
	l, err := g.begin(ctx, tree, leader)
	if err != nil {
		return errors.Join(err, leader.Close())
	}
	g.turn(l)
	leading, end := context.WithCancel(ctx)
	var checks sync.WaitGroup
	checks.Go(func() { g.check(leading, l) })
	g.lead(ctx, l, lost)
	g.turn(nil)
	end()
	checks.Wait()
	if err := leader.Close(); err != nil {
		return err
	}
	return g.ended(leader.Err())
}

// begin makes a leadership of the journal's leader.
func (g *Gateway) begin(ctx context.Context, tree *namespace.Tree, leader *journal.Leader) (*leadership, error) {
	debug.FreeOSMemory() // reading a checkpoint leaves as much behind as it makes
	web := g.o.Web
	var err error
	if web.Cluster, err = Cluster(ctx, g.store); err != nil {
		return nil, err
	}
	if web.Secret, err = chosen(ctx, g.store, webhdfs.SecretName); err != nil {
		return nil, err
	}
	service := namespace.NewService(tree, leader, nil)
	l := &leadership{Service: service, journal: leader, fresh: g.o.TTL / 4, began: service.Now(),
		web: webhdfs.New(tree, service, g.store, web)}
	l.emptied = l.began
	l.seen.Store(new(time.Now()))
	if tree.Stats().Open > 0 {
		// What fails here ends the leadership, too, which lead sees.
		_, _ = service.Do(ctx, namespace.Request{Op: namespace.OpRenewLease, Caller: super()})
	}
	return l, nil
}

// ended returns why there is no next round, nil if there is one, after the journal's leader ended with an error.
func (g *Gateway) ended(err error) error {
	switch kind := errs.KindOf(err); {
	case kind == errs.Fenced && g.o.Coord == nil:
		return errs.Errorf("gateway.Run", errs.Fenced, nil,
			"another gateway leads; several of one store must agree (--coord)")
	case kind == errs.Fenced, kind == errs.Canceled:
		return nil
	}
	return err
}

// Cluster returns what tells a store from all others, which the first who asks chooses.
func Cluster(ctx context.Context, st store.Store) (string, error) {
	return chosen(ctx, st, webhdfs.ClusterName)
}

// chosen returns what an object holds, a random text that the first leader chooses.
func chosen(ctx context.Context, st store.Store, name store.Name) (string, error) {
	err := store.Put(ctx, st, name, []byte(rand.Text()), store.IfAbsent())
	if err != nil && !errors.Is(err, errs.Exist) {
		return "", err
	}
	text, err := store.Get(ctx, st, name, 1<<10)
	return string(text), err
}

// wait follows the journal until the lease is ours; nil if there is nobody to share with.
func (g *Gateway) wait(ctx context.Context, f *journal.Follower) (coord.Lease, error) {
	if g.o.Coord == nil {
		return nil, nil
	}
	waiting, giveUp := context.WithCancel(ctx)
	defer giveUp()
	following, stop := context.WithCancel(ctx)
	defer stop()
	type answer struct {
		lease coord.Lease
		err   error
	}
	got := make(chan answer, 1)
	go func() {
		lease, err := g.o.Coord.Acquire(waiting, g.o.Key, g.o.TTL)
		got <- answer{lease, err}
		stop()
	}()
	err := f.Run(following)
	if errors.Is(err, errs.Canceled) && ctx.Err() == nil {
		a := <-got
		return a.lease, a.err
	}
	giveUp()
	if a := <-got; a.err == nil { // it came at the same time
		if e := a.lease.Release(context.WithoutCancel(ctx)); e != nil {
			g.o.OnError(e) // it ends by itself
		}
	}
	return nil, err
}

// lead keeps house until the leadership ends.
func (g *Gateway) lead(ctx context.Context, l *leadership, lost <-chan struct{}) {
	look := time.NewTicker(g.o.TTL / 10)
	defer look.Stop()
	house := time.NewTicker(g.o.Every)
	defer house.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.journal.Done():
			return
		case <-lost:
			return
		case <-house.C:
			if l.Spent() {
				return // the next round has ids of its own
			}
			if err := g.keepHouse(ctx, l); err != nil && ctx.Err() == nil {
				g.o.OnError(err)
			}
		case <-look.C:
			select {
			case <-lost:
				return
			default:
				l.look(time.Now())
			}
		}
	}
}

// check compares files with the store again and again.
func (g *Gateway) check(ctx context.Context, l *leadership) {
	again := time.NewTicker(g.o.CheckEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		o := fsck.Options{Delete: true, Verify: g.o.Scrub > 0, Rate: g.o.Scrub}
		r, err := fsck.Check(ctx, g.store, l.Tree, l.Epoch(), o)
		if err == nil && !r.Healthy() {
			err = errs.Errorf("gateway.check", errs.Corrupt, r.Problems[0].Path,
				"%d blocks are missing and %d corrupt, the first"+
					" of them here: %s", r.Missing, r.Corrupt, r.Problems[0].Why)
		}
		if err != nil && ctx.Err() == nil {
			g.o.OnError(err)
		}
	}
}

// super is who the gateway itself is.
func super() namespace.Caller { return namespace.Caller{User: "gateway", Super: true} }

// sweep is how many dropped blocks are deleted at a time.
const sweep = 1000

// keepHouse closes the files of silent writers, compacts files that have grown,
// empties the trash, and deletes blocks that no file has had for a while.
func (g *Gateway) keepHouse(ctx context.Context, l *leadership) error {
	if limit := g.o.LeaseLimit.Milliseconds(); l.Late(l.Now() - limit) {
		r := namespace.Request{Op: namespace.OpExpireLeases, Caller: super(), Limit: limit}
		if _, err := l.Do(ctx, r); err != nil {
			return err
		}
	}
	grown := l.Appended()
	for i, path := range grown {
		if err := g.compact(ctx, l, path); err != nil {
			l.Note(grown[i+1:]...)
			return err
		}
	}
	if err := g.emptyTrash(ctx, l); err != nil {
		return err
	}
	grace := g.o.Grace.Milliseconds()
	if l.Now()-l.began < grace {
		return nil // what was dropped before was so by another leader's clock
	}
	ids := l.Dropped(l.Now()-grace, sweep)
	if len(ids) == 0 {
		return nil
	}
	if err := block.Delete(ctx, cmp.Or(g.o.Web.Blocks, g.store), ids...); err != nil {
		return err
	}
	_, err := l.Do(ctx, namespace.Request{Op: namespace.OpReclaimed, Caller: super(), Length: int64(len(ids))})
	return err
}
