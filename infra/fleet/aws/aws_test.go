package aws

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-exec/tfexec"
	tfjson "github.com/hashicorp/terraform-json"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/infra/fleet/fleettest"
)

// modules is where the configuration lies that the program embeds.
const modules = "../../../terraform"

// rig is a cloud, and a home folder with several fleets in it, each a test's own.
type rig struct {
	cloud     *fleettest.Cloud
	home      string
	terraform string
	provider  *Provider
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{terraform: fleettest.Terraform(t), cloud: fleettest.Start(t), home: t.TempDir()}
	if err := os.WriteFile(r.program(), []byte("a program"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.provider = newProvider(t)
	return r
}

func newProvider(t testing.TB) *Provider {
	t.Helper()
	p, err := New(t.Context(), fleettest.Region)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (r *rig) program() string { return filepath.Join(r.home, "program") }

func (r *rig) fleet(t testing.TB, name string) *fleet.Fleet {
	t.Helper()
	secrets := map[string]string{"server/ca-key": theSecret, "node/gossip": theSecret, fleet.SecretCA: "a certificate"}
	f, err := fleet.Open(r.home, name, os.DirFS(modules), r.provider, fleet.Options{Terraform: r.terraform,
		NewSecrets: func() (map[string]string, error) { return secrets, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// theSecret must be nowhere but in the cloud's store of secrets and the fleet's file of them.
const theSecret = "b7c1-never-to-be-seen"

func wanted(program string) fleet.Request {
	return fleet.Request{Provider: "aws", Region: fleettest.Region, Owner: "ann@example.com", Workers: 4, Spot: 0.7,
		TTL: time.Hour, Idle: 10 * time.Minute, AllowFrom: []string{"203.0.113.7/32"},
		Binaries: map[string]string{"runner": program}}
}

func (r *rig) plan(t testing.TB, f *fleet.Fleet) fleet.Plan {
	t.Helper()
	p, err := f.Plan(t.Context(), wanted(r.program()), fleet.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// gone destroys a fleet, its data too, and checks that a scan finds nothing of it.
func (r *rig) gone(t testing.TB, f *fleet.Fleet, name string) {
	t.Helper()
	if err := f.Destroy(t.Context(), true, nil); err != nil {
		t.Fatal(err)
	}
	if found := r.scan(t, name); len(found) > 0 {
		t.Errorf("%d resources of %s are left: %v", len(found), name, found)
	}
}

func (r *rig) scan(t testing.TB, name string) []fleet.Resource {
	t.Helper()
	found, err := r.provider.Scan(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestCloud is what fleets go through on a cloud; the shorter of the two is for short runs, which are those with the
// race detector. How they are cut off is tested with the program.
func TestCloud(t *testing.T) {
	r := newRig(t)
	if testing.Short() {
		t.Run("denied", r.denied)
		return
	}
	t.Run("life", r.life)
}

// life is a fleet's whole life.
func (r *rig) life(t *testing.T) {
	const name = "demo"
	f := r.fleet(t, name)
	begun := time.Now()
	p := r.plan(t, f)
	planned := time.Since(begun)
	checkHardening(t, r.planned(t, name))

	var told []fleet.Event
	var locked error
	begun = time.Now()
	err := f.Apply(t.Context(), p, func(e fleet.Event) {
		if len(told) == 0 {
			_, locked = f.Plan(t.Context(), wanted(r.program()), fleet.Limits{})
		}
		told = append(told, e)
	})
	if err != nil {
		t.Fatal(err)
	}
	applied := time.Since(begun)
	if wantRule(locked) != fleet.RuleLocked {
		t.Errorf("a second deploy at the same time: %v", locked)
	}
	checkOrder(t, told)
	r.checkMachines(t, f, 3, 4)
	r.checkSecrets(t, name)
	r.checkSecondPlan(t, f)
	r.changes(t, f, name)
	r.fires(t, f, name)
	r.wakes(t, f, name)

	r.removeByHand(t, name)
	begun = time.Now()
	if err := f.Destroy(t.Context(), false, nil); err != nil {
		t.Fatal(err)
	}
	t.Logf("plan %v, apply %v, teardown %v", planned, applied, time.Since(begun))
	if left := r.scan(t, name); len(left) != 1 || left[0].ID != p.Bucket {
		t.Errorf("left are %v, want the bucket %s alone", left, p.Bucket)
	}
	if p = r.plan(t, f); p.Count(fleet.Import) != 1 {
		t.Errorf("the next fleet takes over %d buckets, want 1", p.Count(fleet.Import))
	}
	r.gone(t, f, name)
}

func wantRule(err error) fleet.Rule {
	var refusal *fleet.Refusal
	errors.As(err, &refusal)
	if refusal == nil {
		return 0
	}
	return refusal.Rule
}

// checkOrder looks whether the dead-man switch was there before the first machine.
func checkOrder(t *testing.T, told []fleet.Event) {
	t.Helper()
	armed := 0
	for _, e := range told {
		switch {
		case e.Type == "aws_scheduler_schedule" && e.Kind == fleet.Finished:
			armed++
		case e.Type == "machines" && e.Kind == fleet.Started:
			if armed != 2 {
				t.Errorf("machines are started when %d of 2 switches are armed", armed)
			}
			return
		case e.Type == "aws_instance", e.Type == "aws_autoscaling_group" && e.Kind == fleet.Started && armed != 2:
			t.Errorf("%v comes when %d of 2 switches are armed", e, armed)
		}
	}
	t.Error("no machines were started")
}

func (r *rig) checkMachines(t *testing.T, f *fleet.Fleet, servers, workers int) {
	t.Helper()
	all, err := f.Machines(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	is := map[fleet.Role]int{}
	for _, m := range all {
		is[m.Role]++
		if m.Private == "" || m.ID == "" || m.Started.IsZero() {
			t.Errorf("%+v lacks something", m)
		}
	}
	if is[fleet.Server] != servers || is[fleet.Worker] != workers {
		t.Errorf("there are %v, want %d servers and %d workers", is, servers, workers)
	}
}

// checkSecrets looks for secrets where none may be.
func (r *rig) checkSecrets(t *testing.T, name string) {
	t.Helper()
	state, err := r.tf(t, name).StatePull(t.Context())
	if err != nil || !strings.Contains(state, "aws_ssm_parameter") {
		t.Fatalf("the state: %v", err)
	}
	if strings.Contains(state, theSecret) {
		t.Error("a secret is in the state")
	}
	err = filepath.WalkDir(filepath.Join(r.home, "fleets", name, "work"),
		func(file string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(file)
			if bytes.Contains(data, []byte(theSecret)) {
				t.Errorf("a secret is in %s", file)
			}
			return err
		})
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ Parameter struct{ Type, Value string } }
	in := map[string]any{"Name": "/runner/" + name + "/node/gossip", "WithDecryption": true}
	if err := r.provider.call.json(t.Context(), ssm, "GetParameter", in, &out); err != nil {
		t.Fatal(err)
	}
	if out.Parameter.Type != "SecureString" || out.Parameter.Value != theSecret {
		t.Errorf("machines read %+v", out)
	}
}

// gaps are what moto answers otherwise than it was told, so that a second plan wants to change it again.
var gaps = map[string]string{
	"aws_launch_template":                 "adds tags of its own",
	"aws_autoscaling_group":               "follow the version of their template",
	"aws_autoscaling_lifecycle_hook":      "has a role and a target that nobody set",
	"aws_vpc_security_group_ingress_rule": "forgets the tags of a rule between groups",
}

func (r *rig) checkSecondPlan(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	p := r.plan(t, f)
	for _, c := range p.Changes {
		if gaps[c.Type] == "" || c.Action != fleet.Update {
			t.Errorf("a second plan wants to %s %s", c.Action, c.Address)
		}
	}
	if len(p.Leftovers) > 0 || p.Starts+p.Stops > 0 {
		t.Errorf("a second plan has leftovers %v, starts %d and stops %d", p.Leftovers, p.Starts, p.Stops)
	}
}

// changes extends and scales a running fleet, to nothing and back.
func (r *rig) changes(t *testing.T, f *fleet.Fleet, name string) {
	t.Helper()
	until := time.Now().Add(5 * time.Hour).UTC().Truncate(time.Minute)
	if err := f.Extend(t.Context(), until); err != nil {
		t.Fatal(err)
	}
	var schedule struct{ StartDate float64 }
	path := "/schedules/" + workerGroup(name) + "?groupName=" + scheduleGroup(name)
	if err := r.provider.call.rest(t.Context(), "GET", path, nil, &schedule); err != nil {
		t.Fatal(err)
	}
	if int64(schedule.StartDate) != until.Unix() {
		t.Errorf("the switch fires at %v, want %v", schedule.StartDate, until.Unix())
	}
	for _, workers := range []int{0, 2} {
		if err := f.Scale(t.Context(), workers, fleet.Limits{}); err != nil {
			t.Fatal(err)
		}
		r.checkMachines(t, f, 3, workers)
	}
	if err := f.Scale(t.Context(), 9, fleet.Limits{MaxWorkers: 8}); wantRule(err) != fleet.RuleWorkers {
		t.Errorf("more workers than allowed: %v", err)
	}
}

// fires does what the switches say when their time has come, as the cloud would.
func (r *rig) fires(t *testing.T, f *fleet.Fleet, name string) {
	t.Helper()
	for _, group := range []string{serverGroup(name), workerGroup(name)} {
		r.fire(t, name, group)
	}
	r.checkMachines(t, f, 0, 0)
	for _, one := range r.scan(t, name) {
		if slices.Contains([]string{"instance", "volume", "network-interface", "address", "nat-gateway"}, one.Kind) {
			t.Errorf("%v is paid for after the end", one)
		}
	}
}

// fire does what one of a fleet's schedules says, as the cloud would.
func (r *rig) fire(t *testing.T, name, schedule string) {
	t.Helper()
	var is struct {
		State  string
		Target struct{ Arn, Input string }
	}
	path := "/schedules/" + schedule + "?groupName=" + scheduleGroup(name)
	if err := r.provider.call.rest(t.Context(), "GET", path, nil, &is); err != nil {
		t.Fatal(err)
	}
	if is.State != "ENABLED" || is.Target.Arn != "arn:aws:scheduler:::aws-sdk:autoscaling:updateAutoScalingGroup" {
		t.Fatalf("the schedule %s is %+v", schedule, is)
	}
	var input map[string]any
	if err := json.Unmarshal([]byte(is.Target.Input), &input); err != nil {
		t.Fatal(err)
	}
	params := url.Values{}
	for k, v := range input {
		params.Set(k, fmt.Sprint(v))
	}
	if err := r.provider.call.query(t.Context(), autoscaling, "UpdateAutoScalingGroup", params, nil); err != nil {
		t.Fatal(err)
	}
}

// wakes has the cloud start a fleet that has ended, and takes that back.
func (r *rig) wakes(t *testing.T, f *fleet.Fleet, name string) {
	t.Helper()
	nightly := fleet.Wake{Name: "nightly", Cron: "0 2 * * 1-5", Zone: "Europe/Paris"}
	if err := f.CheckWake(nightly); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a fleet that never sleeps can be woken: %v", err)
	}
	if err := f.Bound(t.Context(), 0, 4, 0, fleet.Limits{}); err != nil {
		t.Fatal(err)
	}
	var calls []string
	err := f.Wake(t.Context(), []fleet.Wake{nightly}, time.Time{}, func(e fleet.Event) {
		call, ok := strings.CutPrefix(e.Address, `module.wake.aws_scheduler_schedule.wake["nightly-`)
		if ok && e.Kind == fleet.Finished {
			calls = append(calls, strings.TrimSuffix(call, `"]`))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if slices.Sort(calls); !slices.Equal(calls, []string{"servers", "workers"}) {
		t.Fatalf("the groups that are woken are %v", calls)
	}
	for _, p := range resources(r.planned(t, name).PlannedValues.RootModule) {
		switch {
		case !strings.HasPrefix(p.address, "module.wake."):
		case p.kind == "aws_iam_role_policy" && !leastPrivilege(p):
			t.Errorf("%s may more than it needs", p.address)
		case p.kind == "aws_scheduler_schedule" && (p.at("schedule_expression") != "cron(0 2 ? * 2,3,4,5,6 *)" ||
			p.at("schedule_expression_timezone") != "Europe/Paris" ||
			fmt.Sprint(p.at("target.0.retry_policy.0.maximum_event_age_in_seconds")) != "600"):
			t.Errorf("%s wakes at %v", p.address, p.values)
		}
	}
	if err := r.provider.Stop(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	r.checkMachines(t, f, 0, 0)
	for _, group := range []string{serverGroup(name), workerGroup(name)} {
		r.fire(t, name, group) // the dead-man switch: no machine may start any more
	}
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(nightly.Name)))
	for _, group := range calls {
		r.fire(t, name, "wake-"+sum[:16]+"-"+group)
	}
	r.checkMachines(t, f, 3, 0)
	if w, err := r.provider.Workers(t.Context(), name); err != nil || w.Size != 0 {
		t.Errorf("control can't have workers again: %+v, %v", w, err)
	}

	// As the servers do that were started so.
	until := time.Now().Add(3 * time.Hour).UTC().Truncate(time.Minute)
	if err := r.provider.Adjust(t.Context(), name, fleet.Change{ExpiresAt: until}); err != nil {
		t.Fatal(err)
	}
	if at, err := r.provider.Deadline(t.Context(), name); err != nil || !at.Equal(until) {
		t.Errorf("the deadline is %v, %v, want %v", at, err, until)
	}

	again := r.plan(t, f) // of somebody who knows nothing of schedules
	if n := again.Count(fleet.Delete); n > 0 {
		t.Errorf("another deploy removes %d things", n)
	}
	if err := f.Wake(t.Context(), nil, time.Time{}, nil); err != nil {
		t.Fatal(err)
	}
	path := "/schedules/wake-" + sum[:16] + "-servers?groupName=" + scheduleGroup(name)
	if err := r.provider.call.rest(t.Context(), "GET", path, nil, nil); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a fleet that nobody wants woken is: %v", err)
	}
}

// tf is Terraform in the workspace of a fleet.
func (r *rig) tf(t *testing.T, name string) *tfexec.Terraform {
	t.Helper()
	tf, err := tfexec.NewTerraform(filepath.Join(r.home, "fleets", name, "work/roots/aws"), r.terraform)
	if err != nil {
		t.Fatal(err)
	}
	return tf
}

// planned is the plan that was saved for a fleet.
func (r *rig) planned(t *testing.T, name string) *tfjson.Plan {
	t.Helper()
	p, err := r.tf(t, name).ShowPlanFile(t.Context(), "saved.tfplan")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// denied deploys without the right to do so, and cleans up what that has left.
func (r *rig) denied(t *testing.T) {
	const name = "denied"
	f := r.fleet(t, name)
	r.cloud.Refuse(fleettest.Refusal{Action: "CreateVpc", Holds: "runner-" + name, Code: "UnauthorizedOperation"})
	err := f.Apply(t.Context(), r.plan(t, f), nil)
	if errs.KindOf(err) != errs.Permission || !strings.Contains(err.Error(), "runner teardown "+name) {
		t.Errorf("got %v, want one sentence that says what to do", err)
	}
	if len(r.scan(t, name)) == 0 {
		t.Error("nothing was made, so nothing is tested")
	}
	r.gone(t, f, name)
}

// removeByHand removes parts of a fleet as somebody in the cloud's console would.
func (r *rig) removeByHand(t *testing.T, name string) {
	t.Helper()
	for _, one := range r.scan(t, name) {
		if one.ID == workerGroup(name) || one.Service == "scheduler" || one.Kind == "vpc-endpoint" || one.Service == "ssm" {
			if err := r.provider.Remove(t.Context(), one); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestWrongCredentialsAreOneSentence(t *testing.T) {
	cloud := fleettest.Start(t)
	cloud.Refuse(fleettest.Refusal{Action: "GetCallerIdentity", Code: "InvalidClientTokenId"})
	_, err := newProvider(t).Setup(t.Context(), fleet.Request{Name: "demo"}.Defaults())
	if errs.KindOf(err) != errs.Permission || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestMissingCredentialsAreOneSentence(t *testing.T) {
	fleettest.Start(t)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, "")
	}
	_, err := newProvider(t).Setup(t.Context(), fleet.Request{Name: "demo"}.Defaults())
	if errs.KindOf(err) != errs.Permission || !strings.Contains(err.Error(), "AWS_PROFILE") {
		t.Errorf("got %v", err)
	}
}
