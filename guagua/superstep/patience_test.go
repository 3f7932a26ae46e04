package superstep

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// crew drives a master by hand, with a clock that stands still until told otherwise.
type crew struct {
	t   *testing.T
	m   *Master
	now time.Time
}

func newCrew(t *testing.T, cfg Config) *crew {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	c := &crew{t: t, m: NewMaster(cfg, 7, Ledger{}), now: time.Unix(1000, 0)}
	c.m.Start(c.now)
	return c
}

func (c *crew) join(index, attempt int) []Action {
	return c.m.Join(c.now, Join{Epoch: 7, From: Member{index, attempt}, Serial: uint64(c.now.UnixNano()), Have: c.m.At()})
}

func (c *crew) result(index, attempt int) []Action {
	return c.m.Result(c.now, Result{Position: c.m.Position(), From: Member{index, attempt}})
}

// pass moves the clock and returns what the master does when it is woken, on its way, as often as it asks for.
func (c *crew) pass(d time.Duration) (out []Action) {
	for end := c.now.Add(d); ; {
		wake := c.m.Wake()
		if wake.IsZero() || wake.After(end) {
			c.now = end
			return out
		}
		c.now = wake
		out = append(out, c.m.Tick(c.now)...)
	}
}

// begin lets all join and finish the first iteration, which has no deadlines.
func (c *crew) begin(workers int) {
	c.t.Helper()
	for i := range workers {
		c.join(i, 0)
	}
	if got := c.pass(time.Hour); len(got) != 0 {
		c.t.Fatalf("the first iteration was not waited for: %v", got)
	}
	for i := range workers {
		c.result(i, 0)
	}
	c.m.Computed(c.now, false)
}

func text(acts []Action) string {
	var out []string
	for _, a := range acts {
		out = append(out, strings.TrimPrefix(fmt.Sprintf("%T%+v", a, a), "superstep."))
	}
	return strings.Join(out, " ")
}

