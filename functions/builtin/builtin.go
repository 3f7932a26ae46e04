// Package builtin has the functions that come with the program, and the jobs made of them.
//
// A function is looked up by name, once for each role that it plays in an attempt, with the parameters of the job:
//
//	m, err := builtin.Mapper("wordcount", params)
//	c, err := builtin.Combiner("sum", params)
//	r, err := builtin.Reducer("sum", params)
//
// Combiner and Reducer of one name may differ: the combiner "aggregate" makes sums and counts of values, the reducer
// "aggregate" divides them. A job template names the functions of a whole job, as `runner run wordcount` needs it:
//
//	job, ok := builtin.Job("wordcount")
//	err := job.Check(params)                   // all that can be known to be wrong before anything is started
//
// All errors are of kind Invalid and say in one sentence what is wrong. To add a function, add a row to the table in
// table.go.
package builtin

import (
	"slices"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/nearest"
)

// The roles that a function can play.
const (
	mapper   = "mapper"
	combiner = "combiner"
	reducer  = "reducer"
)

// Mapper returns a new instance of the named mapper, for one attempt.
func Mapper(name string, params functions.Params) (functions.Mapper, error) {
	raw, err := lookup(mapper, name, params)
	if err != nil {
		return nil, err
	}
	return raw.Mapper(), nil
}

// Combiner returns a new instance of what combines values on their way to the named reducer.
func Combiner(name string, params functions.Params) (functions.Reducer, error) {
	raw, err := lookup(combiner, name, params)
	if err != nil {
		return nil, err
	}
	return raw.Combiner(), nil
}

// Reducer returns a new instance of the named reducer, for one attempt.
func Reducer(name string, params functions.Params) (functions.Reducer, error) {
	raw, err := lookup(reducer, name, params)
	if err != nil {
		return nil, err
	}
	return raw.Reducer(), nil
}

// lookup finds the function that is fit for a role.
func lookup(role, name string, params functions.Params) (functions.Raw, error) {
	const op = "builtin.Lookup"
	var names []string
	for _, f := range table() {
		if !slices.Contains(f.Roles, role) {
			continue
		}
		if f.Name == name {
			all, err := params.Complete(f.Params)
			if err != nil {
				return functions.Raw{}, errs.E(op, errs.Invalid, name, err)
			}
			return f.raw(all)
		}
		names = append(names, f.Name)
	}
	return functions.Raw{}, errs.Errorf(op, errs.Invalid, nil,
		"there is no built-in %s %q%s", role, name, nearest.Hint(name, names))
}

// Info describes a built-in function.
type Info struct {
	Name   string            `json:"name"`
	Doc    string            `json:"doc"`   // one line
	Roles  []string          `json:"roles"` // out of mapper, combiner, reducer
	Params []functions.Param `json:"params,omitempty"`
}

// Functions describes all functions, in the order of their names.
func Functions() []Info {
	var all []Info
	for _, f := range table() {
		all = append(all, f.Info)
	}
	return all
}

// Roles says who does what in a job.
type Roles struct {
	Mapper   functions.Ref `json:"mapper"`
	Combiner functions.Ref `json:"combiner,omitzero"`
	Reducer  functions.Ref `json:"reducer,omitzero"`

	// Others are mappers of other inputs of the same job: parameters may be theirs.
	Others []functions.Ref `json:"-"`
}

// Check reports what is wrong with the built-ins among the roles and with their parameters: a name that there is not,
// a value that is not understood, one that is missing, and, if there are only built-ins, one that none of them knows.
func (r Roles) Check(params functions.Params) error {
	for _, part := range []struct {
		role string
		functions.Ref
	}{{mapper, r.Mapper}, {combiner, r.Combiner}, {reducer, r.Reducer}} {
		if part.Builtin == "" {
			continue
		}
		if _, err := lookup(part.role, part.Builtin, params); err != nil {
			return err
		}
	}
	for _, ref := range r.all() {
		if ref.Builtin == "" && !ref.IsZero() {
			return nil
		}
	}
	return params.CheckKnown(r.Params())
}

func (r Roles) all() []functions.Ref {
	return append(slices.Clone(r.Others), r.Mapper, r.Combiner, r.Reducer)
}

// Params returns the parameters that the built-ins among the roles declare.
func (r Roles) Params() []functions.Param {
	var all []functions.Param
	seen := map[string]bool{}
	for _, f := range table() {
		if !slices.ContainsFunc(r.all(), func(ref functions.Ref) bool { return ref.Builtin == f.Name }) {
			continue
		}
		for _, p := range f.Params {
			if !seen[p.Name] {
				seen[p.Name] = true
				all = append(all, p)
			}
		}
	}
	return all
}

// JobTemplate is a job that can be run by its name.
type JobTemplate struct {
	Name string
	Doc  string // one line
	Roles
	TotalOrder bool     // keys are in order across all parts, in the order of the parts' numbers
	Reducers   int      // how many reducers the job needs; 0: any number
	Input      string   // what it reads if nothing is said, with {NAME} for the value of a parameter; empty: nothing
	Output     string   // what it writes if nothing is said, with {input} for its first input; empty: nothing
	Examples   []string // command lines
}

// Job returns the named job.
func Job(name string) (JobTemplate, bool) {
	for _, j := range Jobs() {
		if j.Name == name {
			return j, true
		}
	}
	return JobTemplate{}, false
}
