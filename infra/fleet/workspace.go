package fleet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/terraform-exec/tfexec"
	tfjson "github.com/hashicorp/terraform-json"

	"github.com/seed3322913c/runner/infra/errs"
)

// workspace is a folder in which Terraform works on one fleet, for one operation:
//
//	<home>/fleets/<name>/work/modules/...            unpacked, as they are
//	                         /roots/<root>/          Terraform's working folder
//	                             backend.tf.json     where the state is
//	                             terraform.tfvars.json
//	                             secrets.auto.tfvars.json   while Terraform runs, for its owner alone
//	                             saved.tfplan
//	                    /terraform.tfstate           where it is kept here
type workspace struct {
	fleet *Fleet
	op    *operation
	setup Setup
	dir   string // of the root
	tf    *tfexec.Terraform
}

// patience is how long Terraform may take to end what is under way when it was interrupted. Killing it would lose what
// it has just made, so the time is long.
const patience = 10 * time.Minute

const (
	workDir     = "work"
	planFile    = "saved.tfplan"
	varsFile    = "terraform.tfvars.json"
	backendFile = "backend.tf.json"
	secretVars  = "secrets.auto.tfvars.json"
	stateFile   = "terraform.tfstate"
	stateInfo   = "." + stateFile + ".lock.info" // which a Terraform that is killed leaves
)

// leaveTime is how long the end of an operation, which nobody wants to wait for, may take to leave the state's place.
const leaveTime = 10 * time.Second

// open unpacks the modules and initialises Terraform.
func (f *Fleet) open(ctx context.Context, op *operation, setup Setup) (*workspace, error) {
	const name = "fleet.open"
	if keeper, ok := f.provider.(StateKeeper); ok && setup.Backend != nil {
		leave, err := keeper.KeepState(ctx, setup)
		if err != nil {
			return nil, err
		}
		op.leave = func() error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
			defer cancel()
			return leave(ctx)
		}
	}
	work := filepath.Join(f.dir, workDir)
	w := &workspace{fleet: f, op: op, setup: setup, dir: filepath.Join(work, "roots", setup.Root)}
	if err := unpack(f.modules, setup.Root, work); err != nil {
		return nil, errs.E(name, errs.Other, f.name, err)
	}
	secrets, err := f.Secrets()
	if err != nil {
		return nil, err
	}
	vars := map[string]any{"secret_names": slices.AppendSeq([]string{}, maps.Keys(secrets))}
	maps.Copy(vars, setup.Vars)
	if err := writeJSON(filepath.Join(w.dir, varsFile), vars); err != nil {
		return nil, err
	}
	if err := writeJSON(filepath.Join(w.dir, backendFile), w.backend()); err != nil {
		return nil, err
	}
	tools := filepath.Join(f.dir, "../../terraform")
	err = exclusively(filepath.Join(tools, lockFile), func() error { return w.prepare(ctx, tools) })
	return w, err
}

func (w *workspace) backend() any {
	kind, config := "local", map[string]any{"path": filepath.Join(w.fleet.dir, stateFile)}
	if w.setup.Backend != nil {
		kind, config = "s3", w.setup.Backend
	}
	return map[string]any{"terraform": map[string]any{"backend": map[string]any{kind: config}}}
}

// prepare finds Terraform, and its provider. Both are shared by the fleets of a home, so one at a time may fetch them.
func (w *workspace) prepare(ctx context.Context, tools string) error {
	const op = "fleet.init"
	program, err := find(ctx, w.fleet.options, tools)
	if err != nil {
		return err
	}
	if w.tf, err = tfexec.NewTerraform(w.dir, program); err != nil {
		return errs.E(op, errs.Internal, w.dir, err)
	}
	plugins := filepath.Join(tools, "plugins")
	if err := os.MkdirAll(plugins, 0o700); err != nil {
		return errs.E(op, errs.Other, plugins, err)
	}
	if err := w.tf.SetEnv(environment(append(PluginEnv(w.dir), w.fleet.options.Env...), plugins)); err != nil {
		return errs.E(op, errs.Internal, nil, err)
	}
	if err := w.tf.SetWaitDelay(patience); err != nil {
		return errs.E(op, errs.Internal, nil, err)
	}
	return w.initOnce(ctx)
}

