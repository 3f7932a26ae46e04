package functions

import (
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/nearest"
)

// Package is what a binary says about itself.
type Package struct {
	Protocol  int           `json:"protocol"` // the version of the protocol that it speaks: see package wire
	Functions []Description `json:"functions"`
	Programs  []Program     `json:"programs,omitempty"` // of a binary for iterative jobs
}

// Program is what a binary says about one of its programs of a master and workers.
type Program struct {
	Name      string `json:"name"`
	Reduction uint8  `json:"reduction"` // how worker results become one: a guagua.Reduction
}

// Description is what a binary says about one of its functions. The references are what belongs into a job's
// specification: where a built-in does the same as the function it is named, since it needs no other process.
type Description struct {
	Name     string `json:"name"`
	Doc      string `json:"doc,omitempty"`
	Mapper   Ref    `json:"mapper"`
	Combiner Ref    `json:"combiner,omitzero"`
	Reducer  Ref    `json:"reducer,omitzero"` // zero: the mapper's records are the result
	Values   string `json:"values"`           // what kind of values the mapper emits: "bytes", "int64" or "text"

	Partitions bool     `json:"partitions,omitempty"` // whether the function says which reducer gets a key
	Key        KeyOrder `json:"key,omitzero"`
	Params     []Param  `json:"params,omitempty"`
	Handler    bool     `json:"handler,omitempty"` // it answers events, and nothing of the rest holds
}

// Find returns the named function, or the only one if name is empty.
func (p Package) Find(name string) (Description, error) {
	const op = "functions.Find"
	if name == "" && len(p.Functions) == 1 {
		return p.Functions[0], nil
	}
	var names []string
	for _, f := range p.Functions {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	if name == "" {
		return Description{}, errs.Errorf(op, errs.Invalid, nil, "say which function%s", nearest.Hint("", names))
	}
	return Description{}, errs.Errorf(op, errs.Invalid, nil, "there is no function %q%s", name, nearest.Hint(name, names))
}

// describe looks at functions, and refuses those that nobody could run.
func describe(fns []Raw) (Package, error) {
	const op = "functions.Main"
	p := Package{Protocol: wire.Version}
	if len(fns) == 0 {
		return p, errs.Errorf(op, errs.Invalid, nil, "there are no functions")
	}
	seen := map[string]bool{}
	for _, f := range fns {
		if f.Mapper == nil && f.Handler == nil {
			return p, errs.Errorf(op, errs.Invalid, nil, "function %q has nothing that maps or handles events", f.name())
		}
		if f.Mapper != nil && f.Handler != nil {
			return p, errs.Errorf(op, errs.Invalid, nil, "function %q maps and handles events; make two of it", f.name())
		}
		if seen[f.name()] {
			return p, errs.Errorf(op, errs.Invalid, nil, "two functions have the name %q", f.name())
		}
		seen[f.name()] = true
		p.Functions = append(p.Functions, f.description())
	}
	return p, nil
}

func (r Raw) name() string {
	if r.Name == "" {
		return "main"
	}
	return r.Name
}

func (r Raw) description() Description {
	if r.Handler != nil {
		return Description{Name: r.name(), Doc: r.Doc, Handler: true}
	}
	own := Ref{Go: r.name()}
	d := Description{
		Name: r.name(), Doc: r.Doc, Mapper: own, Params: r.Params, Partitions: r.Partition != nil, Key: r.Key,
	}
	d.Values = ValueKindOf(r.Mapper()).String()
	if r.Combiner != nil {
		d.Combiner = own
		if f, ok := r.Combiner().(Int64FoldKind); ok && f.Int64Fold() != FoldOther {
			d.Combiner = Ref{Builtin: f.Int64Fold().String()}
		}
	}
	if r.Reducer != nil {
		d.Reducer = own
		if f, ok := r.Reducer().(int64Fold); ok && f.kind != FoldOther { // others may do more than they fold
			d.Reducer = Ref{Builtin: f.kind.String()}
		}
	}
	return d
}
