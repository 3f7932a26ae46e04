package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/terraform-exec/tfexec"
	tfjson "github.com/hashicorp/terraform-json"

	"github.com/seed3322913c/runner/infra/errs"
)

// Plan works out what would have to be done for the fleet to be as r says, and saves it. It changes nothing, but for
// the place of the state, which it makes where there is none. It fails with a Refusal if limits are exceeded.
//
// The deadline of a fleet that is there stays unless r asks for another TTL than before; Extend moves it.
func (f *Fleet) Plan(ctx context.Context, r Request, l Limits) (Plan, error) {
	return f.planFor(ctx, r, l, false)
}

// planFor is Plan, for all of the fleet or only for what wakes its machines.
func (f *Fleet) planFor(ctx context.Context, r Request, l Limits, onlyWakes bool) (Plan, error) {
	r = r.Defaults()
	r.Name = f.name
	if err := r.Validate(); err != nil {
		return Plan{}, err
	}
	op, err := f.begin(ctx, "a plan")
	if err != nil {
		return Plan{}, err
	}
	defer op.end()
	rec, err := f.Record()
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return Plan{}, err
	}
	wakes := r.Wakes
	if onlyWakes {
		if err := f.changeable(rec); err != nil {
			return Plan{}, err
		}
		r = rec.Request // as it is by now
	}
	if r.Wakes = wakes; wakes == nil && rec.Phase != Gone {
		r.Wakes = rec.Request.Wakes
	}
	adopted := false
	if f.options.NewSecrets != nil && !onlyWakes {
		if adopted, err = f.agreeSecrets(ctx, &r); err != nil {
			return Plan{}, err
		}
	}
	r.ExpiresAt, r.RunID = f.deadline(rec, r), runID(rec, r)
	if r.Sums, err = sums(r.Binaries); err != nil {
		return Plan{}, err
	}
	setup, err := f.provider.Setup(ctx, r)
	if err != nil {
		return Plan{}, err
	}
	if !onlyWakes {
		setup.Wakes = nil
	}
	p := f.describe(r, setup)
	p.Resumes, p.Adopted = rec.Phase == Applying, adopted
	was := rec.Request
	p.Rebounds = was.Min != r.Min || was.Max != r.Max || was.Cooldown != r.Cooldown
	if err := l.check(p); err != nil {
		return Plan{}, err // before Terraform is troubled
	}
	if err := f.detail(ctx, op, setup, &p); err != nil {
		return Plan{}, err
	}
	if err := l.check(p); err != nil {
		return Plan{}, err
	}
	return p, f.save(r, setup, &p)
}

// PlanDestroy works out what would have to be removed, and saves it. The data stays unless purge is true. If there is
// nothing, and nobody here has heard of the fleet, it fails with errs.NotFound.
func (f *Fleet) PlanDestroy(ctx context.Context, purge bool) (Plan, error) {
	op, err := f.begin(ctx, "a plan")
	if err != nil {
		return Plan{}, err
	}
	defer op.end()
	return f.planDestroy(ctx, op, purge)
}

func (f *Fleet) planDestroy(ctx context.Context, op *operation, purge bool) (Plan, error) {
	r, err := f.known()
	if err != nil {
		return Plan{}, err
	}
	setup, err := f.provider.Setup(ctx, r)
	if err != nil {
		return Plan{}, err
	}
	p := f.describe(r, setup)
	p.Groups, p.Hourly, p.HourlyMost, p.Total, p.Destroys, p.Purges = nil, 0, 0, 0, true, purge
	if err := f.detail(ctx, op, setup, &p); err != nil {
		return Plan{}, err
	}
	if err := (Limits{}).check(p); err != nil {
		return Plan{}, err
	}
	if _, err := f.Record(); err != nil && p.Empty() {
		return Plan{}, err // nobody has heard of such a fleet
	}
	return p, f.save(r, setup, &p)
}

