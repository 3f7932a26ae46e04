// Package progress shows how a job goes: bars that are redrawn on a terminal, plain lines elsewhere, one JSON
// document an event for programs.
//
//	map     ████████████░░░░░░░░  412/824   51.0 GB   1.9 GB/s   31 MB/s per core   about 27 s left
//	reduce  ░░░░░░░░░░░░░░░░░░░░   0/16
//
// A View is fed the reports of an application master as they come, and decides itself what is worth showing, and when.
// A Screen has a View for each job; of several each line begins with the job's name.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/seed3322913c/runner/scheduler/am"
)

// View shows one job.
type View interface {
	// Say tells one line of the story.
	Say(line string)
	// Show takes the newest report.
	Show(r am.Report)
	// Close shows what was held back, and leaves it standing.
	Close()
}

// Mode is a way of showing.
type Mode int

// The modes.
const (
	Lines Mode = iota // plain lines, when a stage changes and every few seconds
	Bars              // redrawn, with colours
	JSON              // a line of JSON for each event
	Quiet             // nothing
)

// Options may be left zero.
type Options struct {
	Size func() (columns, rows int) // of the terminal, asked before each drawing; 80 and 24
	Now  func() time.Time           // time.Now
}

// Screen shows jobs, one after the other or at the same time. It and its views may be used by several goroutines.
type Screen struct {
	mu      sync.Mutex // guards all that views write
	view    func(name string) View
	bars    *bars // nil in other modes
	general View  // of no job
}

// New returns a screen that writes to out. Errors of out are ignored: that nobody watches any more must not end a job.
func New(mode Mode, out io.Writer, o Options) *Screen {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Size == nil {
		o.Size = func() (int, int) { return 80, 24 }
	}
	var s Screen
	switch mode {
	case Bars:
		s.bars = &bars{out: out, options: o}
		s.view = s.bars.block
	case JSON:
		s.view = func(string) View { return NewEvents(out, o.Now) }
	case Quiet:
		s.view = func(string) View { return quiet{} }
	default:
		s.view = func(name string) View { return &lines{out: out, now: o.Now, name: name, finished: map[string]bool{}} }
	}
	s.general = s.view("")
	return &s
}

// View returns the view of a job, which is named if there are others; else name is "".
func (s *Screen) View(name string) View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return guarded{s, name, s.view(name)}
}

// Say tells one line that is about no job, or names it.
func (s *Screen) Say(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.general.Say(line)
}

// Aside calls f, which may write to the same place, between what views write. It must not use them.
func (s *Screen) Aside(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bars == nil {
		f()
		return
	}
	s.bars.clear()
	f()
	s.bars.draw("")
}

// guarded is a view among others.
type guarded struct {
	screen *Screen
	name   string
	view   View
}

func (g guarded) Say(line string) {
	if g.name != "" {
		line = g.name + ": " + line
	}
	g.do(func() { g.view.Say(line) })
}

func (g guarded) Show(r am.Report) { g.do(func() { g.view.Show(r) }) }
func (g guarded) Close()           { g.do(g.view.Close) }

func (g guarded) do(f func()) {
	g.screen.mu.Lock()
	defer g.screen.mu.Unlock()
	f()
}

// maxName is how many letters of a job's name are shown.
const maxName = 12

// label is what the line of a stage begins with.
func label(job, stage string) string {
	if job == "" {
		return fmt.Sprintf("  %-7s ", stage)
	}
	name := []rune(job)
	return fmt.Sprintf("  %-*s  %-7s ", maxName, string(name[:min(len(name), maxName)]), stage)
}

type quiet struct{}

func (quiet) Say(string)     {}
func (quiet) Show(am.Report) {}
func (quiet) Close()         {}
