package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/builtin"
	"github.com/seed3322913c/runner/functions/child"
	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo"
	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/spec"
	"github.com/seed3322913c/runner/runner/task"
)

// specsOf tells the forms of what to run apart by how they are written. Only a file can have several jobs.
func specsOf(ctx context.Context, what, function string) ([]spec.Spec, error) {
	switch ext := filepath.Ext(what); {
	case ext == ".yaml" || ext == ".yml" || what == stdin:
		return specsOfFile(what)
	case strings.ContainsRune(what, filepath.Separator):
		s, err := specOfBinary(ctx, what, function)
		return []spec.Spec{s}, err
	}
	s, err := specOfBuiltin(what)
	return []spec.Spec{s}, err
}

// specOfBuiltin is a job that comes with the program.
func specOfBuiltin(what string) (spec.Spec, error) {
	if slices.ContainsFunc(algo.Builtins(), func(p guagua.Program) bool { return p.Name() == what }) {
		ref := functions.Ref{Builtin: what}
		return spec.Spec{Kind: engine.Kind, Name: what, Guagua: engine.Options{Master: ref, Worker: ref}}, nil
	}
	if what == task.Kind {
		return spec.Spec{Kind: task.Kind, Name: what}, nil
	}
	template, ok := builtin.Job(what)
	if !ok {
		return spec.Spec{}, unknownJob(what)
	}
	s := spec.Spec{Name: template.Name}
	s.MapReduce.Mapper, s.MapReduce.Combiner, s.MapReduce.Reducer = template.Mapper, template.Combiner, template.Reducer
	if template.TotalOrder {
		s.MapReduce.Partitioner = mapreduce.TotalOrderPartitioner
	}
	if template.Reducers > 0 {
		s.MapReduce.Reducers = mapreduce.ExactReducers(template.Reducers)
	}
	return s, nil
}

// fillPlaces says where a job that comes with the program reads and writes, where nobody else has.
func fillPlaces(s *spec.Spec, what string) {
	template, _ := builtin.Job(what)
	if template.Input != "" && len(s.Input) == 0 {
		in := template.Input
		for name, value := range s.MapReduce.Set {
			in = strings.ReplaceAll(in, "{"+name+"}", value)
		}
		s.Input = []string{in}
	}
	if template.Output != "" && s.Output == "" && len(s.Input) > 0 {
		s.Output = strings.ReplaceAll(template.Output, "{input}", strings.TrimRight(s.Input[0], "/"))
	}
}

// unknownJob says what may have been meant.
func unknownJob(what string) error {
	if _, err := os.Stat(what); err == nil {
		return say.Errorf(errs.Invalid, "there is no job %q. If the file is meant: a specification ends in .yaml, "+
			"a program is called ./%[1]s", what)
	}
	names := []string{task.Kind}
	for _, j := range builtin.Jobs() {
		names = append(names, j.Name)
	}
	for _, p := range algo.Builtins() {
		names = append(names, p.Name())
	}
	return say.Errorf(errs.Invalid, "there is no job %q.%s `runner help run` lists what there is", what,
		say.DidYouMean(what, names))
}

// maxSpec bounds a specification, in bytes.
const maxSpec = 1 << 20

// stdin is what people write for a specification that comes by standard input.
const stdin = "-"

func specsOfFile(file string) ([]spec.Spec, error) {
	in, name := os.Stdin, "standard input"
	if file != stdin {
		var err error
		if in, err = os.Open(file); errors.Is(err, fs.ErrNotExist) {
			return nil, say.Errorf(errs.Invalid, "there is no file %s", file)
		} else if err != nil {
			return nil, say.Errorf(errs.Invalid, "%s cannot be read: %s", file, errs.Cause(err))
		}
		defer in.Close() // nothing was written
		name = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxSpec+1)) // one more tells a longer one
	switch {
	case err != nil:
		return nil, say.Errorf(errs.Invalid, "%s cannot be read: %s", name, errs.Cause(err))
	case len(text) > maxSpec:
		return nil, say.Errorf(errs.Invalid, "%s is longer than any specification", name)
	}
	specs, err := spec.Parse(name, text)
	if len(specs) == 1 && specs[0].Name == "" {
		specs[0].Name = baseName(file)
	}
	return specs, err
}

// baseName is what a file gives its name to: day of jobs/day.yaml.
func baseName(file string) string { return strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)) }

// specOfBinary asks a program what it can do.
func specOfBinary(ctx context.Context, path, function string) (spec.Spec, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return spec.Spec{}, say.Errorf(errs.Invalid, "there is no file %s", path)
	case err != nil:
		return spec.Spec{}, say.Errorf(errs.Invalid, "%s cannot be read: %s", path, errs.Cause(err))
	case info.IsDir() || info.Mode()&0o111 == 0:
		return spec.Spec{}, say.Errorf(errs.Invalid, "%s is not a program. Build it first, as in go build -o wc ./wc", path)
	}
	pkg, err := child.Describe(ctx, child.Command{Argv: []string{path}})
	if err != nil {
		return spec.Spec{}, err
	}
	if len(pkg.Programs) > 0 {
		return specOfProgram(pkg.Programs, path, function)
	}
	f, err := pkg.Find(function)
	if err != nil {
		return spec.Spec{}, err
	}
	s := spec.Spec{Name: filepath.Base(path), Package: path}
	s.MapReduce.Mapper, s.MapReduce.Combiner, s.MapReduce.Reducer = f.Mapper, f.Combiner, f.Reducer
	s.MapReduce.Key = f.Key
	if f.Partitions {
		s.MapReduce.Partitioner = mapreduce.FunctionPartitioner
	}
	return s, nil
}

// specOfProgram is the job of a binary with masters and workers: the named program, or the only one.
func specOfProgram(programs []functions.Program, path, name string) (spec.Spec, error) {
	var names []string
	for _, p := range programs {
		names = append(names, p.Name)
	}
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	if !slices.Contains(names, name) {
		return spec.Spec{}, say.Errorf(errs.Invalid, "which program of %s? Say --function %s", path,
			strings.Join(names, " or --function "))
	}
	ref := functions.Ref{Go: name}
	return spec.Spec{
		Kind: engine.Kind, Name: filepath.Base(path), Package: path, Guagua: engine.Options{Master: ref, Worker: ref},
	}, nil
}
