package superstep

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// This file is the world that the tests explore: processes, ledger, connections, and everything that can happen next.

type size struct{ workers, total, masters, crashes, resets, staleness, agains int }

// world is everything: the processes, the ledger, the key that publishes the master, and what is under way.
type world struct {
	size
	masters []mnode
	workers []wnode
	ledger  Ledger
	sealed  uint64 // the highest epoch in the ledger
	key     struct {
		epoch uint64
		done  bool
	}
	wires    []wire // multiset, kept sorted
	crashes  int
	resets   int
	agains   int
	nextConn int
	bug      string
	broken   string // the first violation of safety
}

type mnode struct {
	*Master
	dead bool
	conn []int // the current connection of each index
	save []Save
	part []int // the attempt of which some is merged in this turn, or none
	used []use // the last result of each worker that counted
}

// use is a result and the iteration in which it counted.
type use struct{ attempt, work, iteration int }

type wnode struct {
	*Worker
	conn int   // to the master of the highest epoch heard of; 0 when there is none
	held Point // with the master's own state
	from Point // what the kept result was computed from
	work int   // counts what it has begun to compute
	left bool
}

// wire is a message under way. Kinds: join result lost holding (up), announce fetch dismiss reject (down).
type wire struct {
	kind     string
	epoch    uint64 // of the master at one end
	conn     int
	who      Member
	join     Join
	announce Announce
	result   Result
	begun    bool  // result: some of it has been merged
	at       Point // holding: what is handed over; result: what it was computed from
	work     int   // result: which of its worker's
}

func newWorld(s size, bug string) *world {
	w := &world{size: s, bug: bug, nextConn: 1}
	for i := range s.workers {
		w.workers = append(w.workers, wnode{Worker: NewWorker(Member{i, 0})})
	}
	return w
}

func (w *world) clone() *world {
	c := *w
	c.masters = slices.Clone(w.masters)
	for i, m := range c.masters {
		copied := *m.Master
		copied.members = slices.Clone(m.members)
		c.masters[i] = mnode{&copied, m.dead, slices.Clone(m.conn), slices.Clone(m.save), slices.Clone(m.part),
			slices.Clone(m.used)}
	}
	c.workers = slices.Clone(w.workers)
	for i, n := range c.workers {
		copied := *n.Worker
		c.workers[i].Worker = &copied
	}
	c.wires = slices.Clone(w.wires)
	return &c
}

// step is something that can happen. Faults need not happen.
type step struct {
	name  string
	fault bool
	do    func(*world)
}

func (w *world) steps() (out []step) {
	if len(w.masters) < w.size.masters {
		out = append(out, step{"new master", true, (*world).newMaster})
	}
	for i, m := range w.masters {
		if m.dead {
			continue
		}
		if last := i == w.size.masters-1; !last {
			out = append(out, step{fmt.Sprintf("master %d crashes", m.epoch), true, func(w *world) { w.killMaster(i) }})
		}
		if m.phase == Running && w.agains < w.size.agains {
			name := fmt.Sprintf("master %d begins again", m.epoch)
			out = append(out, step{name, true, func(w *world) {
				w.agains++
				w.masterActs(i, w.masters[i].Again(time.Time{}))
			}})
		}
		if len(m.save) > 0 {
			out = append(out, step{fmt.Sprintf("master %d saves", m.epoch), false, func(w *world) { w.saves(i) }})
		}
	}
	for i, n := range w.workers {
		if n.left {
			continue
		}
		if w.key.epoch > n.epoch {
			name := fmt.Sprintf("worker %d hears of %d", i, w.key.epoch)
			out = append(out, step{name, false, func(w *world) { w.hears(i) }})
		}
		if w.key.done {
			leaves := func(w *world) { w.leaves(i, w.key.epoch) }
			out = append(out, step{fmt.Sprintf("worker %d hears of the end", i), false, leaves})
		}
		if n.computing {
			out = append(out, step{fmt.Sprintf("worker %d computes", i), false, func(w *world) {
				n := &w.workers[i]
				w.workerActs(i, n.Computed())
			}})
		}
		if w.crashes < w.size.crashes {
			out = append(out, step{fmt.Sprintf("worker %d crashes", i), true, func(w *world) { w.killWorker(i) }})
		}
		if w.resets < w.size.resets && n.conn != 0 {
			out = append(out, step{fmt.Sprintf("worker %d is cut off", i), true, func(w *world) {
				w.resets++
				w.reset(i, true)
			}})
		}
	}
	for i, x := range w.wires {
		if i > 0 && x == w.wires[i-1] {
			continue
		}
		out = append(out, step{x.String() + " arrives", false, func(w *world) { w.arrives(i) }})
		m := w.masters[x.epoch-1]
		if x.kind == "result" && !x.begun && x.result.Position == m.Position() && !m.members[x.who.Index].got {
			out = append(out, step{"a part of " + x.String() + " arrives", false, func(w *world) { w.begins(i) }})
		}
	}
	return out
}

func (x wire) String() string {
	return fmt.Sprintf("%s %d/%d %v %v %v", x.kind, x.epoch, x.conn, x.who, x.announce.At, x.at)
}

