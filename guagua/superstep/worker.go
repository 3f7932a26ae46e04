package superstep

// Worker is the worker's half of the protocol. It is used by one goroutine at a time. Its methods return what is to be
// done, in order.
type Worker struct {
	me        Member
	epoch     uint64   // the highest that was heard of; nobody lower is obeyed
	order     Announce // the newest one obeyed
	at        Point    // the master result that was adopted
	joins     uint64
	kept      bool     // there is a result computed from at
	sent      Position // under which it was sent last; zero if it was not
	computing bool
}

// NewWorker returns a worker that has nothing.
func NewWorker(me Member) *Worker { return &Worker{me: me} }

// WorkerAction is one of Adopt, Work, Send and Rejoin.
type WorkerAction any

// The actions of a worker.
type (
	// Adopt replaces the master result by the one of this point, whose content has come with an announce.
	Adopt struct{ At Point }
	// Work computes a result from the master result adopted; Computed says when it is done.
	Work struct{ At Point }
	// Send sends the kept result under this position.
	Send struct {
		Position
		Older bool // than what the position's announce asks for
	}
	// Rejoin breaks the connection and joins again: the master was mistaken about what this worker has.
	Rejoin struct{}
)

// Epoch returns the highest epoch that the worker has heard of.
func (w *Worker) Epoch() uint64 { return w.epoch }

// Heard says that there is a master of this epoch; it reports whether that is news, so that the worker must connect to
// it and forget the one before.
func (w *Worker) Heard(epoch uint64) bool {
	if epoch <= w.epoch {
		return false
	}
	w.epoch = epoch
	return true
}

// Connected returns what to say first on a new connection to the master of the highest epoch.
func (w *Worker) Connected(held Point) Join {
	w.joins++
	return Join{Epoch: w.epoch, From: w.me, Serial: w.joins, Have: w.at, Held: held}
}

// Announced takes an order.
func (w *Worker) Announced(a Announce) []WorkerAction {
	if a.To != w.me || a.Epoch < w.epoch || a.Position.Before(w.order.Position) {
		return nil
	}
	w.epoch = a.Epoch
	if w.order.Position == a.Position && w.order.Content {
		a.Content = true // a repetition without the content must not make us forget that it is here
	}
	w.order = a
	if w.computing {
		return nil // the result under way may be of no use any more; Computed will tell
	}
	return w.obey()
}

// Computed says that the work is done and its result kept.
func (w *Worker) Computed() []WorkerAction {
	w.computing, w.kept = false, true
	return w.obey()
}

func (w *Worker) obey() []WorkerAction {
	if w.kept && (w.at == w.order.At || w.mayBeOlder()) {
		w.sent = w.order.Position
		return []WorkerAction{Send{w.order.Position, w.at != w.order.At}}
	}
	if w.at == w.order.At {
		w.computing = true
		return []WorkerAction{Work{w.at}}
	}
	if !w.order.Content {
		return []WorkerAction{Rejoin{}}
	}
	w.at, w.kept, w.computing, w.sent = w.order.At, false, true, Position{}
	return []WorkerAction{Adopt{w.at}, Work{w.at}}
}

// mayBeOlder reports whether the kept result, computed from an older master result than the order's, is to be sent
// nevertheless: it must not have counted, nor come from what another master has computed, or from what was rolled back.
func (w *Worker) mayBeOlder() bool {
	if !w.order.Older || w.at.Epoch != w.order.At.Epoch || w.at.Iteration >= w.order.At.Iteration {
		return false
	}
	return w.sent == Position{} || w.sent.Epoch == w.order.Epoch && w.sent.Turn != w.order.Counted
}

// Dismissed reports whether the worker is to leave, having been told so by a master of this epoch.
func (w *Worker) Dismissed(epoch uint64) bool { return epoch >= w.epoch }
