package mapreduce

import (
	"context"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce/commit"
	"github.com/seed3322913c/runner/mapreduce/split"
	"github.com/seed3322913c/runner/scheduler"
)

// Check finds what is wrong with a job, as far as that can be known, and creates nothing: options and functions,
// missing or unreadable input, an output that exists or cannot be made, input and output in each other. The error is of
// kind Invalid, NotFound, Exist, Permission or Unsupported and its cause is one sentence for people: what, where, what
// to do; or the input could not be looked at, and the error is of another kind.
//
// The engine checks again when it plans, since the world may have changed until then.
func Check(ctx context.Context, job scheduler.Job, resolve store.Resolve) error {
	return CheckBefore(ctx, job, resolve, nil)
}

// CheckBefore is Check while some of the job's inputs, those of which made reports true, are still to be made by other
// jobs. They are looked at when it plans. A nil made is one that reports false.
func CheckBefore(
	ctx context.Context, job scheduler.Job, resolve store.Resolve, made func(input string) bool,
) error {
	_, err := check(ctx, job, resolve, checkOptions{made: made})
	return err
}

// checkOptions say what is not to be looked at.
type checkOptions struct {
	made   func(input string) bool // inputs that are not there yet; nil: none
	hosted bool                    // the functions
}

// checked is what Check has found out.
type checked struct {
	opts Options
	ways []reading
}

func check(ctx context.Context, job scheduler.Job, resolve store.Resolve, o checkOptions) (checked, error) {
	if o.made == nil {
		o.made = func(string) bool { return false }
	}
	opts, err := optionsOf(job)
	if err == nil {
		err = opts.checkPlaces(job)
	}
	if err != nil {
		return checked{}, err
	}
	if !o.hosted {
		if err := (roles{job, opts}).check(ctx); err != nil {
			return checked{}, err
		}
	}
	out, err := commit.New(ctx, job, resolve)
	if err != nil {
		return checked{}, err
	}
	c := checked{opts: opts}
	if c.ways, err = opts.list(ctx, job, resolve, o.made); err != nil {
		return checked{}, err
	}
	for _, way := range c.ways {
		if err := apart(job, way.files); err != nil {
			return checked{}, err
		}
	}
	if err := out.Check(ctx); err != nil {
		return checked{}, err
	}
	return c, nil
}

// apart fails if the next run of the job would read what this one writes, or if this one would replace what it reads.
func apart(job scheduler.Job, files []split.File) error {
	const op = "mapreduce.Check"
	output := strings.TrimRight(job.Output, "/")
	for _, input := range job.Input {
		if split.Selects(input, output+"/"+partName("r", 0)) {
			return errs.Errorf(op, errs.Invalid, nil,
				"the output %s lies inside the input %s, so the next run would read it; choose another output", output, input)
		}
	}
	for _, f := range files {
		if split.Within(f.URI, output) {
			return errs.Errorf(op, errs.Invalid, nil, "the input %s lies inside the output %s; choose another output",
				f.URI, output)
		}
	}
	return nil
}
