package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed3322913c/runner/infra/errs"
	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/mapreduce/proof"
	"github.com/seed3322913c/runner/runner/deploy"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/shell"
	"github.com/seed3322913c/runner/scheduler"
)

// circleOptions are a fleet that is made for a job, and removed after it.
type circleOptions struct {
	deploy   bool
	teardown bool
	fleet    deployOptions
	ours     bool // nobody has named the fleet, so nobody has data in it
}

func (o *circleOptions) AddFlags(flags *pflag.FlagSet) {
	r := &o.fleet.request
	grouped(flags, "A fleet for it", func(f *pflag.FlagSet) {
		f.BoolVar(&o.deploy, "deploy", false, "make the fleet first; --cluster is its name. Files of this machine go along")
		f.BoolVar(&o.teardown, "teardown", false, "remove the fleet afterwards, whatever has happened")
		f.StringVar(&o.fleet.at.provider, "provider", "", "`WHOSE` machines: "+strings.Join(deploy.Providers(), ", "))
		f.StringVar(&o.fleet.at.region, "region", "", "`REGION` of the provider")
		o.fleet.addAccess(f)
		o.fleet.addServers(f)
		f.IntVar(&r.Workers, "workers", 3, "`N` machines that run the job")
		f.StringSliceVar(&r.WorkerTypes, "instance-type", nil, "`TYPE` of workers; several are tried in turn")
		f.Float64Var(&r.Spot, "spot", 0, "`SHARE` of workers that may be spot machines, 0 to 1")
		f.DurationVar(&r.TTL, "ttl", 0, "`TIME` after which the fleet removes itself in any case; 4h by default")
		f.Float64Var(&o.fleet.limits.MaxHourly, "max-hourly-usd", 0, "`USD` an hour that the fleet may cost at most")
		f.BoolVar(&o.fleet.change.yes, "yes", false, "don't ask whether to make the fleet")
	})
}

// circle makes a fleet, runs a job on it, and removes it again. What the job has come to is the answer; that the fleet
// could not be removed is one only if nothing else went wrong.
func (p *program) circle(ctx context.Context, o runOptions, what string) error {
	c := o.circle
	o.circle = circleOptions{}
	if o.detach {
		return say.Errorf(errs.Invalid, "--detach does not go with --deploy and --teardown: nobody would remove the fleet")
	}
	p.cluster = cmp.Or(p.cluster, os.Getenv(clusterEnv))
	if p.cluster == "" && !c.deploy {
		return say.Errorf(errs.Invalid, "--teardown alone needs --cluster NAME of the fleet to remove")
	}
	specs, err := specsOf(ctx, what, o.function) // a mistake shall not cost a fleet
	if err != nil {
		return err
	}
	if len(specs) != 1 {
		return say.Errorf(errs.Unsupported,
			"a chain of jobs can't have a fleet of its own yet; make one with `runner deploy`")
	}
	if p.cluster == "" {
		p.cluster, c.ours = "run-"+strings.ToLower(rand.Text()[:5]), true
	}
	c.fleet.name, c.fleet.change.json = p.cluster, o.watch.json

	story := &program{out: p.err, err: p.err} // the job's answer is the only one
	if o.watch.json {
		story.out = p.out
	}
	if c.deploy {
		agreed, err := story.agree(ctx, c.fleet)
		if err != nil {
			return err // nothing was made, and a fleet that was there before stays
		}
		if err = story.build(ctx, agreed); err != nil {
			return p.endCircle(ctx, story, c, err)
		}
	}
	fetched, err := p.runAway(ctx, o, what)
	c.ours = c.ours && fetched
	return p.endCircle(ctx, story, c, err)
}

// endCircle removes the fleet of a job that has ended with err.
func (p *program) endCircle(ctx context.Context, story *program, c circleOptions, err error) error {
	if !c.teardown {
		return err
	}
	if !c.fleet.change.json {
		fmt.Fprintf(p.err, "Removing the fleet; if that is cut off, `runner teardown %s` goes on.\n", p.cluster)
	}
	// Also when the user has given up: that is when a fleet is forgotten.
	end := story.teardown(context.WithoutCancel(ctx), teardownOptions{
		purge: c.ours, change: changeOptions{yes: true, json: c.fleet.change.json},
	}, p.cluster)
	if err != nil && end != nil {
		fmt.Fprintf(p.err, "The fleet could not be removed: %s. Do it with `runner teardown %s`\n", say.Sentence(end),
			p.cluster)
		return err
	}
	if half, ok := errors.AsType[*machines.HalfMade](err); ok {
		return half.Err // nothing is left to say what can be done about
	}
	return cmp.Or(err, end)
}