// initOnce initialises Terraform unless it is for the same modules, state and program already: looking at the
// provider's hundreds of megabytes takes seconds.
func (w *workspace) initOnce(ctx context.Context) error {
	const op = "fleet.init"
	is, err := w.digest()
	if err != nil {
		return errs.E(op, errs.Other, w.dir, err)
	}
	marker := filepath.Join(w.dir, ".terraform", "runner-initialised")
	if was, err := os.ReadFile(marker); err == nil && string(was) == is { // any error: once more does no harm
		return nil
	}
	err = w.run(ctx, 0, func(io.Writer) error { return w.tf.Init(ctx, tfexec.Reconfigure(true)) }, nil)
	if err != nil {
		return err
	}
	if err := os.WriteFile(marker, []byte(is), 0o600); err != nil {
		return errs.E(op, errs.Other, marker, err)
	}
	return nil
}

// digest changes when what Terraform has to be initialised for does.
func (w *workspace) digest() (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, w.tf.ExecPath())
	work := filepath.Join(w.fleet.dir, workDir)
	err := filepath.WalkDir(work, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".terraform":
			return filepath.SkipDir
		case !strings.HasSuffix(name, ".tf") && d.Name() != backendFile:
			return nil
		}
		data, err := os.ReadFile(name)
		fmt.Fprintln(sum, name, len(data))
		sum.Write(data) // which can't fail
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

// environment is what Terraform may see: all but what would change how it works.
func environment(env []string, plugins string) map[string]string {
	// The provider's version is pinned, so a new fleet may take it from the cache without a lock file that knows its sum.
	all := map[string]string{"TF_PLUGIN_CACHE_DIR": plugins, "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "1",
		"CHECKPOINT_DISABLE": "1"}
	for _, one := range env {
		if k, v, _ := strings.Cut(one, "="); k != "" {
			all[k] = v
		}
	}
	for _, k := range tfexec.ProhibitedEnv(all) {
		delete(all, k)
	}
	return all
}

// exclusively runs f while no other process does so for the same file.
func exclusively(file string, f func() error) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return errs.E("fleet.lock", errs.Other, file, err)
	}
	lock, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return errs.E("fleet.lock", errs.Other, file, err)
	}
	defer lock.Close() // which unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return errs.E("fleet.lock", errs.Other, file, err)
	}
	return f()
}

// unpack writes the modules and one root below dir, and removes files that an earlier version had there.
func unpack(modules fs.FS, root, dir string) error {
	for _, top := range []string{"modules", path.Join("roots", root)} {
		var is []string
		err := fs.WalkDir(modules, top, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".tf") && !strings.HasSuffix(name, ".tftpl") {
				return err
			}
			data, err := fs.ReadFile(modules, name)
			if err != nil {
				return err
			}
			to := filepath.Join(dir, filepath.FromSlash(name))
			is = append(is, to)
			if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
				return err
			}
			return os.WriteFile(to, data, 0o600)
		})
		if err != nil {
			return err
		}
		if err := prune(filepath.Join(dir, filepath.FromSlash(top)), is); err != nil {
			return err
		}
	}
	return nil
}

// prune removes configuration that is not in keep; Terraform would read it.
func prune(dir string, keep []string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".terraform":
			return filepath.SkipDir
		case strings.HasSuffix(name, ".tf") && !slices.Contains(keep, name):
			return os.Remove(name)
		}
		return nil
	})
}

// run runs one command of Terraform that writes JSON messages to its writer, if it takes one. Errors of Terraform
// become one of ours; a lock whose holder is gone is broken, once.
func (w *workspace) run(ctx context.Context, total int, command func(io.Writer) error, tell func(Event)) error {
	p, err := w.once(ctx, total, command, tell)
	for _, d := range p.errors {
		lock, held := parseLock(d)
		if !held {
			continue
		}
		gone := w.op.mayBreak(lock) && !atWork(w.fleet.name)
		if !gone && !w.fleet.options.BreakLock {
			return refuse(RuleLocked, "%s has been at work on %s since %s, or was killed; wait, or if it is gone say "+
				"--break-lock", lock.Who, w.fleet.name, lock.Created.Local().Format(time.DateTime))
		}
		if err := w.tf.ForceUnlock(ctx, lock.ID); err != nil {
			return failed(ctx, "fleet.unlock", lock.ID, err)
		}
		p, err = w.once(ctx, total, command, tell)
		break
	}
	if err == nil {
		return nil
	}
	if told := p.failure(); told != nil && ctx.Err() == nil {
		return told
	}
	return failed(ctx, "fleet.terraform", w.fleet.name, err)
}

