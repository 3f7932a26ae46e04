package executor

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/amrpc"
)

// news is what an attempt says of itself while it runs; it is the scheduler.Reporter.
type news struct {
	done atomic.Int64
	told atomic.Int64 // how often it has said anything
	log  attemptLog
	mu   struct {
		sync.Mutex
		status   string
		counters scheduler.Counters
		sent     scheduler.Counters // values that the application master knows
	}
}

func newNews(logPath string, maxLog int64) *news {
	n := &news{log: attemptLog{path: logPath, max: maxLog}}
	n.mu.counters, n.mu.sent = scheduler.Counters{}, scheduler.Counters{}
	return n
}

// Progress implements scheduler.Reporter.
func (n *news) Progress(done int64) {
	n.told.Add(1)
	n.done.Store(done)
}

// Count implements scheduler.Reporter.
func (n *news) Count(group, name string, delta int64) {
	n.told.Add(1)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.counters.Add(group, name, delta)
}

// maxStatus bounds a status line, in bytes.
const maxStatus = 256

// Status implements scheduler.Reporter.
func (n *news) Status(line string) {
	if len(line) > maxStatus {
		line = line[:maxStatus]
	}
	line = strings.ToValidUTF8(line, "")
	n.told.Add(1)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.status = line
}

func (n *news) status() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.status
}

// Logf implements scheduler.Reporter.
func (n *news) Logf(format string, args ...any) {
	n.told.Add(1)
	n.log.printf(format, args...)
}

func (n *news) close() { n.log.close() }

// totals returns all counters, and the progress.
func (n *news) totals() ([]*amrpc.Counter, int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return counterList(n.mu.counters, nil), n.done.Load()
}

// counterList writes counters down in order, without those that have the same value in known.
func counterList(c, known scheduler.Counters) (list []*amrpc.Counter) {
	for _, group := range slices.Sorted(maps.Keys(c)) {
		for _, name := range slices.Sorted(maps.Keys(c[group])) {
			if v := c[group][name]; known == nil || known.Get(group, name) != v {
				list = append(list, &amrpc.Counter{Group: group, Name: name, Value: v})
			}
		}
	}
	return list
}

// progress makes a heartbeat, and a function to be called when it was answered.
func (e *executor) progress() (r *amrpc.HeartbeatRequest, sent func()) {
	r = &amrpc.HeartbeatRequest{Executor: e.me}
	var told []func()
	for _, a := range e.atWork() {
		n := a.news
		n.mu.Lock()
		p := &amrpc.Progress{
			Attempt: a.id.String(), Done: n.done.Load(), Status: n.mu.status,
			Counters: counterList(n.mu.counters, n.mu.sent),
		}
		n.mu.Unlock()
		r.Running = append(r.Running, p)
		told = append(told, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			for _, c := range p.Counters {
				n.mu.sent.Add(c.Group, c.Name, c.Value-n.mu.sent.Get(c.Group, c.Name))
			}
		})
	}
	return r, func() {
		for _, f := range told {
			f()
		}
	}
}

// forgetSent is for an application master that knows nothing yet.
func (e *executor) forgetSent() {
	for _, a := range e.atWork() {
		a.news.mu.Lock()
		a.news.mu.sent = scheduler.Counters{}
		a.news.mu.Unlock()
	}
}

// atWork returns the attempts that run.
func (e *executor) atWork() (list []*attempt) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.mu.attempts {
		if a.result == nil {
			list = append(list, a)
		}
	}
	return list
}

// attemptLog is a file of bounded size. What does not fit is kept as far as the last lines are concerned, which say
// most, and written when the log is closed. A log that cannot be written is no reason to fail an attempt.
type attemptLog struct {
	path string
	max  int64
	mu   struct {
		sync.Mutex
		file   *os.File // nil before the first line
		failed bool     // or closed: nothing is written any more
		size   int64
		cut    int64 // bytes that were left out
		last   []byte
	}
}

// maxLast is how much of the end is kept, in bytes.
const maxLast = 64 << 10

func (l *attemptLog) printf(format string, args ...any) {
	line := time.Now().Format("15:04:05.000 ") + strings.TrimRight(fmt.Sprintf(format, args...), "\n") + "\n"
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.openLocked() {
		return
	}
	if l.mu.last == nil && l.mu.size+int64(len(line)) <= l.max-maxLast {
		l.writeLocked(line)
		return
	}
	l.mu.last = append(l.mu.last, line...)
	if surplus := len(l.mu.last) - maxLast; surplus > 0 {
		l.mu.cut += int64(surplus)
		l.mu.last = append(l.mu.last[:0], l.mu.last[surplus:]...)
	}
}

func (l *attemptLog) openLocked() bool {
	if l.mu.file == nil && !l.mu.failed {
		err := os.MkdirAll(filepath.Dir(l.path), 0o755)
		if err == nil {
			l.mu.file, err = os.Create(l.path)
		}
		l.mu.failed = err != nil
	}
	return !l.mu.failed
}

func (l *attemptLog) writeLocked(text string) {
	n, err := l.mu.file.WriteString(text)
	l.mu.size += int64(n)
	l.mu.failed = l.mu.failed || err != nil
}

// close writes what was kept. Lines that come later are lost.
func (l *attemptLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.file == nil {
		l.mu.failed = true
		return
	}
	if l.mu.cut > 0 {
		l.writeLocked(fmt.Sprintf("\n[... %d bytes left out ...]\n", l.mu.cut))
	}
	l.writeLocked(string(l.mu.last))
	l.mu.failed = true
	l.mu.file.Close() // what could not be written is lost
}
