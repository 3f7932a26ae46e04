package mapreduce

import (
	"context"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/mapreduce/format"
	"github.com/seed3322913c/runner/mapreduce/split"
	"github.com/seed3322913c/runner/scheduler"
)

// Input is a part of a job's input with a mapper or a format of its own. What it leaves out is the job's.
type Input struct {
	Input  []string         `json:"input"` // absolute URIs, which are in scheduler.Job.Input, too
	Mapper functions.Ref    `json:"mapper,omitzero"`
	Format format.Format    `json:"format,omitempty"`
	Set    functions.Params `json:"set,omitempty"` // beside the job's, for this mapper and format
}

// MaxInputs is how many inputs of their own a job can have.
const MaxInputs = 1000

// ways returns in how many ways the job reads: the inputs of their own, or one.
func (o Options) ways() int { return max(1, len(o.Inputs)) }

// way returns the options of a job that reads in the i-th way alone.
func (o Options) way(i int) Options {
	if len(o.Inputs) == 0 {
		return o
	}
	in := o.Inputs[i]
	o.Inputs = nil
	if !in.Mapper.IsZero() {
		o.Mapper = in.Mapper
	}
	if in.Format != format.Text {
		o.Format = in.Format
	}
	if len(in.Set) > 0 {
		set := maps.Clone(in.Set)
		for name, value := range o.Set {
			if _, ok := set[name]; !ok {
				set[name] = value
			}
		}
		o.Set = set
	}
	return o
}

// mappers returns the mapper of each way.
func (o Options) mappers() []functions.Ref {
	all := make([]functions.Ref, o.ways())
	for i := range all {
		all[i] = o.way(i).Mapper
	}
	return all
}

// ownParams returns the parameters of set that are no format's, in whatever way the job reads.
func (o Options) ownParams(set functions.Params) functions.Params {
	set = o.OutputFormat.Others(set)
	for i := range o.ways() {
		set = o.way(i).Format.Others(set)
	}
	return set
}

// Programs reports whether functions of the job are programs, by command lines.
func (o Options) Programs() bool {
	return slices.ContainsFunc(append(o.mappers(), o.Combiner, o.Reducer), func(r functions.Ref) bool {
		return r.Exec != ""
	})
}

// checkInputs checks what the inputs and the generator are, and each way by itself.
func (o Options) checkInputs() error {
	const op = "mapreduce.Options"
	switch {
	case len(o.Inputs) > MaxInputs:
		return errs.Errorf(op, errs.Invalid, nil, "there are %d inputs; at most %d can have their own mapper or format",
			len(o.Inputs), MaxInputs)
	case o.Maps < 0 || o.Maps > maxLineMaps:
		return errs.Errorf(op, errs.Invalid, nil, "maps is %d; say a number from 1 to %d", o.Maps, maxLineMaps)
	case o.Maps > 0 && (len(o.Inputs) > 0 || o.Format != format.Text || o.Partitioner == TotalOrderPartitioner):
		return errs.Errorf(op, errs.Invalid, nil,
			"maps is for a job without input, which has no inputs, no format, and nothing to sample for a total order")
	}
	for i := range o.ways() {
		if len(o.Inputs) > 0 && len(o.Inputs[i].Input) == 0 {
			return errs.Errorf(op, errs.Invalid, nil, "inputs: the %s has no input; say which files it is", ordinal(i))
		}
		if err := o.way(i).checkWay(); err != nil {
			return err
		}
	}
	return nil
}

// ordinal counts from 1.
func ordinal(i int) string {
	if names := []string{"first", "second", "third"}; i < len(names) {
		return names[i]
	}
	return strconv.Itoa(i+1) + "th"
}

// reading is what is read in one way.
type reading struct {
	opts  Options
	files []split.File
}

// list finds the files of all ways, but for those inputs that are still to be made.
func (o Options) list(
	ctx context.Context, job scheduler.Job, resolve store.Resolve, made func(input string) bool,
) ([]reading, error) {
	all := make([]reading, o.ways())
	for i := range all {
		inputs := job.Input
		if len(o.Inputs) > 0 {
			inputs = o.Inputs[i].Input
		}
		files, err := split.List(ctx, resolve, slices.DeleteFunc(slices.Clone(inputs), made))
		if err != nil {
			return nil, err
		}
		all[i] = reading{o.way(i), files}
	}
	return all, nil
}

// checkPlaces fails unless the job says once what it reads, or that it reads nothing.
func (o Options) checkPlaces(job scheduler.Job) error {
	const op = "mapreduce.Check"
	var inputs []string
	for _, in := range o.Inputs {
		inputs = append(inputs, in.Input...)
	}
	switch {
	case job.Output == "":
		return errs.Errorf(op, errs.Invalid, nil, "the job has no output; say --output FOLDER")
	case o.Maps > 0 && len(job.Input) > 0:
		return errs.Errorf(op, errs.Invalid, nil, "the job says maps, which is for a job without input, and has the input %s",
			strings.Join(job.Input, ", "))
	case len(job.Input) == 0 && o.Maps == 0:
		return errs.Errorf(op, errs.Invalid, nil, "the job has no input; say --input FILE, FOLDER or GLOB")
	case len(inputs) > 0 && !slices.Equal(inputs, job.Input):
		return errs.Errorf(op, errs.Invalid, nil, "the job has an input beside its inputs; say everything in one place")
	}
	return nil
}

// bytes returns how much is read.
func (c checked) bytes() (n int64) {
	for _, r := range c.ways {
		for _, f := range r.files {
			n += f.Size
		}
	}
	return n
}

// wayOf returns the way of a map, where ends tells the number of the first map after those of each way.
func wayOf(ends []int, index int) int {
	i, found := slices.BinarySearch(ends, index)
	if !found {
		return i
	}
	for i < len(ends) && ends[i] == index { // ways without a map
		i++
	}
	return i
}

// generated is the input of a map of a job without input: one record, the number of the map.
type generated struct {
	number string
	read   bool
}

// Batch implements batches.
func (g *generated) Batch(ctx context.Context) ([]byte, error) {
	if g.read {
		return nil, io.EOF
	}
	g.read = true
	return append(make([]byte, 0, 32), g.number+"\n"...), ctx.Err()
}

// Position implements batches.
func (g *generated) Position() (name string, record int64) { return "no input, map " + g.number, 0 }

// Done implements batches.
func (g *generated) Done() int64 { return 0 }

// Close implements batches.
func (g *generated) Close() error { return nil }
