package roster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/queue"
)

var epoch = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// script drives a roster by commands. Every record goes through its text, and every now and then the roster through a
// snapshot.
//
//	record            lines of JSON that are applied
//	cluster cores=N   what the machines have
//	alive JOB=N       executors that there are
//	round [now=SECONDS] [only]
//	                  decides and applies until there is nothing to do; only: once, without applying
//	state
type script struct {
	r    *Roster
	seen Seen
}

func TestRoster(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &script{New(), Seen{Now: epoch, Total: queue.Resources{Cores: 8}, Alive: map[scheduler.JobID]int{}}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			text := s.do(t, d)
			s.reload(t)
			return text
		})
	})
}

// reload replaces the roster by its snapshot.
func (s *script) reload(t *testing.T) {
	from, err := s.r.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := from.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	if err := s.r.Restore(&text); err != nil {
		t.Fatal(err)
	}
}

func (s *script) do(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "record":
		for line := range strings.Lines(d.Input) {
			if err := s.r.Apply([]byte(line)); err != nil {
				return errs.KindOf(err).String() + "\n"
			}
		}
		return "applied\n"
	case "cluster":
		cores := 0
		d.ScanArgs(t, "cores", &cores)
		s.seen.Total = queue.Resources{Cores: int64(cores)}
		return ""
	case "alive":
		for _, arg := range d.CmdArgs {
			n := 0
			arg.Scan(t, 0, &n)
			s.seen.Alive[scheduler.JobID(arg.Key)] = n
		}
		return ""
	case "round":
		seconds := int(s.seen.Now.Sub(epoch) / time.Second)
		d.MaybeScanArgs(t, "now", &seconds)
		s.seen.Now = epoch.Add(time.Duration(seconds) * time.Second)
		return s.round(t, d.HasArg("only"))
	case "state":
		return tell(s.r)
	}
	d.Fatalf(t, "what is %s?", d.Cmd)
	return ""
}

func (s *script) round(t *testing.T, only bool) string {
	var b strings.Builder
	for range 5 {
		round := s.r.Decide(s.seen, queue.Options{})
		s.seen.Hungry = round.Hungry
		for _, record := range round.Records {
			line, err := record.Encode()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s\n", line)
			if only {
				continue
			}
			if err := s.r.Apply(line); err != nil {
				t.Fatal(err)
			}
		}
		if only || len(round.Records) == 0 {
			tellReasons(&b, "waits", round.Waits)
			tellReasons(&b, "refused", round.Refused)
			return b.String()
		}
	}
	return b.String() + "there is no end of it\n"
}

func tellReasons(b *strings.Builder, word string, reasons map[scheduler.JobID]string) {
	var lines []string
	for job, why := range reasons {
		lines = append(lines, fmt.Sprintf("%s %s: %s\n", job, word, why))
	}
	slices.Sort(lines)
	b.WriteString(strings.Join(lines, ""))
}

func tell(r *Roster) string {
	var b strings.Builder
	for _, u := range r.Tree().Usage(r.Standing(Seen{Now: epoch, Total: queue.Resources{Cores: 8}})) {
		fmt.Fprintf(&b, "%s: used %.3g of %.3g, runs %d, waits %d, executors %d, wanted %d\n", u.Name, u.Used, u.Share,
			u.Running, u.Waiting, u.Executors, u.Wanted)
	}
	for _, e := range r.Jobs() {
		line, err := json.Marshal(e)
		if err != nil {
			return err.Error()
		}
		fmt.Fprintf(&b, "%s\n", line)
	}
	return b.String()
}

// TestTakeOver: what one leader has decided its successor knows, and the first one can decide nothing more.
func TestTakeOver(t *testing.T) {
	ctx, st := t.Context(), mem.New()
	old := New()
	first, err := journal.Lead(ctx, st, "control/queues", old, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	enter := Record{Enter: &Entry{Job: "7k2f-words", Queue: "default", Entered: epoch, Ask: queue.Resources{Cores: 1},
		Want: 2}}
	line, err := enter.Encode()
	if err == nil {
		err = first.Append(ctx, line)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := New()
	second, err := journal.Lead(ctx, st, "control/queues", r, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if e, ok := r.Get("7k2f-words"); !ok || e.Running() || e.Want != 2 {
		t.Errorf("the successor knows %+v", e)
	}
	if err := first.Append(ctx, line); errs.KindOf(err) != errs.Fenced {
		t.Errorf("the first leader goes on: %v", err)
	}
}

func FuzzApply(f *testing.F) {
	f.Add([]byte(`{"enter":{"job":"a","queue":"default","want":1,"ask":{"cores":1,"memory":1}}}`))
	f.Add([]byte(`{"queues":{"name":"root","children":[{"name":"a","share":0.5}]}}`))
	f.Add([]byte(`{"allow":{"job":"a","count":-1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &script{r: New()}
		if s.r.Apply(data) == nil {
			s.reload(t)
		}
	})
}
