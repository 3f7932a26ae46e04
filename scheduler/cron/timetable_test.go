package cron

import (
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"pgregory.net/rapid"
)

// The clock of Paris jumps from 2 to 3 on 2026-03-29, and from 3 back to 2 on 2026-10-25. That of Lord Howe jumps by
// half an hour, and Samoa had no 2011-12-30 at all.
func TestTimetable(t *testing.T) {
	for _, c := range []struct {
		name, expr, zone, after string
		want                    []string
	}{
		{"every day", "0 2 * * *", "", "2026-01-30T12:00:00Z",
			[]string{"2026-01-31T02:00:00Z", "2026-02-01T02:00:00Z"}},
		{"where people live", "0 2 * * *", "Europe/Paris", "2026-07-01T12:00:00Z",
			[]string{"2026-07-02T00:00:00Z", "2026-07-03T00:00:00Z"}},
		{"an hour that is left out fires at the jump", "30 2 * * *", "Europe/Paris", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}},
		{"with the hour after it", "0 2,3 * * *", "Europe/Paris", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"}},
		{"an hour that comes twice fires once", "30 2 * * *", "Europe/Paris", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		{"asked in the second of the two hours", "30 2 * * *", "Europe/Paris", "2026-10-25T01:10:00Z",
			[]string{"2026-10-26T01:30:00Z"}},
		{"every half hour, as time passes in spring", "*/30 * * * *", "Europe/Paris", "2026-03-29T00:10:00Z",
			[]string{"2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"}},
		{"and in autumn", "*/30 * * * *", "Europe/Paris", "2026-10-24T23:40:00Z", []string{
			"2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z",
		}},
		{"a jump of half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z",
			[]string{"2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"}},
		{"a day that never was", "0 9 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z",
			[]string{"2011-12-29T19:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T19:00:00Z"}},
		{"the last day of February", "0 0 L 2 *", "", "2027-06-01T00:00:00Z",
			[]string{"2028-02-29T00:00:00Z", "2029-02-28T00:00:00Z"}},
		{"every quarter of a minute", "*/15 * * * * * *", "", "2026-01-01T00:00:20Z",
			[]string{"2026-01-01T00:00:30Z", "2026-01-01T00:00:45Z"}},
		{"by name", "@hourly", "Europe/Paris", "2026-10-25T00:30:00Z",
			[]string{"2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"}},
		{"once", "0 0 0 1 1 * 2030", "", "2026-01-01T00:00:00Z", []string{"2030-01-01T00:00:00Z", "never"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, err := Parse(c.expr, c.zone)
			if err != nil {
				t.Fatal(err)
			}
			at := instant(t, c.after)
			for _, want := range c.want {
				at = table.Next(at)
				got := at.UTC().Format(time.RFC3339)
				if at.IsZero() {
					got = "never"
				}
				if got != want {
					t.Fatalf("got %s, want %s", got, want)
				}
			}
		})
	}
}

// TestSlotsByWatchingTheClock finds the slots of days on which clocks jump as somebody would who looks at the clock on the
// wall each minute: an hour that is named fires when the clock first shows it, or has jumped over it.
func TestSlotsByWatchingTheClock(t *testing.T) {
	for zone, days := range map[string][]string{
		"Europe/Paris":        {"2026-03-28", "2026-10-24"},
		"America/New_York":    {"2026-03-07", "2026-10-31"},
		"Australia/Lord_Howe": {"2026-04-04", "2026-10-03"},
		"America/Sao_Paulo":   {"2018-02-16", "2018-11-03"}, // at midnight
	} {
		for _, day := range days {
			for _, expr := range []string{"30 2 * * *", "0 0 * * *", "15,45 0-3 * * *", "*/10 1,2,23 * * *", "59 1 * * 0"} {
				table, err := Parse(expr, zone)
				if err != nil {
					t.Fatal(err)
				}
				at := instant(t, day+"T00:00:00Z")
				for _, want := range watched(t, table, at, 3*24*time.Hour) {
					if at = table.Next(at); !at.Equal(want) {
						t.Fatalf("%s in %s from %s on: %v, want %v", expr, zone, day, at, want)
					}
				}
			}
		}
	}
}

// watched returns the slots of a timetable after a moment, for a while.
func watched(t *testing.T, table Timetable, from time.Time, while time.Duration) (slots []time.Time) {
	t.Helper()
	shown := onWall(from.In(table.zone)) // the latest that the clock has shown, and all before it
	for at := from.Add(time.Minute); !at.After(from.Add(while)); at = at.Add(time.Minute) {
		now := onWall(at.In(table.zone))
		if !now.After(shown) {
			continue // it was put back
		}
		if next := table.expr.Next(shown); !next.After(now) {
			slots = append(slots, at)
		}
		shown = now
	}
	if len(slots) == 0 {
		t.Fatal("there is no slot")
	}
	return slots
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestParseMistakes(t *testing.T) {
	for _, c := range []struct{ expr, zone string }{
		{"", ""}, {"* * *", ""}, {"61 * * * *", ""}, {"a b c d e", ""}, {"* * * * * *", ""}, {"@sometimes", ""},
		{"0 2 * * *", "Europe/Pariss"}, {"0 2 * * *", "Local"}, {"0 2 * * *", "../../etc/passwd"},
	} {
		if _, err := Parse(c.expr, c.zone); errs.KindOf(err) != errs.Invalid {
			t.Errorf("Parse(%q, %q) = %v, want invalid", c.expr, c.zone, err)
		}
	}
}

// Slots always lie ahead, are in order, and none is left out by asking from somewhere between two of them.
func TestSlotsAreInOrder(t *testing.T) {
	zones := []string{"", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"}
	exprs := []string{"30 2 * * *", "0 * * * *", "*/7 1-3 * * *", "15 */2 * * *", "59 23 * * 0", "0 0 1 * *"}
	rapid.Check(t, func(t *rapid.T) {
		table, err := Parse(rapid.SampledFrom(exprs).Draw(t, "expression"), rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(rapid.Int64Range(1.2e9, 2e9).Draw(t, "from"), 0)
		for range 30 {
			next := table.Next(at)
			if !next.After(at) {
				t.Fatalf("after %v comes %v", at, next)
			}
			between := at.Add(time.Duration(rapid.Int64Range(0, int64(next.Sub(at))-1).Draw(t, "between")))
			if again := table.Next(between); !again.Equal(next) {
				t.Fatalf("after %v comes %v, but after %v comes %v", at, next, between, again)
			}
			at = next
		}
	})
}
