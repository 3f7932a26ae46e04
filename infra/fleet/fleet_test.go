package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	tfjson "github.com/hashicorp/terraform-json"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet/fleettest"
)

// root is a root module without a cloud: machines and a bucket that exist in the state alone.
const root = `
variable "workers" { type = number }
variable "expires_at" { type = string }
variable "secret_names" { type = set(string) }
variable "secrets" {
  type      = map(string)
  ephemeral = true
}
resource "terraform_data" "worker" {
  count = var.workers
  input = var.expires_at
}
output "cluster" { value = "demo" }
output "bucket" { value = "b" }
output "expires_at" { value = var.expires_at }
output "servers" { value = ["127.0.0.1"] }
`

var modules = fstest.MapFS{"roots/mem/main.tf": {Data: []byte(root)}, "modules/none/main.tf": {Data: []byte("")}}

// cloud is a provider in memory.
type cloud struct {
	mu struct {
		sync.Mutex
		resources []Resource
		changes   []Change
		stuck     map[string]error // what can't be removed
	}
}

func (c *cloud) Setup(_ context.Context, r Request) (Setup, error) {
	return Setup{Root: "mem", Account: "123456789012", Bucket: "b", Priced: true,
		Vars: map[string]any{"workers": r.Workers, "expires_at": r.ExpiresAt.Format(time.RFC3339)}}, nil
}

func (c *cloud) Machines(context.Context, string) ([]Machine, error) { return nil, nil }

func (c *cloud) Scan(context.Context, string) ([]Resource, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.mu.resources), nil
}

func (c *cloud) Remove(_ context.Context, r Resource) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.mu.stuck[r.ID]; err != nil {
		return err
	}
	c.mu.resources = slices.DeleteFunc(c.mu.resources, r.same)
	return nil
}

func (c *cloud) Adjust(_ context.Context, _ string, change Change) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.changes = append(c.mu.changes, change)
	return nil
}

func (c *cloud) put(ids ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		c.mu.resources = append(c.mu.resources, Resource{Service: "ec2", Kind: "vpc", ID: id, Cluster: "demo"})
	}
}

