package mapreduce

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/process"
	"github.com/seed3322913c/runner/functions/streaming"
	"github.com/seed3322913c/runner/infra/errs"
)

// streaming says how to run a command line for an attempt: in a folder of its own, where it finds the job's files and
// what is in its package under their names.
func (f roles) streaming(in instance, command string) (streaming.Options, error) {
	o := streaming.Options{
		Command: command, Dir: in.dir, Env: append(process.Environment(), f.variables(in)...),
		Stderr: &process.Lines{Logf: in.env.Logf}, Params: f.opts.Set, Values: in.values,
	}
	if _, ok := in.env.(functions.Outputs); ok { // a combiner has none
		o.Outputs = slices.Sorted(maps.Keys(f.opts.Outputs))
	}
	err := f.checkFolder()
	if err != nil || f.job.Package == "" && len(in.files) == 0 {
		return o, err
	}
	folder := strings.TrimPrefix(f.job.Package, "file://")
	if in.dir == "" { // no attempt, but a sample
		o.Dir = folder
		return o, nil
	}
	if o.Dir, err = os.MkdirTemp(in.dir, "exec-"); err == nil {
		err = process.Furnish(o.Dir, in.files, folder)
	}
	if err != nil {
		return o, errs.E("mapreduce.Streaming", errs.Other, in.id, err)
	}
	return o, nil
}

// checkFolder fails, in one sentence, if programs cannot run with the job's package.
func (f roles) checkFolder() error {
	const op = "mapreduce.Check"
	path, isFile := strings.CutPrefix(f.job.Package, "file://")
	switch {
	case path == "":
		return nil
	case !isFile && strings.Contains(path, "://"):
		return errs.Errorf(op, errs.Unsupported, nil, "package %s: a package must be on this machine", path)
	}
	if _, err := os.Stat(path); err != nil {
		return errs.Errorf(op, errs.KindOf(err), nil, "package %s cannot be used: %s", path, errs.Cause(err))
	}
	return nil
}

// variables are what a program finds in its environment: the job's parameters and what Hadoop says of job and task,
// each under its name with underscores for what cannot be in the name of a variable.
func (f roles) variables(in instance) []string {
	kind := "m"
	if in.id.Task.Stage == reduceStage {
		kind = "r"
	}
	task := fmt.Sprintf("%s_%s_%06d", f.job.ID, kind, in.id.Task.Index)
	all := map[string]string{
		"mapreduce.job.id":                            string(f.job.ID),
		"mapreduce.job.name":                          f.job.Name,
		"mapreduce.task.id":                           "task_" + task,
		"mapreduce.task.attempt.id":                   fmt.Sprintf("attempt_%s_%d", task, in.id.N),
		"mapreduce.task.partition":                    fmt.Sprint(in.id.Task.Index),
		"mapreduce.task.ismap":                        fmt.Sprint(in.id.Task.Stage == mapStage),
		"mapreduce.task.output.dir":                   f.job.Output,
		"mapreduce.output.fileoutputformat.outputdir": f.job.Output,
		"mapreduce.input.fileinputformat.inputdir":    strings.Join(f.job.Input, ","),
		"mapreduce.map.memory.mb":                     fmt.Sprint(f.job.Resources.Memory >> 20),
		"stream.map.streamprocessor":                  f.opts.Mapper.Exec,
		"stream.reduce.streamprocessor":               f.opts.Reducer.Exec,
	}
	if n, ok := f.opts.Reducers.Exact(); ok {
		all["mapreduce.job.reduces"] = fmt.Sprint(n)
	}
	for name, value := range f.opts.Set {
		all[name] = value
	}
	var list []string
	for name, value := range all {
		if !strings.ContainsRune(value, 0) {
			list = append(list, strings.Map(variableRune, name)+"="+value)
		}
	}
	slices.Sort(list)
	return list
}

// variableRune replaces what a variable's name cannot have.
func variableRune(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '_'
}
