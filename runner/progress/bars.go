package progress

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed3322913c/runner/scheduler/am"
)

// frame is the least time between two drawings.
const frame = 100 * time.Millisecond

// What terminals understand.
const (
	up       = "\x1b[%dA" // so many lines
	clearEnd = "\x1b[J"   // from here to the end of the screen
	green    = "\x1b[32m"
	cyan     = "\x1b[36m"
	plain    = "\x1b[0m"
)

// bars are the Views for a terminal: the last lines of the screen are drawn again and again, a block for each job.
type bars struct {
	out     io.Writer
	options Options
	blocks  []*block
	drawn   int       // lines on the screen that are ours
	at      time.Time // of the latest drawing
}

// block is a View.
type block struct {
	*bars
	name   string
	cores  int
	seen   training
	latest am.Report
}

func (b *bars) block(name string) View {
	k := &block{bars: b, name: name}
	b.blocks = append(b.blocks, k)
	return k
}

func (k *block) Say(line string) { k.draw(line + "\n") }

func (k *block) Show(r am.Report) {
	k.cores = max(k.cores, cores(r))
	k.seen.note(r)
	k.latest = r
	if k.options.Now().Sub(k.at) >= frame {
		k.draw("")
	}
}

// Close leaves the block's lines where they are, above those of others.
func (k *block) Close() {
	k.blocks = slices.DeleteFunc(k.blocks, func(other *block) bool { return other == k })
	width, _ := k.options.Size()
	k.draw(strings.Join(k.lines(width, k.options.Now()), ""))
}

func (k *block) lines(width int, now time.Time) []string {
	var all []string
	for _, l := range rows(k.latest, k.cores, &k.seen, now) {
		all = append(all, bar(label(k.name, l.Name), l.StageReport, width, l.texts)+"\n")
	}
	return all
}

// clear removes what is drawn.
func (b *bars) clear() {
	if b.drawn > 0 {
		fmt.Fprintf(b.out, up+"\r"+clearEnd, b.drawn)
	}
	b.drawn = 0
}

// draw tells what is to stay, and draws all blocks below.
func (b *bars) draw(stays string) {
	now := b.options.Now()
	var screen strings.Builder
	if b.drawn > 0 {
		fmt.Fprintf(&screen, up+"\r"+clearEnd, b.drawn)
	}
	screen.WriteString(stays)
	width, height := b.options.Size()
	var lines []string
	for _, k := range b.blocks {
		lines = append(lines, k.lines(width, now)...)
	}
	lines = lines[:min(len(lines), max(1, height-1))] // what has left the screen can't be drawn again
	for _, l := range lines {
		screen.WriteString(l)
	}
	if b.drawn = len(lines); b.drawn > 0 {
		b.at = now
	}
	io.WriteString(b.out, screen.String()) // in one piece, or it flickers; nobody may be watching any more
}

// bar writes one stage in at most width columns, after what the line begins with: the bar shrinks first, then texts at
// the end are left out.
func bar(line string, s am.StageReport, width int, texts []string) string {
	const margin = 1 // some terminals wrap when the last column is written
	cells := min(20, max(5, width/4))
	room := width - margin - utf8.RuneCountInString(line) - cells
	full := int(fraction(s) * float64(cells))
	colour := cyan
	if full == cells {
		colour = green
	}
	line += colour + strings.Repeat("█", full) + plain + strings.Repeat("░", cells-full)
	for i, text := range texts {
		if i > 0 {
			text = "   " + text
		}
		if room -= utf8.RuneCountInString(text); room < 0 {
			break
		}
		line += text
	}
	return line
}
