package fleet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/infra/errs"
)

// Destroy removes the fleet, its data too if purge is true: PlanDestroy and Apply in one, for who has asked already.
// It also works when the state is lost, or something was removed by hand; a fleet that is gone is success.
func (f *Fleet) Destroy(ctx context.Context, purge bool, tell func(Event)) error {
	p, err := f.PlanDestroy(ctx, purge)
	if err != nil {
		return err
	}
	return f.Apply(ctx, p, tell)
}

// Clear removes those of the resources that are leftovers still, and repeats what something else is in the way of.
// What has become of them since they were found, while a user was asked perhaps, it finds out when nobody else here is
// at work on the fleet: others may have deployed one since whose parts have the same names.
func (f *Fleet) Clear(ctx context.Context, left []Resource, tell func(Event)) error {
	op, err := f.begin(ctx, "a removal")
	if err != nil {
		return err
	}
	defer op.end()
	now, err := f.leftovers(ctx, op)
	if err != nil {
		return err
	}
	left = slices.DeleteFunc(slices.Clone(left), func(r Resource) bool { return !slices.ContainsFunc(now, r.same) })
	return f.clear(ctx, func() ([]Resource, error) { return f.still(ctx, left) }, tell)
}

// Abandon removes what is kept here for a fleet that is not there: the plan and the secrets of one that was never
// begun, or is gone. Of any other it removes nothing.
func (f *Fleet) Abandon(ctx context.Context) error {
	if _, err := os.Stat(f.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	op, err := f.begin(ctx, "a removal")
	if err != nil {
		return err
	}
	defer op.end()
	rec, err := f.Record()
	if errs.KindOf(err) == errs.NotFound || err == nil && rec.Phase == Gone {
		return f.forgetFiles()
	}
	return err
}

func (f *Fleet) destroy(ctx context.Context, w *workspace, saved pending, tell func(Event)) error {
	if err := f.update(func(r *Record) { r.Phase = Ending }); err != nil {
		return err
	}
	p := saved.Plan
	if len(p.Changes) > 0 {
		err := w.apply(ctx, len(p.Changes), tell)
		if kind := errs.KindOf(err); kind == errs.Canceled || kind == errs.Permission || refused(err) {
			return err
		}
		if err != nil {
			// What Terraform can't remove, something it doesn't know of is in the way of. The scan sees both.
			tell(Event{Kind: Note, Message: "Terraform could not remove everything (" + errs.Cause(err) + "); going on by tags"})
		}
	}
	scan := func() ([]Resource, error) {
		found, err := f.provider.Scan(ctx, f.name)
		return slices.DeleteFunc(found, func(r Resource) bool { return r.Data && !p.Purges }), err
	}
	if err := f.clear(ctx, scan, tell); err != nil {
		return err
	}
	return f.forget(ctx, saved.Setup)
}

func refused(err error) bool {
	var r *Refusal
	return errors.As(err, &r)
}

// forget removes what was known of a fleet that is gone, the state last of all: while there is one, a run that was
// killed can go on from it.
func (f *Fleet) forget(ctx context.Context, s Setup) error {
	if err := f.forgetFiles(); err != nil {
		return err
	}
	if keeper, ok := f.provider.(StateKeeper); ok && s.Backend != nil {
		if err := keeper.ForgetState(ctx, s); err != nil {
			return err
		}
	}
	return f.update(func(r *Record) { r.Phase, r.Ended = Gone, f.options.Now().UTC() })
}

func (f *Fleet) forgetFiles() error {
	for _, file := range []string{pendingFile, secretsFile, stateFile, stateFile + ".backup", stateInfo, workDir} {
		if err := os.RemoveAll(filepath.Join(f.dir, file)); err != nil {
			return errs.E("fleet.forget", errs.Other, file, err)
		}
	}
	return nil
}

// still scans again for resources of which it is known that they have to go.
func (f *Fleet) still(ctx context.Context, known []Resource) ([]Resource, error) {
	if len(known) == 0 {
		return nil, nil
	}
	found, err := f.provider.Scan(ctx, f.name)
	return slices.DeleteFunc(found, func(r Resource) bool { return !slices.ContainsFunc(known, r.same) }), err
}

// same reports whether it is the same resource: not another one that has got its name since.
func (r Resource) same(o Resource) bool {
	return r.String() == o.String() && r.Created.Equal(o.Created)
}

// clearTime is how long a removal may be in the way of another one: machines and network interfaces take minutes to go.
const clearTime = 10 * time.Minute

// clear removes what scan finds until it finds nothing.
func (f *Fleet) clear(ctx context.Context, scan func() ([]Resource, error), tell func(Event)) error {
	pauses := backoff.NewExponentialBackOff(backoff.WithInitialInterval(time.Second),
		backoff.WithMaxElapsedTime(clearTime))
	var left []Resource
	err := backoff.Retry(func() (err error) {
		if left, err = scan(); err != nil || len(left) == 0 {
			return permanent(err)
		}
		for _, r := range left {
			if err := f.remove(ctx, r, tell); err != nil && !errs.Retryable(err) {
				return backoff.Permanent(err)
			}
		}
		return errStill
	}, backoff.WithContext(pauses, ctx))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return errs.E("fleet.clear", errs.Canceled, f.name, ctx.Err())
	case errors.Is(err, errStill):
		return refuse(RuleLeftovers, "%d resources of %s could not be removed: %s. `runner teardown %s` tries again",
			len(left),
			f.name, list(left), f.name)
	}
	return err
}

var errStill = errs.E("", errs.Unavailable, nil, errors.New("something is left"))

// permanent ends the tries unless another may help.
func permanent(err error) error {
	if err == nil || errs.Retryable(err) {
		return err
	}
	return backoff.Permanent(err)
}

func (f *Fleet) remove(ctx context.Context, r Resource, tell func(Event)) error {
	e := Event{Kind: Started, Action: Delete, Address: r.String(), Type: r.Kind}
	tell(e)
	err := f.provider.Remove(ctx, r)
	if err != nil {
		e.Kind, e.Message = Broken, errs.Cause(err)
		tell(e)
		return errs.E("", errs.KindOf(err), nil, fmt.Errorf("%s could not be removed: %w", r, err))
	}
	e.Kind = Finished
	tell(e)
	return nil
}

// list names resources, the first few of many.
func list(all []Resource) string {
	const few = 5
	var texts []string
	for _, r := range all[:min(few, len(all))] {
		texts = append(texts, r.String())
	}
	if len(all) > few {
		texts = append(texts, "...")
	}
	return strings.Join(texts, ", ")
}