// begins merges the first half of a result, if the master would.
func (w *world) begins(i int) {
	x := &w.wires[i]
	m := w.masters[x.epoch-1]
	x.begun = true
	if m.Partial(x.result) {
		m.part[x.who.Index] = x.who.Attempt
	}
}

func (w *world) newMaster() {
	w.sealed++
	from := w.ledger
	if w.bug == "waitall" {
		from.Final = false
	}
	cfg := Defaults(w.size.workers, w.total)
	cfg.SaveEvery, cfg.Staleness = 0, w.staleness
	w.masters = append(w.masters, mnode{Master: NewMaster(cfg, w.sealed, from), conn: make([]int, w.size.workers),
		part: slices.Repeat([]int{none}, w.size.workers), used: make([]use, w.size.workers)})
	w.key.epoch, w.key.done = w.sealed, w.ledger.Final && w.bug != "waitall"
	w.masterActs(len(w.masters)-1, w.masters[len(w.masters)-1].Start(time.Time{}))
}

func (w *world) killMaster(i int) {
	w.masters[i].dead, w.masters[i].save = true, nil
	w.drop(func(x wire) bool { return x.epoch == w.masters[i].epoch })
}

func (w *world) killWorker(i int) {
	n := &w.workers[i]
	w.crashes++
	w.hangUp(i, true)
	*n = wnode{Worker: NewWorker(Member{i, n.me.Attempt + 1})}
}

// hangUp ends a worker's connection. What was under way upwards may still arrive, in any order with what comes later,
// if late says so; what was under way downwards is gone.
func (w *world) hangUp(i int, late bool) {
	n := &w.workers[i]
	if n.conn == 0 {
		return
	}
	// A result of which some has been merged can't be completed by what is under way any more.
	w.drop(func(x wire) bool {
		down := x.kind == "announce" || x.kind == "fetch" || x.kind == "dismiss" || x.kind == "reject"
		return x.conn == n.conn && (down || !late || x.begun)
	})
	w.post(wire{kind: "lost", epoch: n.epoch, conn: n.conn, who: n.me})
	n.conn = 0
}

func (w *world) reset(i int, late bool) {
	w.hangUp(i, late)
	if w.bug != "norejoin" {
		w.connect(i)
	}
}

func (w *world) connect(i int) {
	n := &w.workers[i]
	n.conn = w.nextConn
	w.nextConn++
	w.post(wire{kind: "join", epoch: n.epoch, conn: n.conn, who: n.me, join: n.Connected(n.held)})
}

func (w *world) hears(i int) {
	w.hangUp(i, false)
	w.workers[i].Heard(w.key.epoch)
	w.connect(i)
}

func (w *world) leaves(i int, epoch uint64) {
	n := &w.workers[i]
	if !n.Dismissed(epoch) {
		return
	}
	if !w.ledger.Final && w.broken == "" {
		w.broken = fmt.Sprintf("worker %d left before the end", i)
	}
	w.hangUp(i, false)
	n.left = true
}

func (w *world) drop(which func(wire) bool) { w.wires = slices.DeleteFunc(w.wires, which) }

func (w *world) post(x wire) {
	if m := &w.masters[x.epoch-1]; m.dead {
		return
	}
	w.wires = append(w.wires, x)
	slices.SortFunc(w.wires, func(a, b wire) int { return strings.Compare(a.sort(), b.sort()) })
}