func TestRegistrationNamesTheMissing(t *testing.T) {
	c := newCrew(t, Defaults(3, 5))
	c.join(1, 0)
	c.join(2, 4)
	c.m.Lost(c.now, Member{2, 4})
	acts := c.pass(3 * time.Minute)
	if len(acts) != 1 {
		t.Fatal(text(acts))
	}
	err := acts[0].(Fail).Err
	for _, want := range []string{"2 of 3", "worker 0", "worker 2 (attempt 4 was here", "2m0s"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	if !errors.Is(err, errs.Unavailable) {
		t.Errorf("kind %v", errs.KindOf(err))
	}
}

func TestPartialCompletion(t *testing.T) {
	cfg := Defaults(4, 9)
	cfg.MinRatio, cfg.MinTimeout = 0.5, 10*time.Second
	c := newCrew(t, cfg)
	c.begin(4)
	c.result(2, 0)
	if got := c.pass(time.Minute); strings.Contains(text(got), "Compute") {
		t.Fatalf("one of four is not half: %s", text(got))
	}
	c.result(0, 0)
	got := text(c.pass(time.Minute))
	if !strings.Contains(got, "Compute{Iteration:2 Missing:[1 3] Halt:false}") {
		t.Fatal(got)
	}
	if got := c.result(1, 0); got != nil {
		t.Fatalf("a late result was counted: %s", text(got))
	}
	late := Result{Position: c.m.Position(), From: Member{3, 0}}
	c.m.Computed(c.now, false)
	if got := c.m.Result(c.now, late); got != nil || c.m.members[3].got {
		t.Fatal("a result of the iteration before was counted")
	}
}

func TestPartialCompletionWaitsForWhoHasBegunToSend(t *testing.T) {
	cfg := Defaults(2, 9)
	cfg.MinRatio, cfg.MinTimeout = 0.5, time.Second
	c := newCrew(t, cfg)
	c.begin(2)
	c.result(0, 0)
	c.m.Partial(Result{Position: c.m.Position(), From: Member{1, 0}})
	if got := c.pass(time.Minute); strings.Contains(text(got), "Compute") {
		t.Fatal("half a result was thrown away")
	}
	before := c.m.Position()
	c.m.Lost(c.now, Member{1, 0})
	if got := text(c.pass(time.Second)); !strings.Contains(got, "Begin") || !before.Before(c.m.Position()) {
		t.Fatalf("half a result of a worker that is gone needs another turn: %s", got)
	}
	c.result(0, 0)
	if got := text(c.pass(time.Minute)); !strings.Contains(got, "Compute{Iteration:2 Missing:[1]") {
		t.Fatal(got)
	}
}

func TestStragglers(t *testing.T) {
	for _, c := range []struct {
		policy Policy
		want   string
	}{
		{Report, "Straggles{Index:2"},
		{Exclude, "Straggles{Index:2"},
		{Replace, "Straggles{Index:2"},
	} {
		cfg := Defaults(3, 9)
		cfg.Stragglers, cfg.MinTimeout, cfg.Strikes = c.policy, time.Hour, 2
		if c.policy == Exclude {
			cfg.MinRatio = 0.6
		}
		crew := newCrew(t, cfg)
		crew.begin(3)
		for turn := range 2 {
			crew.pass(time.Second)
			crew.result(0, 0)
			crew.result(1, 0)
			if got := text(crew.pass(1500 * time.Millisecond)); got != "" {
				t.Fatalf("%s: judged before three times the median: %s", c.policy, got)
			}
			got := text(crew.pass(2 * time.Second))
			if !strings.Contains(got, c.want) || strings.Count(got, "Straggles") != 1 {
				t.Fatalf("%s: %q", c.policy, got)
			}
			excluded := strings.Contains(got, "Compute{Iteration:"+string(rune('2'+turn))+" Missing:[2]")
			if excluded != (c.policy == Exclude) {
				t.Fatalf("%s: %q", c.policy, got)
			}
			if replaced := strings.Contains(got, "Reject"); replaced != (c.policy == Replace && turn == 1) {
				t.Fatalf("%s, turn %d: %q", c.policy, turn, got)
			}
			if c.policy == Replace && turn == 1 {
				replacement(t, crew)
				break
			}
			crew.result(2, 0)
			crew.m.Computed(crew.now, false)
		}
	}
}

func replacement(t *testing.T, c *crew) {
	t.Helper()
	if got := c.result(2, 0); got != nil {
		t.Fatal("the result of a worker that was replaced was counted")
	}
	if got := text(c.join(2, 0)); !strings.Contains(got, "Reject") {
		t.Fatalf("the old attempt was let in again: %s", got)
	}
	if got := text(c.join(2, 1)); !strings.Contains(got, "Tell") {
		t.Fatalf("the new attempt was not: %s", got)
	}
	if got := text(c.pass(time.Hour)); got != "" {
		t.Fatalf("a worker that had to load its data was judged: %s", got)
	}
	if got := text(c.result(2, 1)); !strings.Contains(got, "Compute") {
		t.Fatal(got)
	}
}

func TestHaltByAllWorkers(t *testing.T) {
	c := newCrew(t, Defaults(2, 9))
	c.begin(2)
	c.m.Result(c.now, Result{Position: c.m.Position(), From: Member{0, 0}, Halt: true})
	got := text(c.result(1, 0))
	if !strings.Contains(got, "Halt:false") {
		t.Fatalf("one of two is not all: %s", got)
	}
	c.m.Computed(c.now, false)
	for i := range 2 {
		got = text(c.m.Result(c.now, Result{Position: c.m.Position(), From: Member{i, 0}, Halt: true}))
	}
	if !strings.Contains(got, "Halt:true") {
		t.Fatal(got)
	}
	if got := text(c.m.Computed(c.now, true)); !strings.Contains(got, "Final:true Wait:true") {
		t.Fatalf("halting needs the final checkpoint: %s", got)
	}
}

func TestDurableCheckpointsComeFirst(t *testing.T) {
	cfg := Defaults(1, 3)
	cfg.Durable = true
	c := newCrew(t, cfg)
	c.join(0, 0)
	c.result(0, 0)
	acts := c.m.Computed(c.now, false)
	if got := text(acts); got != "Save{At:1@7 Final:false Wait:true}" {
		t.Fatal(got)
	}
	if got := text(c.m.Saved(c.now, acts[0].(Save))); !strings.Contains(got, "Tell") {
		t.Fatal(got)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no workers": func(c *Config) { c.Workers = 0 },
		"ratio":      func(c *Config) { c.MinRatio = 1.5 },
		"policy":     func(c *Config) { c.Stragglers = "shoot" },
		"factor":     func(c *Config) { c.Factor = 1 },
		"exclude":    func(c *Config) { c.Stragglers = Exclude },
	} {
		cfg := Defaults(2, 2)
		change(&cfg)
		if err := cfg.Validate(); !errors.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