// failed gives an error of Terraform its kind: what the end of ctx has cut off has not failed.
func failed(ctx context.Context, op, subject string, err error) error {
	if ctx.Err() != nil {
		return errs.E(op, errs.Canceled, subject, ctx.Err())
	}
	return errs.E(op, errs.Failed, subject, err)
}

func (w *workspace) once(ctx context.Context, total int, command func(io.Writer) error, tell func(Event)) (*progress,
	error) {
	if tell == nil {
		tell = func(Event) {}
	}
	p := &progress{tell: tell, total: total}
	hide, err := w.reveal()
	if err != nil {
		return p, err
	}
	defer hide()
	// The kernel kills Terraform when the thread dies that started it, so that thread stays.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, out := io.Pipe()
	read := make(chan error, 1)
	go func() { read <- p.read(r) }()
	err = command(out)
	w.tf.SetStdout(io.Discard) // commands that write JSON leave their writer behind
	_ = out.Close()            // of a pipe, it can't fail
	return p, errors.Join(err, <-read)
}

// reveal puts the secrets where Terraform finds them, until hide is called.
func (w *workspace) reveal() (hide func(), err error) {
	secrets, err := w.fleet.Secrets()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(w.dir, secretVars)
	if err := writeJSON(file, map[string]any{"secrets": secrets}); err != nil {
		return nil, err
	}
	return func() { _ = os.Remove(file) }, nil // it lies beside secrets.json, with the same rights
}

// plan saves a plan and returns it. Nothing is changed, but for Terraform's opinion of buckets that it was interrupted
// with: it takes them for broken and would replace them, though there is nothing about them that an apply can't mend.
func (w *workspace) plan(ctx context.Context, options ...tfexec.PlanOption) (*tfjson.Plan, error) {
	plan, err := w.planOnce(ctx, options)
	if err != nil {
		return nil, err
	}
	tainted := taintedBuckets(plan)
	if len(tainted) == 0 {
		return plan, nil
	}
	for _, address := range tainted {
		if err := w.tf.Untaint(ctx, address); err != nil {
			return nil, failed(ctx, "fleet.untaint", address, err)
		}
	}
	return w.planOnce(ctx, options)
}

func (w *workspace) planOnce(ctx context.Context, options []tfexec.PlanOption) (*tfjson.Plan, error) {
	options = append(options, tfexec.Out(planFile))
	err := w.run(ctx, 0, func(out io.Writer) error {
		_, err := w.tf.PlanJSON(ctx, out, options...)
		return err
	}, nil)
	if err != nil {
		return nil, err
	}
	w.op.settled = true // whoever was killed before has no lock any more
	w.tf.SetStdout(io.Discard)
	plan, err := w.tf.ShowPlanFile(ctx, planFile)
	if err != nil {
		return nil, failed(ctx, "fleet.plan", w.fleet.name, err)
	}
	return plan, nil
}

// apply applies the saved plan.
func (w *workspace) apply(ctx context.Context, total int, tell func(Event)) error {
	return w.run(ctx, total, func(out io.Writer) error {
		return w.tf.ApplyJSON(ctx, out, tfexec.DirOrPlan(planFile))
	}, tell)
}

// outputs decodes the root's outputs.
func (w *workspace) outputs(ctx context.Context) (Outputs, error) {
	var o Outputs
	values, err := w.tf.Output(ctx)
	if err != nil {
		return o, failed(ctx, "fleet.Outputs", w.fleet.name, err)
	}
	all := map[string]json.RawMessage{}
	for name, v := range values {
		all[name] = v.Value
	}
	data, err := json.Marshal(all)
	if err != nil {
		return o, errs.E("fleet.Outputs", errs.Internal, w.fleet.name, err)
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&o); err != nil {
		return o, errs.E("fleet.Outputs", errs.Corrupt, w.fleet.name, err)
	}
	return o, nil
}
