package fleet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// hooked is a cloud where something happens while it is asked.
type hooked struct {
	cloud
	asked func() error // for machines; nil: nothing
}

func (h *hooked) Machines(context.Context, string) ([]Machine, error) {
	if h.asked == nil {
		return nil, nil
	}
	return nil, h.asked()
}

func (h *hooked) open(t *testing.T) *Fleet {
	t.Helper()
	f := newFleet(t, &h.cloud, Options{})
	f.provider = h
	return f
}

// TestPlanOfAnotherThatWasCutOff shows a plan to somebody while another one is made, and cut off before it was saved.
func TestPlanOfAnotherThatWasCutOff(t *testing.T) {
	h := &hooked{}
	f := h.open(t)
	shown := mustPlan(t, f, plain())
	h.asked = func() error { return context.Canceled } // when Terraform has made its plan
	other := plain()
	other.Workers = 9
	if _, err := f.Plan(t.Context(), other, Limits{}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	h.asked = nil
	if err := f.Apply(t.Context(), shown, nil); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a plan that nobody was shown is applied: %v", err)
	}
}

// TestChangeOutdatesPlans changes a fleet while somebody thinks about a plan for it, which would take that back.
func TestChangeOutdatesPlans(t *testing.T) {
	f := newFleet(t, &cloud{}, Options{})
	mustApply(t, f, mustPlan(t, f, plain()))
	until := time.Now().Add(9 * time.Hour)
	for what, change := range map[string]func() error{
		"extended": func() error { return f.Extend(t.Context(), until) },
		"scaled":   func() error { return f.Scale(t.Context(), 2, Limits{}) },
	} {
		more := plain()
		more.Workers = 9
		shown := mustPlan(t, f, more)
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if err := f.Apply(t.Context(), shown, nil); errs.KindOf(err) != errs.Invalid {
			t.Errorf("a plan is applied that was made before the fleet was %s: %v", what, err)
		}
	}
	end, err := f.PlanDestroy(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Extend(t.Context(), until); err != nil {
		t.Fatal(err)
	}
	mustApply(t, f, end) // whatever was changed goes, too
}

// TestScaleKnowsWhatIsSo deploys a fleet otherwise at the very moment when somebody begins to scale it: the price that
// is written down is that of the fleet as it is then.
func TestScaleKnowsWhatIsSo(t *testing.T) {
	h := &hooked{}
	f := h.open(t)
	mustApply(t, f, mustPlan(t, f, plain()))
	var during error
	h.asked = func() error {
		_, during = f.Plan(t.Context(), plain(), Limits{})
		return nil
	}
	if err := f.Scale(t.Context(), 2, Limits{}); err != nil {
		t.Fatal(err)
	}
	refusal, ok := errors.AsType[*Refusal](during)
	if !ok || refusal.Rule != RuleLocked {
		t.Errorf("while it is worked out what scaling means somebody else may change the fleet: %v", during)
	}
}

// sleeper is a cloud that wakes machines.
type sleeper struct{ cloud }

func (*sleeper) CheckWake(Wake) error { return nil }

func (*sleeper) Deadline(context.Context, string) (time.Time, error) { return time.Time{}, nil }

// TestWakeTakesNothingBack has others change a fleet while it is said when it is to be woken.
func TestWakeTakesNothingBack(t *testing.T) {
	s := &sleeper{}
	f := newFleet(t, &s.cloud, Options{})
	f.provider = s
	r := plain()
	r.Max, r.Idle = 4, 10*time.Minute
	mustApply(t, f, mustPlan(t, f, r))
	before, err := f.Record()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Bound(t.Context(), 2, 5, time.Minute, Limits{}); err != nil {
		t.Fatal(err)
	}
	wakes := []Wake{{Name: "nightly", Cron: "0 2 * * *", Zone: "UTC"}}
	stale := before.Request
	stale.Wakes = wakes
	if _, err := f.planFor(t.Context(), stale, Limits{}, true); err != nil {
		t.Fatal(err)
	}
	var saved pending
	if _, err := readJSON(filepath.Join(f.dir, pendingFile), &saved); err != nil || saved.Request.Min != 2 ||
		len(saved.Request.Wakes) != 1 {
		t.Errorf("with its schedules the fleet becomes %+v again, %v", saved.Request, err)
	}

	others, woken := *f, false // who is asked for the time when it is planned and applied already
	longer := time.Now().Add(20 * time.Hour).UTC().Truncate(time.Minute)
	f.options.Now = func() time.Time {
		if rec, err := others.Record(); err == nil && len(rec.Request.Wakes) > 0 && rec.Phase == Deployed && !woken {
			woken = true
			if err := others.Extend(t.Context(), longer); err != nil {
				t.Error(err)
			}
		}
		return time.Now()
	}
	if err := f.Wake(t.Context(), wakes, time.Now().Add(2*time.Hour), nil); err != nil {
		t.Fatal(err)
	}
	if rec, err := f.Record(); err != nil || !woken || !rec.ExpiresAt.Equal(longer) {
		t.Errorf("the fleet ends at %v, and somebody was told at %v (%v)", rec.ExpiresAt, longer, err)
	}

	if err := f.update(func(r *Record) { r.Phase = Ending }); err != nil { // a teardown that was cut off
		t.Fatal(err)
	}
	if err := f.Wake(t.Context(), nil, time.Time{}, nil); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a fleet that is to go is made again: %v", err)
	}
}