// known is the request of the fleet as it is, or one that will do to remove a fleet of which only the name is known.
func (f *Fleet) known() (Request, error) {
	rec, err := f.Record()
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return Request{}, err
	}
	r := rec.Request.Defaults()
	r.Name = f.name
	if r.ExpiresAt.IsZero() {
		r.ExpiresAt = f.options.Now().Add(r.TTL).Truncate(time.Minute)
	}
	if r.Owner == "" {
		r.Owner = "unknown"
	}
	if len(r.Binaries) == 0 {
		r.Binaries = map[string]string{"runner": ""}
	}
	return r, nil
}

// sums returns the SHA-256 of files by their names.
func sums(files map[string]string) (map[string]string, error) {
	all := map[string]string{}
	for name, path := range files {
		file, err := os.Open(path)
		if err != nil {
			return nil, errs.E("", errs.Invalid, nil, fmt.Errorf("%s, which machines need, can't be read: %w", name, err))
		}
		sum := sha256.New()
		_, err = io.Copy(sum, file)
		_ = file.Close() // of a file that was only read
		if err != nil {
			return nil, errs.E("fleet.sums", errs.Other, path, err)
		}
		all[name] = hex.EncodeToString(sum.Sum(nil))
	}
	return all, nil
}

// deadline is when the fleet of a request ends, of which rec is known.
func (f *Fleet) deadline(rec Record, r Request) time.Time {
	alive := rec.Phase == Applying || rec.Phase == Deployed
	if alive && rec.ExpiresAt.After(f.options.Now()) && rec.Request.TTL == r.TTL {
		return rec.ExpiresAt
	}
	return f.options.Now().UTC().Add(r.TTL + time.Minute - 1).Truncate(time.Minute)
}

// runID is that of the fleet of which rec is known. Of another one it is made of who vouches for its servers, who is
// the same for all that deploy it, and another in the next fleet of the name.
func runID(rec Record, r Request) string {
	if rec.Phase != Gone && rec.Request.RunID != "" {
		return rec.Request.RunID
	}
	sum := sha256.Sum256([]byte(r.CA))
	return hex.EncodeToString(sum[:5])
}

// detail is the part of a plan that needs Terraform and the provider.
func (f *Fleet) detail(ctx context.Context, op *operation, setup Setup, p *Plan) error {
	// Before Terraform, which then knows what has been made by now, or is refused since somebody is at it: what others make
	// from now on is no leftover.
	found, err := f.provider.Scan(ctx, f.name)
	if err != nil {
		return err
	}
	w, err := f.open(ctx, op, setup)
	if err != nil {
		return err
	}
	options := []tfexec.PlanOption{tfexec.Destroy(p.Destroys)}
	targets := setup.Wakes
	if p.Destroys {
		targets = setup.Targets
	}
	for _, target := range targets {
		options = append(options, tfexec.Target(target))
	}
	plan, err := w.plan(ctx, options...)
	if err != nil {
		return err
	}
	p.Changes = changes(plan)
	p.Leftovers, err = f.still(ctx, leftovers(found, inState(plan.PriorState), p.Purges))
	if err != nil || p.Destroys {
		return err
	}
	machines, err := f.provider.Machines(ctx, f.name)
	for _, g := range p.Groups {
		has := count(machines, g.Role)
		more := min(max(has, g.Count), max(g.Count, g.Most)) - has
		p.Starts += max(0, more)
		p.Stops += max(0, -more)
	}
	return err
}

// count returns how many machines of a role are there to stay.
func count(machines []Machine, role Role) int {
	n := 0
	for _, m := range machines {
		if m.Role == role && (m.State == "pending" || m.State == "running") {
			n++
		}
	}
	return n
}