func (x wire) sort() string {
	b := append([]byte(x.kind), byte(x.epoch), byte(x.conn), byte(x.who.Index), byte(x.who.Attempt))
	b = append(b, byte(x.announce.Turn), byte(x.announce.At.Iteration), byte(x.announce.At.Epoch), bit(x.announce.Content))
	b = append(b, byte(x.result.Epoch), byte(x.result.Turn), byte(x.at.Iteration), byte(x.at.Epoch))
	b = append(b, bit(x.announce.Older), byte(x.announce.Counted), bit(x.result.Older), byte(x.work))
	return string(append(b, byte(x.join.Have.Iteration), byte(x.join.Have.Epoch), byte(x.join.Held.Iteration),
		byte(x.join.Held.Epoch), byte(x.join.Serial), bit(x.begun)))
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func (w *world) arrives(i int) {
	x := w.wires[i]
	w.wires = slices.Delete(w.wires, i, i+1)
	m := &w.masters[x.epoch-1]
	n := &w.workers[x.who.Index]
	switch x.kind {
	case "join":
		switch w.bug {
		case "oldattempt":
			m.members[x.who.Index].attempt = none
		case "oldjoin":
			m.members[x.who.Index].serial = 0
		case "notorn":
			m.members[x.who.Index].partial = none
		}
		acts := m.Join(time.Time{}, x.join)
		rejected := slices.ContainsFunc(acts, func(a Action) bool { _, is := a.(Reject); return is })
		if !rejected {
			m.conn[x.who.Index] = x.conn
		}
		w.masterActs(int(x.epoch)-1, acts)
	case "lost":
		if m.conn[x.who.Index] == x.conn {
			w.masterActs(int(x.epoch)-1, m.Lost(time.Time{}, x.who))
		}
	case "holding":
		w.masterActs(int(x.epoch)-1, m.Fetched(time.Time{}, x.who, x.at))
	case "result":
		switch w.bug {
		case "anyposition":
			x.result.Position = m.Position()
		case "anylag":
			for j := range m.members {
				m.members[j].behind = 0
			}
		}
		before, at := m.members[x.who.Index].got, m.at
		acts := m.Result(time.Time{}, x.result)
		counted := !before && (m.members[x.who.Index].got || len(acts) > 0)
		if counted {
			w.counts(int(x.epoch)-1, x, at)
		}
		if part := m.part[x.who.Index]; counted && part != none && part != x.who.Attempt && w.broken == "" {
			w.broken = fmt.Sprintf("half of attempt %d was counted with half of attempt %d", part, x.who.Attempt)
		}
		w.masterActs(int(x.epoch)-1, acts)
	default:
		if n.conn != x.conn || n.left {
			return
		}
		switch x.kind {
		case "announce":
			switch w.bug {
			case "oldorder":
				n.order = Announce{}
			case "twice":
				x.announce.Counted = 0
			}
			w.workerActs(x.who.Index, n.Announced(x.announce))
		case "fetch":
			if n.held != x.announce.At { // it has adopted another since it joined
				w.reset(x.who.Index, false)
				return
			}
			w.post(wire{kind: "holding", epoch: x.epoch, conn: x.conn, who: x.who, at: n.held})
		case "dismiss":
			w.leaves(x.who.Index, x.epoch)
		}
	}
}

// counts checks a result that a master has counted in the iteration that starts from at.
func (w *world) counts(i int, x wire, at Point) {
	m := &w.masters[i]
	last := &m.used[x.who.Index]
	this := use{x.who.Attempt, x.work, at.Iteration + 1}
	lag := at.Iteration - x.at.Iteration
	switch {
	case w.broken != "":
	case lag > 0 && (lag > w.staleness || x.at.Epoch != at.Epoch), lag <= 0 && x.at != at:
		w.broken = fmt.Sprintf("a result computed from %v was counted in an iteration from %v", x.at, at)
	case last.attempt == this.attempt && last.work == this.work && last.iteration != this.iteration && last.work > 0:
		w.broken = fmt.Sprintf("a result was counted in iterations %d and %d", last.iteration, this.iteration)
	}
	if w.staleness > 0 {
		*last = this
	}
}

func (w *world) workerActs(i int, acts []WorkerAction) {
	n := &w.workers[i]
	for _, a := range acts {
		switch a := a.(type) {
		case Adopt:
			if i == 0 { // worker 0 is given the master's own state
				n.held = a.At
			}
			if w.bug == "keepold" && a.At.Iteration > 0 {
				n.kept, n.computing = true, false
				w.workerActs(i, []WorkerAction{Send{Position: n.order.Position}})
				return
			}
		case Work:
			n.from = a.At
			if w.staleness > 0 {
				n.work++
			}
		case Send:
			if n.conn != 0 {
				r := Result{Position: a.Position, From: n.me, Older: a.Older}
				w.post(wire{kind: "result", epoch: n.epoch, conn: n.conn, who: n.me, result: r, at: n.from, work: n.work})
			}
		case Rejoin:
			w.reset(i, false)
		}
	}
}

func (w *world) masterActs(i int, acts []Action) {
	for _, a := range acts {
		m := &w.masters[i]
		if b, is := a.(Begin); is {
			m.part = slices.Repeat([]int{none}, w.size.workers)
			for j := range m.used { // what counted in a turn that is begun again has not counted
				if m.used[j].iteration == b.Iteration {
					m.used[j] = use{}
				}
			}
		}
		down := func(kind string, to Member, ann Announce) {
			if m.conn[to.Index] != 0 {
				w.post(wire{kind: kind, epoch: m.epoch, conn: m.conn[to.Index], who: to, announce: ann})
			}
		}
		switch a := a.(type) {
		case Tell:
			down("announce", a.To, a.Announce)
		case Fetch:
			down("fetch", a.From, Announce{At: a.At})
		case Dismiss:
			down("dismiss", a.To, Announce{})
		case Compute:
			w.masterActs(i, m.Computed(time.Time{}, false))
		case Save:
			m.save = append(m.save, a)
			if a.Final && w.bug == "leavefirst" {
				for j := range m.members {
					down("dismiss", Member{j, m.members[j].attempt}, Announce{})
				}
			}
		case Finish:
			if w.key.epoch == m.epoch {
				w.key.done = true
			}
		}
	}
}

func (w *world) saves(i int) {
	m := &w.masters[i]
	s := m.save[0]
	m.save = m.save[1:]
	if m.epoch != w.sealed { // fenced
		w.killMaster(i)
		return
	}
	if s.At.Newer(w.ledger.At) {
		w.ledger = Ledger{s.At, s.Final}
	}
	w.masterActs(i, m.Saved(time.Time{}, s))
}
