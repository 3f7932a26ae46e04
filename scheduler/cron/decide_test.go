package cron

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

// TestDecide plays what happens to one schedule, and prints what is decided.
//
//	schedule cron="0 * * * *" zone=Europe/Paris overlap=skip catch-up=2 jitter=5m since=2026-01-01T00:00:00Z
//	pause
//	resume at=2026-01-01T08:30:00Z
//	play
//	at 2026-01-01T01:00:00Z           what is decided at a moment
//	end 2026-01-01T01:10:00Z          the running work ends, and what is decided then
//	trigger a 2026-01-01T01:20:00Z    somebody wants it to run
//	next                              when it fires next, from the last moment on
func TestDecide(t *testing.T) {
	datadriven.Walk(t, "testdata/decide", func(t *testing.T, path string) {
		var d drama
		datadriven.RunTest(t, path, func(t *testing.T, c *datadriven.TestData) string {
			var b strings.Builder
			for line := range strings.Lines(c.Input) {
				b.WriteString(d.play(t, strings.Fields(strings.TrimSpace(line))))
			}
			switch c.Cmd {
			case "schedule":
				d = drama{history: History{ByName: map[string]*Past{}}}
				d.schedule = scheduleOf(t, c)
			case "pause":
				d.schedule.Paused = true
			case "resume":
				d.schedule.Paused = false
				var at string
				c.ScanArgs(t, "at", &at)
				d.schedule.Since = instant(t, at)
			case "play":
			default:
				t.Fatalf("unknown command %s", c.Cmd)
			}
			return b.String()
		})
	})
}

// drama is one schedule and what was done about it.
type drama struct {
	schedule Schedule
	triggers []Trigger
	history  History
	now      time.Time
}

func scheduleOf(t *testing.T, c *datadriven.TestData) Schedule {
	s := Schedule{Name: "nightly", Overlap: Skip, CatchUp: 1, Work: json.RawMessage(`{}`)}
	for _, arg := range c.CmdArgs {
		value := strings.Join(arg.Vals, " ")
		var err error
		switch arg.Key {
		case "cron":
			s.Cron = strings.ReplaceAll(value, "_", " ")
		case "zone":
			s.Zone = value
		case "overlap":
			s.Overlap = Overlap(value)
		case "catch-up":
			_, err = fmt.Sscan(value, &s.CatchUp)
		case "jitter":
			s.Jitter, err = time.ParseDuration(value)
		case "since":
			s.Since = instant(t, value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Check(s.Since); err != nil {
		t.Fatal(err)
	}
	return s
}

func (d *drama) play(t *testing.T, words []string) string {
	switch words[0] {
	case "trigger":
		d.triggers = append(d.triggers, Trigger{ID: words[1], At: instant(t, words[2])})
		return ""
	case "next":
		var b strings.Builder
		for _, at := range d.schedule.Upcoming(d.now, 3) {
			fmt.Fprintf(&b, "next %s\n", at.Format(time.RFC3339))
		}
		return b.String()
	case "end":
		d.now = instant(t, words[1])
		return d.end() + d.decide()
	case "at":
		d.now = instant(t, words[1])
		return d.decide()
	}
	t.Fatalf("unknown word %s", words[0])
	return ""
}

// end lets the running work end.
func (d *drama) end() string {
	for _, f := range d.history.Of(d.schedule.Name).open() {
		if f.State == Running {
			f.State, f.Ended = Succeeded, d.now
			if f.Replaced {
				f.State = Killed
			}
			d.history.put(f)
			return d.tell(f)
		}
	}
	return ""
}

func (d *drama) decide() string {
	var b strings.Builder
	for _, f := range decide(d.schedule, d.triggers, d.history.Of(d.schedule.Name), d.now) {
		d.history.put(f)
		b.WriteString(d.tell(f))
	}
	if again := decide(d.schedule, d.triggers, d.history.Of(d.schedule.Name), d.now); len(again) > 0 {
		fmt.Fprintf(&b, "decided again: %v\n", again)
	}
	return b.String()
}

func (d *drama) tell(f Firing) string {
	what := "slot " + f.Slot.UTC().Format(time.RFC3339)
	if f.Trigger != "" {
		what = "trigger " + f.Trigger
	}
	line := fmt.Sprintf("%s  %-28s %s", d.now.Format(time.TimeOnly), what, f.State)
	if f.Replaced {
		line += " (replaced)"
	}
	if f.Message != "" {
		line += ": " + f.Message
	}
	return line + "\n"
}

// Whatever happens in whatever order, no slot is decided on twice, at most one work runs, and every slot that somebody
// was there for is decided on.
func TestEverySlotOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Date(2026, 10, 24, 20, 0, 0, 0, time.UTC)
		d := drama{
			schedule: Schedule{
				Name: "s", Cron: rapid.SampledFrom([]string{"*/5 * * * *", "0 1-4 * * *", "*/2 * * * *"}).Draw(t, "cron"),
				Zone: "Europe/Paris", Overlap: rapid.SampledFrom([]Overlap{Skip, Queue, Replace}).Draw(t, "overlap"),
				CatchUp: rapid.IntRange(0, 5).Draw(t, "catch up"), Since: start,
				Jitter: time.Duration(rapid.IntRange(0, 600).Draw(t, "jitter")) * time.Second,
			},
			history: History{ByName: map[string]*Past{}}, now: start,
		}
		decided := map[string]int{} // how often a slot stopped being unknown
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			before := d.now
			gap := rapid.SampledFrom([]time.Duration{0, time.Second, 30 * time.Second, time.Hour}).Draw(t, "gap")
			d.now = d.now.Add(gap)
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				d.end()
			case 1:
				d.triggers = append(d.triggers, Trigger{ID: d.now.String(), At: d.now})
			}
			known := d.history.Of("s")
			for _, f := range decide(d.schedule, d.triggers, known, d.now) {
				key := f.Trigger + f.Slot.String()
				if !contains(d.history.Of("s"), f) {
					decided[key]++
				}
				d.history.put(f)
			}
			if rapid.Bool().Draw(t, "dropped") { // triggers may be seen again, for a while
				d.triggers = nil
			}
			running := 0
			for _, f := range d.history.Of("s").open() {
				if f.State == Running {
					running++
				}
			}
			if running > 1 {
				t.Fatalf("%d run at once", running)
			}
			onTime := later(before, d.now.Add(-grace))
			table, _ := d.schedule.Timetable()
			for slot := table.Next(onTime); !slot.IsZero() &&
				!slot.Add(d.schedule.Jitter).After(d.now); slot = table.Next(slot) {
				if decided[slot.String()] == 0 {
					t.Fatalf("at %v nothing was decided about %v", d.now, slot)
				}
			}
		}
		for key, n := range decided {
			if n != 1 {
				t.Fatalf("%s was decided on %d times", key, n)
			}
		}
	})
}

func contains(p Past, f Firing) bool {
	for _, g := range p.Firings {
		if g.same(f) {
			return true
		}
	}
	return false
}