// changes are the plan's changes of resources; what is only read is left out.
func changes(plan *tfjson.Plan) []ResourceChange {
	var all []ResourceChange
	for _, c := range plan.ResourceChanges {
		if c.Mode != tfjson.ManagedResourceMode {
			continue
		}
		one := ResourceChange{Address: c.Address, Type: c.Type}
		switch a := c.Change.Actions; {
		case a.Replace():
			one.Action = Replace
		case a.Create():
			one.Action = Create
		case a.Delete():
			one.Action = Delete
		case a.Update():
			one.Action = Update
		}
		if c.Change.Importing != nil && one.Action != Replace {
			one.Action = Import
		}
		if one.Action != "" {
			all = append(all, one)
		}
	}
	return all
}

// taintedBuckets returns the addresses of buckets that a plan would replace only because their making was interrupted.
func taintedBuckets(plan *tfjson.Plan) []string {
	var all []string
	for _, c := range plan.ResourceChanges {
		if c.Type == bucketType && c.Change.Actions.Replace() && c.ActionReason == tfjson.ActionReasonReplaceBecauseTainted {
			all = append(all, c.Address)
		}
	}
	return all
}

// inState returns all names by which a state knows its resources.
func inState(s *tfjson.State) map[string]bool {
	known := map[string]bool{}
	var visit func(*tfjson.StateModule)
	visit = func(m *tfjson.StateModule) {
		if m == nil {
			return
		}
		for _, r := range m.Resources {
			addNames(known, r.AttributeValues)
		}
		for _, child := range m.ChildModules {
			visit(child)
		}
	}
	if s != nil && s.Values != nil {
		visit(s.Values.RootModule)
	}
	return known
}

// addNames adds the names that a resource has by its attributes.
func addNames(known map[string]bool, attributes map[string]any) {
	for _, key := range []string{"id", "name", "arn"} {
		if text, ok := attributes[key].(string); ok {
			known[text] = true
		}
	}
}

// leftovers are the resources of a scan that no state knows. Machines of a group are no leftovers while their group is
// known, and data is one only if it is to be removed.
func leftovers(found []Resource, known map[string]bool, purge bool) []Resource {
	return slices.DeleteFunc(slices.Clone(found), func(r Resource) bool {
		return known[r.ID] || r.Part || r.Data && !purge
	})
}

// save makes the plan the one that Apply will apply.
func (f *Fleet) save(r Request, s Setup, p *Plan) error {
	var err error
	if p.ID, err = f.planID(s); err != nil {
		return errs.E("fleet.save", errs.Other, f.name, err)
	}
	return writeJSON(filepath.Join(f.dir, pendingFile), pending{Request: r, Setup: s, Plan: *p})
}

// planID is the ID of what Terraform has planned last.
func (f *Fleet) planID(s Setup) (string, error) {
	data, err := os.ReadFile(filepath.Join(f.dir, workDir, "roots", s.Root, planFile))
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8]), err
}

// pending is a plan with all that applying it needs.
type pending struct {
	Request Request `json:"request"`
	Setup   Setup   `json:"setup"`
	Plan    Plan    `json:"plan"`
}

const pendingFile = "plan.json"

// Apply does what the plan says, and tells events as it goes, from one goroutine at a time; tell must not block, and
// may be nil. It fails with errs.Invalid if the plan is not the last one, or the world has moved on since.
//
// When ctx ends, what is under way is finished, the state saved and the lock released; the error is of kind Canceled.
// After that, after any failure and after SIGKILL, the same Plan and Apply again take it from there, or Destroy removes
// what was made.
func (f *Fleet) Apply(ctx context.Context, p Plan, tell func(Event)) error {
	if tell == nil {
		tell = func(Event) {}
	}
	verb := "a deploy"
	if p.Destroys {
		verb = "a teardown"
	}
	op, err := f.begin(ctx, verb)
	if err != nil {
		return err
	}
	defer op.end()
	saved, err := f.pending(p)
	if err != nil {
		return err
	}
	w, err := f.open(ctx, op, saved.Setup)
	if err != nil {
		return err
	}
	if p.Destroys {
		return f.destroy(ctx, w, saved, tell)
	}
	return f.deploy(ctx, w, saved, tell)
}

