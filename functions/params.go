package functions

import (
	"maps"
	"slices"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/nearest"
)

// Params are the parameters of a job (set: in the spec, --set on the command line). All functions of the job share
// them.
type Params map[string]string

// Param declares a parameter of a function.
type Param struct {
	Name     string `json:"name"`
	Doc      string `json:"doc"` // one line
	Default  string `json:"default,omitempty"`
	Required bool   `json:"required,omitempty"`
}

// Complete returns p with the defaults of the declared parameters filled in. It fails with errs.Invalid when a
// required one is missing. Parameters that are not declared are kept, since they may be another function's.
func (p Params) Complete(declared []Param) (Params, error) {
	all := maps.Clone(p)
	if all == nil {
		all = Params{}
	}
	for _, d := range declared {
		if _, ok := all[d.Name]; ok {
			continue
		}
		if d.Required {
			return nil, errs.Errorf("functions.Params", errs.Invalid, nil,
				"parameter %q is missing (%s); say --set %s=...", d.Name, d.Doc, d.Name)
		}
		if d.Default != "" {
			all[d.Name] = d.Default
		}
	}
	return all, nil
}

// CheckKnown fails with errs.Invalid when p has a parameter that is not declared, and names the nearest that is.
func (p Params) CheckKnown(declared []Param) error {
	names := make([]string, len(declared))
	for i, d := range declared {
		names[i] = d.Name
	}
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if !slices.Contains(names, name) {
			return errs.Errorf("functions.Params", errs.Invalid, nil, "unknown parameter %q%s",
				name, nearest.Hint(name, names))
		}
	}
	return nil
}
