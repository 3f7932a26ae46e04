// Package progress shows how a job goes: bars that are redrawn on a terminal, plain lines elsewhere, one JSON
// document an event for programs.
//
//	map     ████████████░░░░░░░░  412/824   51.0 GB   1.9 GB/s   31 MB/s per core   about 27 s left
//	reduce  ░░░░░░░░░░░░░░░░░░░░   0/16
//
// A View is fed the reports of an application master as they come, and decides itself what is worth showing, and when.
package progress

import (
	"io"
	"time"

	"github.com/seed3322913c/runner/scheduler/am"
)

// View shows one job. It is used by one goroutine.
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
	Width func() int       // columns of the terminal, asked before each drawing; 80
	Now   func() time.Time // time.Now
}

// New returns a view that writes to out. Errors of out are ignored: that nobody watches any more must not end a job.
func New(mode Mode, out io.Writer, o Options) View {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Width == nil {
		o.Width = func() int { return 80 }
	}
	switch mode {
	case Bars:
		return &bars{out: out, options: o}
	case JSON:
		return NewEvents(out, o.Now)
	case Quiet:
		return quiet{}
	}
	return &lines{out: out, now: o.Now, finished: map[string]bool{}}
}

type quiet struct{}

func (quiet) Say(string)     {}
func (quiet) Show(am.Report) {}
func (quiet) Close()         {}