// pending is what was saved of a plan, if Terraform would apply that one: whoever has made another since was perhaps
// cut off before it was saved.
func (f *Fleet) pending(p Plan) (pending, error) {
	var saved pending
	found, err := readJSON(filepath.Join(f.dir, pendingFile), &saved)
	if err != nil {
		return saved, err
	}
	id, err := f.planID(saved.Setup)
	if !found || saved.Plan.ID != p.ID || err != nil || id != p.ID {
		return saved, invalid("the plan of %s was made over, or applied already; make a new one", f.name)
	}
	return saved, nil
}

// outdate forgets a plan that knows nothing of a change that is about to be made. What removes all minds no change.
func (f *Fleet) outdate() error {
	var saved pending
	file := filepath.Join(f.dir, pendingFile)
	found, err := readJSON(file, &saved)
	if err != nil || !found || saved.Plan.Destroys {
		return err
	}
	if err := os.Remove(file); err != nil {
		return errs.E("fleet.outdate", errs.Other, f.name, err)
	}
	return nil
}

func (f *Fleet) deploy(ctx context.Context, w *workspace, saved pending, tell func(Event)) error {
	p := saved.Plan
	err := f.update(func(r *Record) {
		if r.Phase != Applying && r.Phase != Deployed {
			*r = Record{Deployed: f.options.Now().UTC()}
		}
		r.Request, r.Phase, r.ExpiresAt, r.Plan = saved.Request, Applying, p.ExpiresAt, &p
		r.Account, r.Bucket = p.Account, p.Bucket
	})
	if err != nil {
		return err
	}
	if err := f.clear(ctx, func() ([]Resource, error) { return f.still(ctx, p.Leftovers) }, tell); err != nil {
		return f.halfMade(err)
	}
	if err := w.apply(ctx, len(p.Changes), tell); err != nil {
		return f.halfMade(err)
	}
	if err := f.start(ctx, saved.Request, tell); err != nil {
		return f.halfMade(err)
	}
	out, err := w.outputs(ctx)
	if err != nil {
		return f.halfMade(err)
	}
	if err := os.Remove(filepath.Join(f.dir, pendingFile)); err != nil {
		return errs.E("fleet.Apply", errs.Other, f.name, err)
	}
	return f.update(func(r *Record) { r.Phase, r.Outputs = Deployed, &out })
}

// start sets the numbers of machines, now that all else is there.
func (f *Fleet) start(ctx context.Context, r Request, tell func(Event)) error {
	machines, err := f.provider.Machines(ctx, f.name)
	if err != nil {
		return err
	}
	workers := r.size(count(machines, Worker))
	e := Event{Kind: Started, Action: Update, Address: fmt.Sprintf("%d servers and %d workers", r.Servers, workers),
		Type: "machines"}
	tell(e)
	if err := f.provider.Adjust(ctx, f.name, resized(r, workers)); err != nil {
		return err
	}
	e.Kind = Finished
	tell(e)
	return nil
}

// halfMade adds to an error what can be done about what was made before it.
func (f *Fleet) halfMade(err error) error {
	return errs.E("", errs.KindOf(err), nil, &HalfMade{f.name, err})
}

// Outputs returns what the root module said about the fleet when it was deployed, or errs.NotFound before that and when
// it is gone.
func (f *Fleet) Outputs(context.Context) (Outputs, error) {
	rec, err := f.Record()
	if err == nil && (rec.Outputs == nil || rec.Phase == Gone) {
		err = errs.E("", errs.NotFound, nil, fmt.Errorf("%s is %s; it is not deployed", f.name, rec.Phase))
	}
	if err != nil {
		return Outputs{}, err
	}
	o := *rec.Outputs
	o.ExpiresAt = rec.ExpiresAt // which may have been extended since
	return o, nil
}

// Machines returns the machines that exist now.
func (f *Fleet) Machines(ctx context.Context) ([]Machine, error) {
	return f.provider.Machines(ctx, f.name)
}
