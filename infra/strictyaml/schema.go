package strictyaml

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

// Schema is the text of a JSON schema.
type Schema []byte

const schemaURL = "schema.json"

// Check validates the document against a schema and returns the first mistake in the order of the text.
func (d Document) Check(s Schema) error {
	const op = "strictyaml.Check"
	resource, err := jsonschema.UnmarshalJSON(bytes.NewReader(s))
	if err != nil {
		return errs.E(op, errs.Internal, d.File, err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(schemaURL, resource); err != nil {
		return errs.E(op, errs.Internal, d.File, err)
	}
	schema, err := compiler.Compile(schemaURL)
	if err != nil {
		return errs.E(op, errs.Internal, d.File, err)
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](schema.Validate(d.Tree))
	if !ok {
		return nil
	}
	mistakes := leaves(invalid)
	slices.SortStableFunc(mistakes, func(a, b mistake) int { return d.compare(a.at, b.at) })
	return d.explain(s, mistakes[0])
}

// mistake is an error that has no cause but itself.
type mistake struct {
	at  []string // the path of what it is about: for a key that is unknown the key itself
	err *jsonschema.ValidationError
}

// leaves returns the mistakes in an error, in no order: the validator goes through mappings as they come.
func leaves(e *jsonschema.ValidationError) (all []mistake) {
	for _, cause := range e.Causes {
		all = append(all, leaves(cause)...)
	}
	unknown, ok := e.ErrorKind.(*kind.AdditionalProperties)
	switch {
	case ok:
		for _, key := range unknown.Properties {
			all = append(all, mistake{append(slices.Clone(e.InstanceLocation), key), e})
		}
	case len(e.Causes) == 0:
		all = append(all, mistake{e.InstanceLocation, e})
	}
	return all
}

// explain says one mistake as a sentence.
func (d Document) explain(s Schema, m mistake) error {
	at := m.at
	rule := s.At(m.err.InstanceLocation)
	switch k := m.err.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		key, known := at[len(at)-1], rule.Keys()
		hint := "; there is " + strings.Join(known, ", ")
		if near := nearest.Of(key, known); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		return d.Errorf(at, "unknown key %q%s%s", key, inside(at[:len(at)-1]), hint)
	case *kind.Required:
		missing := k.Missing[0]
		return d.Errorf(at, "%q is missing%s; want %s", missing, inside(at), s.At(append(slices.Clone(at), missing)).Want)
	}
	if len(at) == 0 {
		return d.Errorf(at, "want %s", rule.Want)
	}
	name := at[len(at)-1]
	if text := d.Text(at...); text != "" {
		return d.Errorf(at, "%s is %q%s; want %s", name, text, inside(at[:len(at)-1]), rule.Want)
	}
	return d.Errorf(at, "%s%s is not understood; want %s", name, inside(at[:len(at)-1]), rule.Want)
}

func inside(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return " in " + strings.Join(path, ".")
}

// Rule is as much of a schema as is needed to tell people what it wants.
type Rule struct {
	Ref         string          `json:"$ref"`
	Description string          `json:"description"`
	Want        string          `json:"x-want"`
	Default     string          `json:"x-default"`
	Flag        string          `json:"x-flag"`
	Properties  Properties      `json:"properties"`
	Additional  json.RawMessage `json:"additionalProperties"`
	Items       *Rule           `json:"items"`
	Defs        map[string]Rule `json:"$defs"`
}

// Properties are the keys of a mapping, in the order of the schema, which is the order in which people read of them.
type Properties []Property

// Property is a key and what it wants.
type Property struct {
	Key string
	Rule
}

// UnmarshalJSON reads an object without losing its order.
func (p *Properties) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil { // the opening brace
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		one := Property{Key: key.(string)} // keys of JSON are nothing else
		if err := d.Decode(&one.Rule); err != nil {
			return err
		}
		*p = append(*p, one)
	}
	return nil
}

func (p Properties) get(key string) (Rule, bool) {
	i := slices.IndexFunc(p, func(one Property) bool { return one.Key == key })
	if i < 0 {
		return Rule{}, false
	}
	return p[i].Rule, true
}

// Rule returns the whole schema. One that is no JSON is a bug of the program that it is compiled into.
func (s Schema) Rule() Rule {
	var r Rule
	if err := json.Unmarshal(s, &r); err != nil {
		panic(err)
	}
	return r
}

// At returns the rule for the value at path, with what it refers to filled in.
func (s Schema) At(path []string) Rule {
	root := s.Rule()
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
func (r Rule) resolve(root Rule) Rule {
	def, ok := root.Defs[strings.TrimPrefix(r.Ref, "#/$defs/")]
	if !ok {
		return r
	}
	def.Description, def.Default, def.Flag = r.Description, r.Default, r.Flag
	return def
}

// Keys are the keys that a mapping may have.
func (r Rule) Keys() []string {
	var all []string
	for _, one := range r.Properties {
		all = append(all, one.Key)
	}
	return all
}
