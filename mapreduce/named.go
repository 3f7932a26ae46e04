package mapreduce

import (
	"context"
	"maps"
	"regexp"
	"slices"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/nearest"
	"github.com/seed3322913c/runner/mapreduce/codec"
	"github.com/seed3322913c/runner/mapreduce/format"
)

// NamedOutput is an output beside the job's parts, to which functions write by its name (functions.Outputs): a file for
// each task that writes to it, as in errors-r-00003.
type NamedOutput struct {
	Format   format.Format    `json:"format,omitempty"`
	Compress codec.Codec      `json:"compress,omitempty"`
	Set      functions.Params `json:"set,omitempty"` // of the format
}

// MaxNamedOutputs is how many a job can have: a task may have a file open for each.
const MaxNamedOutputs = 100

// outputName is what an output can be called, as in Hadoop: its files are told from all others by it.
var outputName = regexp.MustCompile(`^[A-Za-z0-9]{1,50}$`)

func (o Options) checkOutputs() error {
	const op = "mapreduce.Options"
	if len(o.Outputs) > MaxNamedOutputs {
		return errs.Errorf(op, errs.Invalid, nil, "there are %d outputs; at most %d can be named", len(o.Outputs),
			MaxNamedOutputs)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Outputs)) {
		if !outputName.MatchString(name) || name == partBase {
			return errs.Errorf(op, errs.Invalid, nil,
				"outputs: %q is no name for an output; say letters and digits, but not %s", name, partBase)
		}
		n := o.Outputs[name]
		if err := n.Format.Check("format of "+name, format.Outputs()); err != nil {
			return err
		}
		if err := n.Compress.Check(); err != nil {
			return err
		}
		if err := n.Format.CheckOutput(format.Output{Compress: n.Compress, Set: n.Set}); err != nil {
			return err
		}
	}
	return nil
}

// main is the form of the job's parts.
func (o Options) main() NamedOutput { return NamedOutput{o.OutputFormat, o.Compress, o.Set} }

// named are the named outputs of one attempt. Files appear when they are first written to.
type named struct {
	known map[string]NamedOutput
	start func(name string, form NamedOutput, o *textOutput) error
	open  map[string]*textOutput
}

// named returns the named outputs of the attempt, kind as in partName.
func (t *task) named(ctx context.Context, kind string) *named {
	return &named{
		known: t.opts.Outputs, open: map[string]*textOutput{},
		start: func(name string, form NamedOutput, o *textOutput) error {
			return t.start(ctx, namedPart(name, kind, t.ID.Task.Index), form, o)
		},
	}
}

// EmitTo writes a record.
func (n *named) EmitTo(name string, key, value []byte) error {
	o := n.open[name]
	if o == nil {
		form, ok := n.known[name]
		if !ok {
			return errs.Errorf("mapreduce.EmitTo", errs.Invalid, nil, "the job has no output %q%s; say it under outputs:", name,
				nearest.Hint(name, slices.Sorted(maps.Keys(n.known))))
		}
		o = newTextOutput(nil)
		if err := n.start(name, form, o); err != nil {
			return err
		}
		n.open[name] = o
	}
	return o.Emit(key, value)
}

// commitNamed makes all of them durable, in the order of their names.
func (t *task) commitNamed(ctx context.Context, n *named) (all []writtenPart, err error) {
	for _, name := range slices.Sorted(maps.Keys(n.open)) {
		part, err := n.open[name].commit(ctx)
		if err != nil {
			return nil, err
		}
		t.r.Count(namedCounters, name, part.Records)
		t.countWritten(part.Bytes)
		all = append(all, part)
	}
	return all, nil
}

// abort drops what was not committed.
func (n *named) abort(ctx context.Context) {
	for _, o := range n.open {
		_ = o.part.Abort(ctx) // no effect once committed; what stays is removed with the job's other attempts
	}
}

// namedEnv is an attemptEnv with named outputs.
type namedEnv struct {
	attemptEnv
	*named
}

// with returns what a function needs to know that may write to named outputs. Combiners may not, since nobody knows how
// often they run.
func (in instance) with(n *named) instance {
	if env, ok := in.env.(attemptEnv); ok {
		in.env = namedEnv{env, n}
	}
	return in
}

var _ functions.Outputs = namedEnv{}
