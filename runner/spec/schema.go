package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/nearest"
)

const schemaURL = "job.json"

// check validates tree against the schema and returns the first mistake in the order of the text.
func (d document) check(tree map[string]any) error {
	const op = "spec.Schema"
	resource, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaJSON))
	if err != nil {
		return errs.E(op, errs.Internal, schemaURL, err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(schemaURL, resource); err != nil {
		return errs.E(op, errs.Internal, schemaURL, err)
	}
	schema, err := compiler.Compile(schemaURL)
	if err != nil {
		return errs.E(op, errs.Internal, schemaURL, err)
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](schema.Validate(tree))
	if !ok {
		return nil
	}
	mistakes := leaves(invalid)
	slices.SortStableFunc(mistakes, func(a, b *jsonschema.ValidationError) int { return d.line(a) - d.line(b) })
	return d.explain(mistakes[0])
}

// leaves returns the errors that have no cause but themselves.
func leaves(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return []*jsonschema.ValidationError{e}
	}
	var all []*jsonschema.ValidationError
	for _, cause := range e.Causes {
		all = append(all, leaves(cause)...)
	}
	return all
}

// place is the path of what e complains about: for a key that is unknown the key itself.
func place(e *jsonschema.ValidationError) []string {
	if k, ok := e.ErrorKind.(*kind.AdditionalProperties); ok {
		return append(slices.Clone(e.InstanceLocation), k.Properties[0])
	}
	return e.InstanceLocation
}

func (d document) line(e *jsonschema.ValidationError) int { return d.spots[pointer(place(e))].line }

// explain says one mistake as a sentence.
func (d document) explain(e *jsonschema.ValidationError) error {
	at := place(e)
	rule := ruleAt(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		key, known := at[len(at)-1], rule.keys()
		hint := "; there is " + strings.Join(known, ", ")
		if near := nearest.Of(key, known); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		return d.errorf(at, "unknown key %q%s%s", key, inside(at[:len(at)-1]), hint)
	case *kind.Required:
		missing := k.Missing[0]
		return d.errorf(at, "%q is missing%s; want %s", missing, inside(at), ruleAt(append(slices.Clone(at), missing)).Want)
	}
	if len(at) == 0 {
		return d.errorf(at, "want %s", rule.Want)
	}
	name := at[len(at)-1]
	if text := d.spots[pointer(at)].text; text != "" {
		return d.errorf(at, "%s is %q%s; want %s", name, text, inside(at[:len(at)-1]), rule.Want)
	}
	return d.errorf(at, "%s%s is not understood; want %s", name, inside(at[:len(at)-1]), rule.Want)
}

func inside(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return " in " + strings.Join(path, ".")
}

// rule is as much of a schema as is needed to tell people what it wants.
type rule struct {
	Ref         string          `json:"$ref"`
	Description string          `json:"description"`
	Want        string          `json:"x-want"`
	Default     string          `json:"x-default"`
	Flag        string          `json:"x-flag"`
	Properties  properties      `json:"properties"`
	Additional  json.RawMessage `json:"additionalProperties"`
	Items       *rule           `json:"items"`
	Defs        map[string]rule `json:"$defs"`
}

// properties are the keys of a mapping, in the order of the schema, which is the order in which people read of them.
type properties []property

type property struct {
	key string
	rule
}

// UnmarshalJSON reads an object without losing its order.
func (p *properties) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil { // the opening brace
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		one := property{key: key.(string)} // keys of JSON are nothing else
		if err := d.Decode(&one.rule); err != nil {
			return err
		}
		*p = append(*p, one)
	}
	return nil
}

func (p properties) get(key string) (rule, bool) {
	i := slices.IndexFunc(p, func(one property) bool { return one.key == key })
	if i < 0 {
		return rule{}, false
	}
	return p[i].rule, true
}

// schemaRule returns the whole schema.
func schemaRule() rule {
	var r rule
	if err := json.Unmarshal(schemaJSON, &r); err != nil { // it is compiled in, and a test reads it
		panic(err)
	}
	return r
}

// ruleAt returns the rule for the value at path, with what it refers to filled in.
func ruleAt(path []string) rule {
	root := schemaRule()
	r := root
	for _, step := range path {
		next, known := r.Properties.get(step)
		switch {
		case known:
		case r.Items != nil:
			next = *r.Items
		default:
			// Schema of any other key, or plain false: then there is nothing to tell about it.
			_ = json.Unmarshal(r.Additional, &next)
		}
		r = next.resolve(root)
	}
	return r
}

// resolve fills in what r refers to; what r says itself stays.
func (r rule) resolve(root rule) rule {
	def, ok := root.Defs[strings.TrimPrefix(r.Ref, "#/$defs/")]
	if !ok {
		return r
	}
	def.Description, def.Default, def.Flag = r.Description, r.Default, r.Flag
	return def
}

func (r rule) keys() []string {
	var all []string
	for _, one := range r.Properties {
		all = append(all, one.key)
	}
	return all
}
