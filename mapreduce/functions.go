package mapreduce

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/builtin"
	"github.com/seed3322913c/runner/functions/child"
	"github.com/seed3322913c/runner/functions/process"
	"github.com/seed3322913c/runner/functions/streaming"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// roles makes the functions of a job: built-ins are instances, a package's functions are child processes.
type roles struct {
	job  scheduler.Job
	opts Options
}

// check fails, in one sentence, if one of the functions does not exist or cannot run with the job's parameters.
func (f roles) check(ctx context.Context) error {
	mappers := f.opts.mappers()
	for i := range mappers {
		way := f.opts.way(i)
		r := builtin.Roles{Mapper: way.Mapper, Combiner: way.Combiner, Reducer: way.Reducer, Others: mappers}
		if err := r.Check(f.opts.ownParams(way.Set)); err != nil {
			return err
		}
	}
	var pkg functions.Package
	for _, ref := range append(mappers, f.opts.Combiner, f.opts.Reducer) {
		switch {
		case ref.Exec != "":
			if err := f.checkFolder(); err != nil {
				return err
			}
			continue
		case ref.Go == "":
			continue
		}
		if pkg.Functions == nil {
			var err error
			if pkg, err = f.describe(ctx); err != nil {
				return err
			}
		}
		d, err := pkg.Find(ref.Go)
		if err != nil {
			return err
		}
		if f.opts.partitions() && slices.Contains(mappers, ref) && !d.Partitions {
			return errs.Errorf("mapreduce.Check", errs.Invalid, nil,
				"function %s has no Partition; say another partitioner than %s", ref.Go, FunctionPartitioner)
		}
	}
	return f.checkValues(pkg, mappers)
}

// checkValues fails unless all mappers put out values of one kind, since they meet in the reducers.
func (f roles) checkValues(pkg functions.Package, mappers []functions.Ref) error {
	if f.opts.MapOnly() {
		return nil
	}
	var first functions.ValueKind
	for i, ref := range mappers {
		kind := functions.ValueText // of programs
		if ref.Builtin != "" {
			m, err := builtin.Mapper(ref.Builtin, f.opts.way(i).Set)
			if err != nil {
				return err
			}
			kind = functions.ValueKindOf(m)
		} else if ref.Go != "" {
			d, err := pkg.Find(ref.Go)
			if err != nil {
				return err
			}
			kind, _ = functions.ParseValueKind(d.Values) // an unknown name is bytes
		}
		if i == 0 {
			first = kind
		} else if kind != first {
			return errs.Errorf("mapreduce.Check", errs.Invalid, nil,
				"the mappers %s and %s cannot share a reducer: values of one are %s, of the other %s",
				mappers[0], ref, first, kind)
		}
	}
	return nil
}

// describe asks the job's package what functions it has.
func (f roles) describe(ctx context.Context) (functions.Package, error) {
	program, err := f.program()
	if err != nil {
		return functions.Package{}, err
	}
	return child.Describe(ctx, child.Command{Argv: []string{program}, Env: process.Environment()})
}

// program returns the path of the job's package.
func (f roles) program() (string, error) {
	const op = "mapreduce.Check"
	path, isFile := strings.CutPrefix(f.job.Package, "file://")
	switch {
	case path == "":
		return "", errs.Errorf(op, errs.Invalid, nil, "the job names functions of a package, but no package")
	case !isFile && strings.Contains(path, "://"):
		return "", errs.Errorf(op, errs.Unsupported, nil, "package %s: a package must be a file of this machine", path)
	}
	info, err := os.Stat(path)
	if err == nil && (info.IsDir() || info.Mode()&0o111 == 0) {
		return "", errs.Errorf(op, errs.Invalid, nil, "package %s is not a program; build it first, as in: go build -o %s",
			path, path)
	}
	if err != nil {
		return "", errs.Errorf(op, errs.KindOf(err), nil, "package %s cannot be run: %s", path, errs.Cause(err))
	}
	return path, nil
}

// instance is what a function needs to know about the attempt that it is made for.
type instance struct {
	id     scheduler.AttemptID
	dir    string            // where a child process runs
	files  map[string]string // paths of the job's files by their names
	env    functions.Env
	values functions.ValueKind // of the values that a combiner or reducer gets
	parts  int                 // reducers among which a mapper divides what it puts out; 0: it does not
}

func (f roles) command(in instance) (child.Command, child.Task, error) {
	program, err := f.program()
	cmd := child.Command{
		Argv: []string{program}, Dir: in.dir, Env: process.Environment(), Stderr: &process.Lines{Logf: in.env.Logf},
	}
	task := child.Task{Attempt: in.id.String(), Params: f.opts.Set, Combiner: f.opts.Combiner, Files: in.files}
	return cmd, task, err
}

