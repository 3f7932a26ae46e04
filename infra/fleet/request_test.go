package fleet

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	tfjson "github.com/hashicorp/terraform-json"

	"github.com/seed3322913c/runner/infra/errs"
)

func TestRefusals(t *testing.T) {
	p := Plan{Account: "1", Region: "us-east-1", HourlyMost: 2,
		Groups: []Group{{Role: Server, Count: 3}, {Role: Worker, Count: 8}}}
	bucket := Plan{Bucket: "b", Changes: []ResourceChange{{Type: "aws_s3_bucket", Action: Replace}}}
	unknown := p
	unknown.HourlyMost, unknown.Unpriced = 0, []string{"z9.large"}
	tests := []struct {
		limits Limits
		plan   Plan
		want   Rule
	}{
		{Limits{}, p, 0},
		{Limits{MaxHourly: 2, MaxWorkers: 8, Regions: []string{"us-east-1"}, Accounts: []string{"1"}}, p, 0},
		{Limits{MaxHourly: 1.99}, p, RulePrice},
		{Limits{MaxHourly: 100}, unknown, RulePrice},
		{Limits{MaxWorkers: 7}, p, RuleWorkers},
		{Limits{Regions: []string{"eu-west-1"}}, p, RuleRegion},
		{Limits{Accounts: []string{"2"}}, p, RuleAccount},
		{Limits{}, bucket, RuleBucket},
	}
	codes := map[int]bool{}
	for _, test := range tests {
		var refusal *Refusal
		err := test.limits.check(test.plan)
		if errors.As(err, &refusal); test.want == 0 && err != nil || test.want != 0 &&
			(refusal == nil || refusal.Rule != test.want) {
			t.Errorf("%+v: %v, want rule %d", test.limits, err, test.want)
		}
		if refusal != nil {
			codes[refusal.ExitCode()] = true
		}
	}
	if len(codes) != 5 {
		t.Errorf("the exit codes are %v", codes)
	}
}

func TestRequestsThatCannotBe(t *testing.T) {
	good := plain().Defaults()
	good.Name = "demo"
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	bad := map[string]func(*Request){
		"a name with capitals":     func(r *Request) { r.Name = "Demo" },
		"a name that is too long":  func(r *Request) { r.Name = strings.Repeat("a", 32) },
		"a name that ends badly":   func(r *Request) { r.Name = "demo-" },
		"two servers":              func(r *Request) { r.Servers = 2 },
		"less than no workers":     func(r *Request) { r.Workers = -1 },
		"too many workers":         func(r *Request) { r.Workers = MaxWorkers + 1 },
		"a share beyond all":       func(r *Request) { r.Spot = 1.01 },
		"a minute to live":         func(r *Request) { r.TTL = time.Minute },
		"a month to live":          func(r *Request) { r.TTL = 31 * 24 * time.Hour },
		"a second of idleness":     func(r *Request) { r.Idle = time.Second },
		"a driver of nobody's":     func(r *Request) { r.Driver = "docker" },
		"a disk of nothing":        func(r *Request) { r.DiskGiB = 1 },
		"no instance type":         func(r *Request) { r.WorkerTypes = []string{"big"} },
		"the wrong processor":      func(r *Request) { r.ServerType = "t4g.small" },
		"everybody let in":         func(r *Request) { r.AllowFrom = []string{"0.0.0.0/0"} },
		"an address, not networks": func(r *Request) { r.AllowFrom = []string{"203.0.113.7"} },
	}
	for what, spoil := range bad {
		r := good
		if spoil(&r); errs.KindOf(r.Validate()) != errs.Invalid {
			t.Errorf("%s: %v", what, r.Validate())
		}
	}
	for _, name := range []string{"", "..", "a/b"} {
		if _, err := Open(t.TempDir(), name, modules, &cloud{}, Options{}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("a fleet called %q: %v", name, err)
		}
	}
}

func TestOnDemand(t *testing.T) {
	for _, test := range []struct {
		n    int
		spot float64
		want int
	}{{8, 0.7, 2}, {10, 0.7, 3}, {4, 0.7, 1}, {4, 0, 4}, {4, 1, 0}, {0, 0.5, 0}} {
		if got := OnDemand(test.n, test.spot); got != test.want {
			t.Errorf("%d at %g: %d, want %d", test.n, test.spot, got, test.want)
		}
	}
}