// TestCollectedAtOnce looks for leftovers of a fleet that is being removed: those are somebody's business already.
func TestCollectedAtOnce(t *testing.T) {
	c := &cloud{}
	f := newFleet(t, c, Options{})
	mustApply(t, f, mustPlan(t, f, plain()))
	c.put("vpc-1")
	var during error
	err := f.Destroy(t.Context(), false, func(Event) {
		if _, err := f.Leftovers(t.Context()); during == nil {
			during = err
		}
	})
	refusal, ok := errors.AsType[*Refusal](during)
	if err != nil || !ok || refusal.Rule != RuleLocked {
		t.Errorf("destroy: %v; leftovers during it: %v", err, during)
	}
}

// TestLooksAreWaitedFor has somebody come who wants to change a fleet at which another only looks: he is not sent away.
func TestLooksAreWaitedFor(t *testing.T) {
	f := newFleet(t, &cloud{}, Options{})
	for verb, want := range map[string]errs.Kind{look: errs.Canceled, "a deploy": errs.Exist} {
		op, err := f.begin(t.Context(), verb)
		if err != nil {
			t.Fatal(err)
		}
		impatient, end := context.WithCancel(t.Context())
		end()
		if _, err := f.begin(impatient, "a teardown"); errs.KindOf(err) != want {
			t.Errorf("during %s: %v, want %v", verb, err, want)
		}
		op.end()
	}
}

// TestSameNameIsNotTheSame has somebody else make a thing anew under the name of one that is to be removed.
func TestSameNameIsNotTheSame(t *testing.T) {
	c := &cloud{}
	f := newFleet(t, c, Options{})
	role := Resource{Service: "iam", Kind: "role", ID: "runner-demo", Cluster: "demo", Created: time.Unix(1000, 0)}
	c.mu.resources = []Resource{role}
	p := mustPlan(t, f, plain())
	if len(p.Leftovers) != 1 {
		t.Fatalf("the plan has leftovers %v", p.Leftovers)
	}
	role.Created = time.Unix(2000, 0)
	c.mu.resources = []Resource{role}
	mustApply(t, f, p)
	if left, _ := c.Scan(t.Context(), "demo"); len(left) != 1 {
		t.Error("what was made since is removed")
	}
}

// TestAbandon removes what a deploy that was killed has kept of a fleet that it has not begun, and nothing of one that
// is there.
func TestAbandon(t *testing.T) {
	f := newFleet(t, &cloud{}, Options{NewSecrets: func() (map[string]string, error) {
		return map[string]string{"node/key": "1"}, nil
	}})
	kept := func() (all []string) {
		for _, file := range []string{pendingFile, secretsFile, stateFile, workDir} {
			if _, err := os.Stat(filepath.Join(f.dir, file)); err == nil {
				all = append(all, file)
			}
		}
		return all
	}
	abandon := func() {
		t.Helper()
		if err := f.Abandon(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if abandon(); len(kept()) > 0 {
		t.Errorf("of nothing is kept %v", kept())
	}
	if _, err := os.Stat(f.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a folder for nothing (%v)", err)
	}
	mustPlan(t, f, plain())
	if abandon(); len(kept()) > 0 {
		t.Errorf("of a fleet that was never begun is kept %v", kept())
	}
	mustApply(t, f, mustPlan(t, f, plain()))
	before := kept()
	if abandon(); len(before) == 0 || len(kept()) != len(before) {
		t.Errorf("of a fleet that is there is kept %v, was %v", kept(), before)
	}
	if err := f.Destroy(t.Context(), false, nil); err != nil {
		t.Fatal(err)
	}
	mustPlan(t, f, plain())
	if abandon(); len(kept()) > 0 {
		t.Errorf("of a fleet that is gone is kept %v", kept())
	}
}