func newFleet(t *testing.T, c *cloud, o Options) *Fleet {
	t.Helper()
	o.Terraform = fleettest.Program(t)
	f, err := Open(t.TempDir(), "demo", modules, c, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func plain() Request {
	return Request{Provider: "mem", Region: "us-east-1", Owner: "ann", Workers: 4, Spot: 0.7, TTL: time.Hour}
}

func mustPlan(t *testing.T, f *Fleet, r Request) Plan {
	t.Helper()
	p, err := f.Plan(t.Context(), r, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustApply(t *testing.T, f *Fleet, p Plan) []Event {
	t.Helper()
	var told []Event
	if err := f.Apply(t.Context(), p, func(e Event) { told = append(told, e) }); err != nil {
		t.Fatal(err)
	}
	return told
}

func TestFleetComesChangesAndGoes(t *testing.T) {
	c := &cloud{}
	f := newFleet(t, c, Options{})
	p := mustPlan(t, f, plain())
	if p.Count(Create) != 4 || p.Empty() {
		t.Errorf("the plan is %+v", p)
	}
	told := mustApply(t, f, p)
	if last := told[len(told)-1]; last.Type != "machines" || last.Kind != Finished {
		t.Errorf("machines are not the last: %+v", last)
	}
	if done := told[len(told)-3]; done.Done != 4 || done.Total != 4 {
		t.Errorf("4 of 4 were not counted: %+v", done)
	}
	out, err := f.Outputs(t.Context())
	if err != nil || out.Bucket != "b" || !out.ExpiresAt.Equal(p.ExpiresAt) ||
		!slices.Equal(out.Servers, []string{"127.0.0.1"}) {
		t.Errorf("outputs are %+v, %v", out, err)
	}
	until := time.Now().Add(3 * time.Hour)
	if err := f.Extend(t.Context(), until); err != nil {
		t.Fatal(err)
	}
	if err := f.Scale(t.Context(), 2, Limits{}); err != nil {
		t.Fatal(err)
	}
	if got := mustPlan(t, f, plain()).ExpiresAt; !got.Equal(until.UTC().Truncate(time.Minute)) {
		t.Errorf("a second deploy moves the deadline to %v", got)
	}
	all, err := List(filepath.Join(f.dir, "../.."))
	if err != nil || len(all) != 1 || all[0].Phase != Deployed || all[0].Request.Workers != 2 {
		t.Errorf("listed are %+v, %v", all, err)
	}
	if err := f.Destroy(t.Context(), false, nil); err != nil {
		t.Fatal(err)
	}
	rec, err := f.Record()
	if err != nil || rec.Phase != Gone || rec.Ended.IsZero() || rec.Cost(time.Now()).Hourly != 0 {
		t.Errorf("afterwards it is %+v, %v", rec, err)
	}
	if out, err := f.Outputs(t.Context()); errs.KindOf(err) != errs.NotFound {
		t.Errorf("afterwards it has the outputs %+v, %v", out, err)
	}
}

func TestAppliedIsThePlanThatWasShown(t *testing.T) {
	f := newFleet(t, &cloud{}, Options{})
	shown := mustPlan(t, f, plain())
	other := plain()
	other.Workers = 9
	mustPlan(t, f, other)
	if err := f.Apply(t.Context(), shown, nil); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a plan that was made over is applied: %v", err)
	}
}

func TestLeftoversAreRemovedFirstAndLast(t *testing.T) {
	c := &cloud{}
	f := newFleet(t, c, Options{})
	c.put("vpc-lost")
	p := mustPlan(t, f, plain())
	if len(p.Leftovers) != 1 {
		t.Fatalf("the plan has leftovers %v", p.Leftovers)
	}
	c.put("vpc-young") // made since: not this plan's to remove
	if first := mustApply(t, f, p)[0]; first.Address != "ec2 vpc vpc-lost" || first.Action != Delete {
		t.Errorf("the first event is %+v", first)
	}
	if left, _ := c.Scan(t.Context(), "demo"); len(left) != 1 || left[0].ID != "vpc-young" {
		t.Errorf("left are %v", left)
	}
	if err := f.Destroy(t.Context(), false, nil); err != nil {
		t.Fatal(err)
	}
	if left, _ := f.Leftovers(t.Context()); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}

func TestDataStaysUnlessPurged(t *testing.T) {
	for _, purge := range []bool{false, true} {
		c := &cloud{}
		c.mu.resources = []Resource{{Service: "s3", Kind: "bucket", ID: "b", Data: true}}
		f := newFleet(t, c, Options{})
		mustApply(t, f, mustPlan(t, f, plain()))
		if err := f.Destroy(t.Context(), purge, nil); err != nil {
			t.Fatal(err)
		}
		if left, _ := c.Scan(t.Context(), ""); (len(left) == 0) != purge {
			t.Errorf("purge %v leaves %v", purge, left)
		}
	}
}

func TestWhatCannotBeRemovedIsSaid(t *testing.T) {
	c := &cloud{}
	f := newFleet(t, c, Options{})
	c.put("vpc-1")
	c.mu.stuck = map[string]error{"vpc-1": errs.Errorf("ec2.DeleteVpc", errs.Permission, nil, "UnauthorizedOperation")}
	err := f.Destroy(t.Context(), false, nil)
	if errs.KindOf(err) != errs.Permission || !strings.Contains(err.Error(), "vpc-1") {
		t.Errorf("got %v", err)
	}
	if rec, _ := f.Record(); rec.Phase != Ending {
		t.Errorf("the fleet is %s", rec.Phase)
	}
	c.mu.stuck = nil
	if err := f.Destroy(t.Context(), false, nil); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

func TestNobodyHasHeardOfIt(t *testing.T) {
	f := newFleet(t, &cloud{}, Options{})
	if err := f.Destroy(t.Context(), false, nil); errs.KindOf(err) != errs.NotFound {
		t.Errorf("got %v", err)
	}
	if left, err := f.Leftovers(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("it has left %v, %v", left, err)
	}
}

func TestOneAtATime(t *testing.T) {
	f := newFleet(t, &cloud{}, Options{})
	p := mustPlan(t, f, plain())
	var during error
	err := f.Apply(t.Context(), p, func(Event) {
		if during == nil {
			during = f.Destroy(t.Context(), false, nil)
		}
	})
	var refusal *Refusal
	if err != nil || !errors.As(during, &refusal) || refusal.Rule != RuleLocked {
		t.Errorf("apply: %v; destroy during it: %v", err, during)
	}
	if !strings.Contains(during.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("%v does not say who", during)
	}
}

func TestInterruptedApplyGoesOn(t *testing.T) {
	f := newFleet(t, &cloud{}, Options{})
	ctx, interrupt := context.WithCancel(t.Context())
	err := f.Apply(ctx, mustPlan(t, f, plain()), func(Event) { interrupt() })
	if err != nil && errs.KindOf(err) != errs.Canceled { // four resources in no time: it may have been faster
		t.Errorf("got %v", err)
	}
	mustApply(t, f, mustPlan(t, f, plain()))
	// Killed when all was made, and nobody had noted it yet.
	if err := f.update(func(r *Record) { r.Phase, r.Outputs = Applying, nil }); err != nil {
		t.Fatal(err)
	}
	rest := mustPlan(t, f, plain())
	if rest.Starts = 0; len(rest.Changes) > 0 || rest.Empty() { // this cloud has no machines
		t.Errorf("what was cut off at its end is to go on with %+v", rest)
	}
	mustApply(t, f, rest)
	if p := mustPlan(t, f, plain()); p.Resumes {
		t.Errorf("what is done is to go on with %+v", p)
	}
}

func TestInterruptedIsNotFailed(t *testing.T) {
	f := newFleet(t, &cloud{}, Options{})
	mustApply(t, f, mustPlan(t, f, plain()))
	op, err := f.begin(t.Context(), "a test")
	if err != nil {
		t.Fatal(err)
	}
	defer op.end()
	w, err := f.open(t.Context(), op, Setup{Root: "mem"})
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := w.outputs(ended); errs.KindOf(err) != errs.Canceled {
		t.Errorf("the outputs: %v", err)
	}
	if _, err := find(ended, f.options, t.TempDir()); errs.KindOf(err) != errs.Canceled {
		t.Errorf("Terraform's version: %v", err)
	}
}

func TestLocksAreBrokenOnlyWhenTheirHolderIsGone(t *testing.T) {
	now := time.Now()
	mine := whoAmI()
	killed := &note{Verb: "a deploy", Who: mine, Started: now}
	tests := []struct {
		name   string
		killed *note
		lock   stateLock
		want   bool
	}{
		{"of the operation that was killed", killed, stateLock{Who: mine, Created: now.Add(time.Minute)}, true},
		{"older than that", killed, stateLock{Who: mine, Created: now.Add(-time.Minute)}, false},
		{"taken since", killed, stateLock{Who: mine, Created: now.Add(3 * time.Minute)}, false},
		{"of another host", killed, stateLock{Who: "bob@elsewhere", Created: now.Add(time.Minute)}, false},
		{"nothing was killed here", nil, stateLock{Who: mine, Created: now.Add(time.Minute)}, false},
		{"of unknown age", killed, stateLock{Who: mine}, false},
	}
	for _, test := range tests {
		o := &operation{killed: test.killed, began: now.Add(2 * time.Minute)}
		if got := o.mayBreak(test.lock); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestKilledOperationIsRememberedUntilItsLockIsGone(t *testing.T) {
	f := newFleet(t, &cloud{}, Options{})
	dead, err := f.begin(t.Context(), "a deploy")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.lock.Close() // as the kernel does for a process that was killed
	for range 2 {
		next, err := f.begin(t.Context(), "a plan")
		if err != nil || next.killed == nil || next.killed.Verb == "" {
			t.Fatalf("the next operation knows %+v, %v", next, err)
		}
		next.end()
	}
	next, err := f.begin(t.Context(), "a plan")
	if err != nil {
		t.Fatal(err)
	}
	next.settled = true
	next.end()
	if last, err := f.begin(t.Context(), "a plan"); err != nil || last.killed != nil {
		t.Errorf("afterwards: %+v, %v", last, err)
	}
}

func TestLockIsRead(t *testing.T) {
	d := tfjson.Diagnostic{Summary: lockSummary, Detail: "Error message: PreconditionFailed\nLock Info:\n" +
		"  ID:        4b3f\n  Path:      state/demo\n  Operation: OperationTypeApply\n  Who:       ann@laptop\n" +
		"  Version:   1.11.4\n  Created:   2026-11-21 10:00:00.123456789 +0000 UTC\n  Info:      \n\n\nTerraform acquires"}
	got, ok := parseLock(d)
	want := stateLock{ID: "4b3f", Who: "ann@laptop", Created: time.Date(2026, 11, 21, 10, 0, 0, 123456789, time.UTC)}
	if !ok || got.ID != want.ID || got.Who != want.Who || !got.Created.Equal(want.Created) {
		t.Errorf("got %+v, %v", got, ok)
	}
	if _, ok := parseLock(tfjson.Diagnostic{Summary: "Something else"}); ok {
		t.Error("not every error is a lock")
	}
}

func TestProgressIsRead(t *testing.T) {
	const stream = `Some provider's noise
{"@level":"info","@message":"Terraform 1.11.4","type":"version"}
{"type":"apply_start","hook":{"resource":{"addr":"a.b","resource_type":"a"},"action":"create"}}
{"type":"apply_progress","hook":{"resource":{"addr":"a.b","resource_type":"a"},"action":"create","elapsed_seconds":10}}
{"type":"apply_complete","hook":{"resource":{"addr":"a.b","resource_type":"a"},"action":"create","elapsed_seconds":12}}
{"type":"apply_errored","hook":{"resource":{"addr":"a.c","resource_type":"a"},"action":"create"}}
{"type":"diagnostic","diagnostic":{"severity":"warning","summary":"Argument is deprecated"}}
{"type":"diagnostic","diagnostic":{"severity":"error","summary":"creating VPC","detail":"api error VpcLimitExceeded: no","address":"a.c"}}
`
	var told []Event
	p := progress{total: 2, tell: func(e Event) { told = append(told, e) }}
	if err := p.read(strings.NewReader(stream + strings.Repeat("x", longestMessage) + "\nrest")); err == nil {
		t.Error("a line without end is read")
	}
	want := []Event{
		{Kind: Started, Action: Create, Address: "a.b", Type: "a", Total: 2},
		{Kind: Going, Action: Create, Address: "a.b", Type: "a", Elapsed: 10 * time.Second, Total: 2},
		{Kind: Finished, Action: Create, Address: "a.b", Type: "a", Elapsed: 12 * time.Second, Done: 1, Total: 2},
		{Kind: Broken, Action: Create, Address: "a.c", Type: "a", Done: 1, Total: 2},
		{Kind: Problem, Address: "a.c", Message: "creating VPC", Done: 1, Total: 2},
	}
	if !slices.Equal(told, want) {
		t.Errorf("told\n%+v, want\n%+v", told, want)
	}
	if err := p.failure(); errs.KindOf(err) != errs.Exhausted || !strings.Contains(err.Error(), "VpcLimitExceeded") {
		t.Errorf("the failure is %v", err)
	}
}

// TestWordsOfClouds gives kinds to what people may meet.
func TestWordsOfClouds(t *testing.T) {
	for text, want := range map[string]errs.Kind{
		"Error releasing the state lock: NoSuchKey":      errs.Fenced, // the fleet was removed while it was looked at
		"api error UnauthorizedOperation: not for you":   errs.Permission,
		"api error VcpuLimitExceeded":                    errs.Exhausted,
		"api error Throttling: Rate exceeded":            errs.Unavailable,
		"api error InvalidParameterValue: no such thing": errs.Other,
	} {
		if got := KindOf(text); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestMissingTerraformIsSaidWithWhereToGetIt(t *testing.T) {
	site := httptest.NewServer(http.NotFoundHandler())
	defer site.Close()
	t.Setenv("PATH", t.TempDir())
	bin := t.TempDir()
	half := filepath.Join(bin, "fetching", "terraform") // of a run that was killed
	if err := errors.Join(os.Mkdir(filepath.Dir(half), 0o700), os.WriteFile(half, nil, 0o700)); err != nil {
		t.Fatal(err)
	}
	_, err := find(t.Context(), Options{Releases: site.URL}, bin)
	if errs.KindOf(err) != errs.Unavailable || !strings.Contains(err.Error(), "no Terraform on PATH") ||
		!strings.Contains(err.Error(), "https://developer.hashicorp.com/terraform/install") {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(bin); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestOldTerraformIsRefused(t *testing.T) {
	old := filepath.Join(t.TempDir(), "terraform")
	script := "#!/bin/sh\necho '{\"terraform_version\": \"1.5.7\", \"provider_selections\": {}}'\n"
	if err := os.WriteFile(old, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := find(t.Context(), Options{Terraform: old}, t.TempDir())
	if errs.KindOf(err) != errs.Unsupported || !strings.Contains(err.Error(), "1.5.7") {
		t.Errorf("got %v", err)
	}
}

// TestRootsKeepTheContract looks whether what roots put out is what Outputs takes in.
func TestRootsKeepTheContract(t *testing.T) {
	data, err := json.Marshal(Outputs{})
	if err != nil {
		t.Fatal(err)
	}
	var known map[string]any
	if err := json.Unmarshal(data, &known); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../terraform/roots/*/outputs.tf")
	if err != nil || len(files) < 2 {
		t.Fatalf("the roots are %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`(?m)^output "(\w+)"`).FindAllSubmatch(text, -1) {
			if _, ok := known[string(found[1])]; !ok {
				t.Errorf("%s: nobody takes %s", file, found[1])
			}
		}
		for _, must := range []string{"cluster", "bucket", "expires_at", "server_group", "worker_group", "secrets_path",
			"ca"} {
			if !strings.Contains(string(text), `output "`+must+`"`) {
				t.Errorf("%s does not say %s", file, must)
			}
		}
	}
}