func TestPrices(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f := &Fleet{name: "demo", options: Options{Now: func() time.Time { return now }}}
	r := plain().Defaults()
	r.ExpiresAt = now.Add(2 * time.Hour)
	p := f.describe(r, Setup{Priced: true})
	if p.PricesOf.IsZero() || len(p.Unpriced) > 0 {
		t.Errorf("the table of %v lacks %v", p.PricesOf, p.Unpriced)
	}
	// 3 t3.small, and 4 m6i.xlarge of which 3 are spot; each with an address and a disk.
	rest := 3*(0.005+20*0.08/730) + 4*(0.005+50*0.08/730)
	if want := 3*0.0208 + 0.192 + 3*0.192*0.4 + rest; !near(p.Hourly, want) {
		t.Errorf("it costs %v an hour, want %v", p.Hourly, want)
	}
	if want := 3*0.0208 + 4*0.192 + rest; !near(p.HourlyMost, want) || !near(p.Total, 2*p.Hourly) {
		t.Errorf("at most %v, want %v; in all %v", p.HourlyMost, want, p.Total)
	}
	rec := Record{Plan: &p, Deployed: now, ExpiresAt: now.Add(2 * time.Hour)}
	for after, want := range map[time.Duration]float64{time.Hour: p.Hourly, 9 * time.Hour: 2 * p.Hourly} {
		if c := rec.Cost(now.Add(after)); !near(c.USD, want) || (c.Hourly > 0) != (after < 2*time.Hour) {
			t.Errorf("after %v it has cost %+v, want %v", after, c, want)
		}
	}
	r.WorkerTypes = []string{"m6i.large", "z9.huge"}
	if p := f.describe(r, Setup{Priced: true}); !slices.Equal(p.Unpriced, []string{"z9.huge"}) {
		t.Errorf("unpriced are %v", p.Unpriced)
	}
	if p := f.describe(r, Setup{}); p.Hourly != 0 || !p.PricesOf.IsZero() {
		t.Errorf("what nobody pays for costs %v", p.Hourly)
	}
}

func near(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }

func TestPlansThatLoseABucketAreSeen(t *testing.T) {
	change := func(kind string, mode tfjson.ResourceMode, actions ...tfjson.Action) *tfjson.ResourceChange {
		return &tfjson.ResourceChange{Address: kind + ".x", Type: kind, Mode: mode, Change: &tfjson.Change{Actions: actions}}
	}
	got := changes(&tfjson.Plan{ResourceChanges: []*tfjson.ResourceChange{
		change("aws_ami", tfjson.DataResourceMode, tfjson.ActionRead),
		change("aws_vpc", tfjson.ManagedResourceMode, tfjson.ActionNoop),
		change("aws_subnet", tfjson.ManagedResourceMode, tfjson.ActionUpdate),
		change("aws_s3_bucket", tfjson.ManagedResourceMode, tfjson.ActionDelete, tfjson.ActionCreate),
	}})
	want := []ResourceChange{{"aws_subnet.x", "aws_subnet", Update}, {"aws_s3_bucket.x", "aws_s3_bucket", Replace}}
	if !slices.Equal(got, want) {
		t.Errorf("the changes are %v", got)
	}
	var refusal *Refusal
	if err := (Limits{}).check(Plan{Changes: got}); !errors.As(err, &refusal) || refusal.Rule != RuleBucket {
		t.Errorf("got %v", err)
	}
}

func TestBucketsWhoseMakingWasInterruptedAreKept(t *testing.T) {
	replace := &tfjson.Change{Actions: tfjson.Actions{tfjson.ActionDelete, tfjson.ActionCreate}}
	plan := &tfjson.Plan{ResourceChanges: []*tfjson.ResourceChange{
		{Address: "a", Type: bucketType, Change: replace, ActionReason: tfjson.ActionReasonReplaceBecauseTainted},
		{Address: "b", Type: bucketType, Change: replace, ActionReason: tfjson.ActionReasonReplaceBecauseCannotUpdate},
		{Address: "c", Type: "aws_vpc", Change: replace, ActionReason: tfjson.ActionReasonReplaceBecauseTainted},
	}}
	if got := taintedBuckets(plan); !slices.Equal(got, []string{"a"}) {
		t.Errorf("kept are %v", got)
	}
}
