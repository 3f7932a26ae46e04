package progress

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/seed3322913c/runner/scheduler/am"
)

// period is how often a stage that goes on gets a plain line.
const period = 5 * time.Second

// lines is a View for logs and pipes.
type lines struct {
	out      io.Writer
	now      func() time.Time
	name     string
	cores    int
	last     time.Time       // of the latest line
	finished map[string]bool // stages that had their last line
	seen     training
}

func (l *lines) Say(line string) { fmt.Fprintln(l.out, line) }

func (l *lines) Show(r am.Report) {
	l.cores = max(l.cores, cores(r))
	l.seen.note(r)
	now := l.now()
	for _, s := range rows(r, l.cores, &l.seen, now) {
		switch {
		case s.Open || s.Started.IsZero() || l.finished[s.Name]:
			continue
		case s.Done == s.Tasks:
			l.finished[s.Name] = true
		case now.Sub(l.last) < period || now.Sub(s.Started) < period:
			continue
		}
		l.last = now
		fmt.Fprintln(l.out, label(l.name, s.Name)+strings.Join(s.texts, "   "))
	}
}

func (l *lines) Close() {}