// runAway runs a job on a fleet that sees no file of this machine: what it reads is copied there before, and what it
// has written, and its logs, are copied back. fetched is false if something is there alone.
func (p *program) runAway(ctx context.Context, o runOptions, what string) (fetched bool, err error) {
	at, end, err := p.open(ctx)
	if err != nil {
		return true, err
	}
	defer end()
	specs, err := specsOf(ctx, what, o.function)
	if err != nil {
		return true, err
	}
	job, err := prepare(ctx, o.spec, specs[0], what)
	if err != nil {
		return true, err
	}
	s, err := p.site(ctx, p.cluster, siteOptions{}, changeOptions{})
	if err != nil {
		return true, err
	}
	bucket, err := s.Bucket()
	if err != nil {
		return true, err
	}
	staged := newStage(bucket, strings.ToLower(rand.Text()[:8]))
	output := job.Output
	if job, err = staged.out(ctx, job); err != nil {
		return true, err
	}
	if job, err = submit(ctx, at, job); err != nil {
		return true, err
	}
	err = p.supervise(ctx, at, job, o.watch)
	back := context.WithoutCancel(ctx)
	if logErr := keepLogs(back, at, job); logErr != nil {
		fmt.Fprintf(p.err, "The logs could not be fetched: %s\n", say.Sentence(logErr))
	}
	switch {
	case output == job.Output:
		return true, err
	case err != nil:
		return !mayBeThere(back, job.Output), err
	}
	if err := staged.sh.Get(back, []string{job.Output, filePath(output)}, shell.CopyOptions{}); err != nil {
		return false, err
	}
	if !o.watch.json && !o.watch.quiet {
		fmt.Fprintf(p.err, "Fetched to %s.\n", say.Path(output))
	}
	return true, nil
}

// outputTime bounds the look whether there is an output where nobody may answer.
const outputTime = 30 * time.Second

// mayBeThere reports whether there is an output, or nobody can say: who has seen a job last may not have seen its end.
func mayBeThere(ctx context.Context, output string) bool {
	ctx, cancel := context.WithTimeout(ctx, outputTime)
	defer cancel()
	st, name, err := newResolver("")(ctx, output+"/"+proof.Success)
	if err == nil {
		_, err = st.Stat(ctx, name)
	}
	return errs.KindOf(err) != errs.NotFound
}

// stage is where files of this machine are for the time of a job.
type stage struct {
	sh     *shell.Shell
	folder string
}

func newStage(bucket, run string) stage {
	sh := shell.New(openSystem, shell.Options{Out: io.Discard, Err: io.Discard, Quiet: true, Dir: "/"})
	return stage{sh, bucket + "/runs/" + run}
}

func filePath(uri string) string { return strings.TrimPrefix(uri, "file://") }

// out copies what a job reads to where its fleet sees it, and lets it write there.
func (s stage) out(ctx context.Context, job scheduler.Job) (scheduler.Job, error) {
	inputs := make([]string, len(job.Input))
	for i, uri := range job.Input {
		inputs[i] = uri
		if scheme, _ := cut(uri); scheme != "file://" {
			continue
		}
		files, err := filepath.Glob(filePath(uri))
		if err != nil || len(files) == 0 {
			return job, say.Errorf(errs.Invalid, "there is no input %s", say.Path(uri))
		}
		dest := fmt.Sprintf("%s/in-%d", s.folder, i)
		for _, file := range files {
			if err := s.sh.Put(ctx, []string{file, dest + "/" + filepath.Base(file)},
				shell.CopyOptions{Overwrite: true}); err != nil {
				return job, err
			}
		}
		if inputs[i] = dest; len(files) == 1 {
			inputs[i] = dest + "/" + filepath.Base(files[0])
		}
	}
	job.Input = inputs
	if scheme, _ := cut(job.Output); scheme == "file://" {
		job.Output = s.folder + "/out"
	}
	return job, nil
}

// keepLogs copies the logs of a job to where those of this machine's jobs are.
func keepLogs(ctx context.Context, at place, job scheduler.Job) error {
	files, err := logsOf(at, job)
	if err != nil {
		return err
	}
	names, err := files.List(ctx)
	if err != nil {
		return err
	}
	home, err := embedded.OpenHome()
	if err != nil {
		return err
	}
	dir := home.Logs(job.ID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return errs.E("run", errs.Other, dir, err)
	}
	for _, name := range names {
		if err := keepLog(ctx, files, name, filepath.Join(dir, filepath.Base(name))); err != nil {
			return err
		}
	}
	return nil
}

func keepLog(ctx context.Context, files logFiles, name, file string) error {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return errs.E("run", errs.Other, file, err)
	}
	for read := int64(0); err == nil; {
		var text []byte
		if text, err = files.Read(ctx, name, read); len(text) == 0 {
			break
		}
		_, err = out.Write(text)
		read += int64(len(text))
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return errs.E("run", errs.Other, file, err)
	}
	return nil
}
