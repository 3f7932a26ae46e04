package progress

import (
	"fmt"
	"io"
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

// bars is a View for a terminal: the last lines of the screen are drawn again and again.
type bars struct {
	out     io.Writer
	options Options
	cores   int
	seen    training
	latest  am.Report
	held    bool      // latest is not on the screen yet
	drawn   int       // lines on the screen that are ours
	at      time.Time // of the latest drawing
}

func (b *bars) Say(line string) {
	if b.drawn == 0 {
		fmt.Fprintln(b.out, line)
		return
	}
	fmt.Fprintf(b.out, up+"\r"+clearEnd+"%s\n", b.drawn, line)
	b.drawn = 0
	b.draw()
}

func (b *bars) Show(r am.Report) {
	b.cores = max(b.cores, cores(r))
	b.seen.note(r)
	b.latest, b.held = r, true
	if b.options.Now().Sub(b.at) >= frame {
		b.draw()
	}
}

func (b *bars) Close() {
	if b.held {
		b.draw()
	}
}

func (b *bars) draw() {
	b.at, b.held = b.options.Now(), false
	var screen strings.Builder
	if b.drawn > 0 {
		fmt.Fprintf(&screen, up+"\r"+clearEnd, b.drawn)
	}
	lines := rows(b.latest, b.cores, &b.seen, b.at)
	for _, l := range lines {
		screen.WriteString(bar(l.StageReport, b.options.Width(), l.texts))
		screen.WriteByte('\n')
	}
	b.drawn = len(lines)
	io.WriteString(b.out, screen.String()) // in one piece, or it flickers; nobody may be watching any more
}

// bar writes one stage in at most width columns: the bar shrinks first, then texts at the end are left out.
func bar(s am.StageReport, width int, texts []string) string {
	const margin = 1 // some terminals wrap when the last column is written
	cells := min(20, max(5, width/4))
	line := fmt.Sprintf("  %-7s ", s.Name)
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