// mapper returns a mapper that is set up, and takes the input as it is read. The caller closes it.
func (f roles) mapper(ctx context.Context, in instance) (functions.Mapper, error) {
	m, err := f.ownMapper(ctx, in)
	if err != nil {
		return nil, err
	}
	return formatted(m, f.opts.Format, f.opts.Set)
}

// ownMapper returns the mapper that the job names.
func (f roles) ownMapper(ctx context.Context, in instance) (functions.Mapper, error) {
	if command := f.opts.Mapper.Exec; command != "" {
		return setUp(in, func() (functions.Mapper, error) {
			o, err := f.streaming(in, command)
			if err != nil {
				return nil, err
			}
			o.Parts = in.parts > 0
			return streaming.NewMapper(ctx, o)
		})
	}
	return made(in, f.opts.Mapper, func() (functions.Mapper, error) {
		return builtin.Mapper(f.opts.Mapper.Builtin, f.opts.Set)
	}, func() (functions.Mapper, error) {
		cmd, task, err := f.command(in)
		if err != nil {
			return nil, err
		}
		task.Function, task.Partitions = f.opts.Mapper.Go, in.parts
		return child.NewMapper(ctx, cmd, task)
	})
}

// combiner returns a combiner that is set up, or nil if the job has none. The caller closes it.
func (f roles) combiner(ctx context.Context, in instance) (functions.Reducer, error) {
	if f.opts.Combiner.IsZero() {
		return nil, nil
	}
	if command := f.opts.Combiner.Exec; command != "" {
		return setUp(in, func() (functions.Reducer, error) {
			o, err := f.streaming(in, command)
			if err != nil {
				return nil, err
			}
			return streaming.NewCombiner(ctx, o)
		})
	}
	return made(in, f.opts.Combiner, func() (functions.Reducer, error) {
		return builtin.Combiner(f.opts.Combiner.Builtin, f.opts.Set)
	}, func() (functions.Reducer, error) {
		cmd, task, err := f.command(in)
		if err != nil {
			return nil, err
		}
		task.Function = f.opts.Combiner.Go
		return child.NewCombiner(ctx, cmd, task)
	})
}

// reducer returns a reducer that is set up. The caller closes it.
func (f roles) reducer(ctx context.Context, in instance) (functions.Reducer, error) {
	if command := f.opts.Reducer.Exec; command != "" {
		return setUp(in, func() (functions.Reducer, error) {
			o, err := f.streaming(in, command)
			if err != nil {
				return nil, err
			}
			return streaming.NewReducer(ctx, o)
		})
	}
	return made(in, f.opts.Reducer, func() (functions.Reducer, error) {
		return builtin.Reducer(f.opts.Reducer.Builtin, f.opts.Set)
	}, func() (functions.Reducer, error) {
		cmd, task, err := f.command(in)
		if err != nil {
			return nil, err
		}
		task.Function = f.opts.Reducer.Go
		return child.NewReducer(ctx, cmd, task)
	})
}

// made makes a function that is no program of its own in the place where ref says it runs, and sets it up.
func made[T any](in instance, ref functions.Ref, here, elsewhere func() (T, error)) (T, error) {
	create := here
	if ref.Go != "" {
		create = elsewhere
	}
	return setUp(in, create)
}

// setUp makes a function and sets it up.
func setUp[T any](in instance, create func() (T, error)) (T, error) {
	f, err := create()
	if err != nil {
		return f, err
	}
	if s, ok := any(f).(functions.Setup); ok {
		if err := functions.Protect(func() error { return s.Setup(in.env) }); err != nil {
			closeFunction(f)
			var none T
			return none, err
		}
	}
	return f, nil
}

// closeFunction ends a function. Its error does not matter: what it put out is whole, or the attempt has failed.
func closeFunction(f any) {
	if c, ok := f.(io.Closer); ok {
		_ = c.Close()
	}
}

// cleanup lets a function put out its last records.
func cleanup(f any, out functions.Emitter) error {
	if c, ok := f.(functions.Cleanup); ok {
		return functions.Protect(func() error { return c.Cleanup(out) })
	}
	return nil
}

// attemptEnv is the functions.Env of an attempt.
type attemptEnv struct {
	scheduler.Reporter
	id    scheduler.AttemptID
	set   functions.Params
	files map[string]string // paths by name
}

func (e attemptEnv) Param(name string) (string, bool) { v, ok := e.set[name]; return v, ok }
func (e attemptEnv) Attempt() string                  { return e.id.String() }
func (e attemptEnv) File(name string) (string, bool)  { path, ok := e.files[name]; return path, ok }
