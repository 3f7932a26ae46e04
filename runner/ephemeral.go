package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/schedules"
	"github.com/seed3322913c/runner/runner/shell"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/am"
)

// This file gives each firing of a schedule a fleet of its own.
//
//	slot ── job.json ── runner node ──┬─ deploy   a fleet named after the job
//	                    (its lease)   ├─ run      the job, under its own id, with the files of this machine that it names
//	                                  ├─ fetch    what it has written, and its logs
//	                                  └─ teardown whatever has happened, with the bucket if all of it was fetched
//
// Each step finds what an earlier try has done, so that a supervisor that takes over after a kill goes on.

// ephemeral is the word for a fleet that each firing gets for itself.
const ephemeral = "ephemeral"

// ownFleetOptions say what fleet each firing of a schedule gets, if any.
type ownFleetOptions struct {
	fleet  string
	circle circleOptions
}

// AddFlags adds those flags of `runner run --deploy` that say what fleet is made.
func (o *ownFleetOptions) AddFlags(flags *pflag.FlagSet) {
	grouped(flags, "A fleet for it", func(f *pflag.FlagSet) {
		f.StringVar(&o.fleet, "fleet", "",
			"`ephemeral`: each firing makes a fleet, and removes it afterwards, whatever has happened")
	})
	var all pflag.FlagSet
	o.circle.AddFlags(&all)
	for _, name := range []string{"provider", "region", "workers", "instance-type", "spot", "ttl", "max-hourly-usd"} {
		flags.AddFlag(all.Lookup(name))
	}
}

// want is the fleet that was asked for; nil if none was.
func (o *ownFleetOptions) want(at place) (*schedules.Fleet, error) {
	_, atHome := at.(*embedded.Home)
	switch {
	case o.fleet == "":
		return nil, nil
	case o.fleet != ephemeral:
		return nil, say.Errorf(errs.Invalid, "--fleet is %s or nothing; --cluster NAME is for a fleet that is there",
			ephemeral)
	case !atHome:
		return nil, say.Errorf(errs.Unsupported, "--fleet %s is for schedules of this machine: a cluster has its machines "+
			"already", ephemeral)
	}
	d := o.circle.fleet
	d.request.Provider, d.request.Region = d.at.provider, d.at.region
	return &schedules.Fleet{Request: d.request, Limits: d.limits}, nil
}

// ownFleet runs a job on a fleet that is made for it, and removed after it. It is an embedded.Away.
func (p *program) ownFleet(ctx context.Context, job scheduler.Job, o embedded.Options) (am.Report, error) {
	want, err := schedules.ParseFleet(job.Labels[embedded.AwayLabel])
	if err != nil {
		return am.Report{}, err
	}
	q := &program{out: p.err, err: p.err, cluster: fleetOf(job.ID)} // all of it is a story
	var report am.Report
	fetched := true // or nothing is there
	agreed, err := q.agree(ctx, deployOptions{
		name: q.cluster, at: siteOptions{provider: want.Request.Provider, region: want.Request.Region},
		request: want.Request, limits: want.Limits, change: changeOptions{yes: true},
	})
	if err == nil {
		err = q.build(ctx, agreed)
	}
	if err == nil {
		report, fetched, err = q.carry(ctx, job, o)
	}
	// Also when the job was killed: that is when a fleet is forgotten.
	end := q.teardown(context.WithoutCancel(ctx),
		teardownOptions{purge: fetched, change: changeOptions{yes: true}}, q.cluster)
	if end == nil || errs.KindOf(end) == errs.NotFound { // it was not made
		return report, err
	}
	return report, errors.Join(err, say.Errorf(errs.Failed,
		"its fleet could not be removed: %s. Do it with `runner teardown %s`", say.Sentence(end), q.cluster))
}

// fleetOf is the name of the fleet that a job has for itself. A job's id may begin with a digit, a fleet's name may not.
func fleetOf(id scheduler.JobID) string {
	const most = 31 // characters of a name
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, string(id))
	name = "for-" + name
	return strings.TrimRight(name[:min(len(name), most)], "-")
}

// carry runs a job on the fleet that was made for it, with what it reads of this machine, and brings back what it has
// written. fetched is false if something is there alone.
func (p *program) carry(
	ctx context.Context, job scheduler.Job, o embedded.Options,
) (r am.Report, fetched bool, err error) {
	f, err := openFleet(ctx, p.cluster)
	if err != nil {
		return r, true, err
	}
	defer f.Close()
	s, err := p.site(ctx, p.cluster, siteOptions{}, changeOptions{})
	if err != nil {
		return r, true, err
	}
	bucket, err := s.Bucket()
	if err != nil {
		return r, true, err
	}
	staged := newStage(bucket, string(job.ID))
	output := job.Output
	if job, err = sent(ctx, f, staged, job); err != nil {
		return r, true, err
	}
	r, err = f.Supervise(ctx, job, o)
	back := context.WithoutCancel(ctx)
	if logErr := keepLogs(back, f, job); logErr != nil {
		fmt.Fprintf(p.err, "The logs could not be fetched: %s\n", say.Sentence(logErr))
	}
	switch {
	case output == job.Output:
		return r, true, err
	case err != nil:
		return r, !mayBeThere(back, job.Output), err
	case r.State != scheduler.JobSucceeded:
		return r, true, nil
	}
	err = bring(back, staged.sh, job, filePath(output))
	return r, err == nil, err
}

// sent prepares a job that is recorded on this machine for a fleet, whose store knows nothing of it.
func sent(ctx context.Context, f *fleet.Fleet, staged stage, job scheduler.Job) (scheduler.Job, error) {
	job.Labels = map[string]string{schedules.Label: job.Labels[schedules.Label]}
	files := make([]scheduler.File, len(job.Files))
	for i, file := range job.Files {
		file.Object, file.SHA256 = "", "" // which the store of this machine has
		files[i] = file
	}
	job.Files = files
	job, err := staged.out(ctx, job)
	if err != nil {
		return job, err
	}
	if job, err = forFleet(ctx, f, job); err != nil {
		return job, err
	}
	return f.Prepare(ctx, newResolver(""), job)
}

// bring copies an output to this machine, where it appears at once. One that is there was brought by an earlier try.
func bring(ctx context.Context, sh *shell.Shell, job scheduler.Job, to string) error {
	_, err := os.Stat(filepath.Join(to, proof.Success))
	if err == nil && job.Overwrite {
		err = os.RemoveAll(to)
	} else if err == nil {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.E("schedule.fetch", errs.Other, to, err)
	}
	part := to + ".fetching"
	err = os.RemoveAll(part) // of an earlier try
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = sh.Get(ctx, []string{job.Output, part}, shell.CopyOptions{})
	}
	if err == nil {
		err = os.Rename(part, to)
	}
	if err != nil {
		return errs.E("schedule.fetch", errs.Other, to, err)
	}
	return nil
}
