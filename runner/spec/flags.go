package spec

import (
	"cmp"
	"maps"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/strictyaml"
	"github.com/seed3322913c/runner/mapreduce"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/task"
)

// Flags are the keys of a specification as they come from the command line. A zero field was not given.
type Flags struct {
	Input     []string
	Output    string
	Name      string
	Queue     string
	Priority  int
	Executors string
	CPU       int
	GPUs      int
	Memory    string
	Reducers  string
	Set       []string // KEY=VALUE
	Overwrite bool
	Command   string
	Tasks     int

	FormFlags

	TaskTimeout      string
	MaxFailedPercent int
	Speculative      string // true or false
	Shuffle          string
}

// Apply overlays s. Lists replace lists, and each --set replaces one parameter. Errors are of kind Invalid.
func (f Flags) Apply(s *Spec) error {
	if len(f.Input) > 0 {
		s.Input = f.Input
	}
	s.Output = cmp.Or(f.Output, s.Output)
	s.Name = cmp.Or(f.Name, s.Name)
	s.Queue, s.Priority = cmp.Or(f.Queue, s.Queue), cmp.Or(f.Priority, s.Priority)
	if f.Priority < 0 || f.Priority > 100 {
		return say.Errorf(errs.Invalid, "--priority %d; want a number from 0 to 100", f.Priority)
	}
	s.Overwrite = s.Overwrite || f.Overwrite
	if err := f.applyResources(s); err != nil {
		return err
	}
	set, err := f.params()
	if err != nil {
		return err
	}
	if err := f.onlyFor(s.Kind); err != nil {
		return err
	}
	switch s.Kind {
	case engine.Kind:
		s.Guagua.Set = overlay(s.Guagua.Set, set)
	case task.Kind:
		s.Task.Env = overlay(s.Task.Env, set)
		s.Task.Command, s.Task.Tasks = cmp.Or(f.Command, s.Task.Command), cmp.Or(f.Tasks, s.Task.Tasks)
	default:
		s.MapReduce.Set = overlay(s.MapReduce.Set, set)
	}
	if f.Reducers != "" {
		n, err := mapreduce.ParseReducers(f.Reducers)
		if err != nil {
			return err
		}
		s.MapReduce.Reducers = n
	}
	if err := f.FormFlags.apply(&s.MapReduce); err != nil {
		return err
	}
	return f.applyFaults(s)
}

// onlyFor fails if a flag is about jobs of another kind.
func (f Flags) onlyFor(kind string) error {
	isMapReduce := kind == "" || kind == mapreduce.Kind
	switch {
	case f.Reducers != "" && kind == engine.Kind:
		return say.Errorf(errs.Invalid, "--reducers is for jobs of kind mapreduce; say --set workers=N")
	case f.Reducers != "" && !isMapReduce:
		return say.Errorf(errs.Invalid, "--reducers is for jobs of kind mapreduce")
	case f.FormFlags != (FormFlags{}) && !isMapReduce:
		return say.Errorf(errs.Invalid, "--format, --key and the like are for jobs of kind mapreduce")
	case f.Command != "" && kind != task.Kind:
		return say.Errorf(errs.Invalid, "--command is for jobs of kind task, as in runner run task --command ...")
	case f.Tasks != 0 && kind != task.Kind:
		return say.Errorf(errs.Invalid, "--tasks is for jobs of kind task, as in runner run task --tasks N ...")
	}
	return nil
}

// params returns what --set says.
func (f Flags) params() (map[string]string, error) {
	all := map[string]string{}
	for _, pair := range f.Set {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, say.Errorf(errs.Invalid, "--set %s says nothing; write --set KEY=VALUE", pair)
		}
		all[key] = value
	}
	return all, nil
}

// overlay returns params with those of over instead of its own.
func overlay[P ~map[string]string](params P, over map[string]string) P {
	if params == nil && len(over) > 0 {
		params = P{}
	}
	maps.Copy(params, over)
	return params
}

// applyFaults overlays what is said about attempts that fail or are slow.
func (f Flags) applyFaults(s *Spec) error {
	if f.TaskTimeout != "" {
		timeout, err := ParseTimeout(f.TaskTimeout)
		if err != nil {
			return err
		}
		s.Retry.Timeout = timeout
	}
	s.MapReduce.Shuffle = cmp.Or(mapreduce.Shuffle(f.Shuffle), s.MapReduce.Shuffle)
	s.MapReduce.MaxFailedPercent = cmp.Or(f.MaxFailedPercent, s.MapReduce.MaxFailedPercent)
	if f.Speculative != "" {
		yes, err := strconv.ParseBool(f.Speculative)
		if err != nil {
			return say.Errorf(errs.Invalid, "--speculative is %q; say true or false", f.Speculative)
		}
		s.MapReduce.Speculative, s.Task.Speculative = &yes, yes
	}
	return nil
}

func (f Flags) applyResources(s *Spec) error {
	switch n, err := strconv.Atoi(f.Executors); {
	case f.Executors == "":
	case f.Executors == "auto":
		s.Resources.Executors = 0
	case err != nil || n < 1 || n > 10000:
		return say.Errorf(errs.Invalid, "--executors is %q; say auto, or a number from 1 to 10000", f.Executors)
	default:
		s.Resources.Executors = n
	}
	if f.CPU < 0 || f.CPU > 1024 {
		return say.Errorf(errs.Invalid, "--cpu is %d; say a number from 1 to 1024", f.CPU)
	}
	if f.CPU > 0 {
		s.Resources.CPU = f.CPU
	}
	if f.GPUs < 0 || f.GPUs > 64 {
		return say.Errorf(errs.Invalid, "--gpus is %d; say a number from 0 to 64", f.GPUs)
	}
	if f.GPUs > 0 {
		s.Resources.GPUs = f.GPUs
	}
	if f.Memory != "" {
		n, err := strictyaml.ParseSize(f.Memory)
		if err != nil {
			return err
		}
		s.Resources.Memory = n
	}
	return nil
}

// OfOneJob returns a flag that was given and can only be meant for one job, or "".
func (f Flags) OfOneJob() string {
	switch {
	case len(f.Input) > 0:
		return "--input"
	case f.Output != "":
		return "--output"
	case f.Reducers != "":
		return "--reducers"
	case f.Command != "":
		return "--command"
	case f.Tasks != 0:
		return "--tasks"
	case f.Format != "":
		return "--format"
	case f.OutputFormat != "":
		return "--output-format"
	case f.Partitioner != "":
		return "--partitioner"
	case f.Key != "":
		return "--key"
	case f.Maps != 0:
		return "--maps"
	case len(f.Set) > 0:
		return "--set"
	}
	return ""
}
