package spec

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/strictyaml"
	"github.com/seed3322913c/runner/mapreduce"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/task"
)

// schema is what Parse checks specifications against.
//
//go:embed schema.json
var schema strictyaml.Schema

// Parse reads the jobs of a file, a YAML document each, in their order. file is its name, for errors, which are of kind
// Invalid and one sentence each, with the line:
//
//	job.yaml line 7: unknown key "reducer_count" in mapreduce; did you mean "reducers"?
func Parse(file string, text []byte) ([]Spec, error) {
	parsed, err := strictyaml.Parse(file, text)
	if err != nil {
		return nil, err
	}
	if n := len(parsed.Docs); n > MaxJobs { // before the work of reading each
		return nil, say.Errorf(errs.Invalid, "%s has %d YAML documents, which would be a job each; a file may have %d", file,
			n, MaxJobs)
	}
	var docs []document
	var specs []Spec
	for _, one := range parsed.Docs {
		if one.Body == nil {
			if err := checkEnd(file, text, one.Start); err != nil {
				return nil, err
			}
			continue // a line of dashes too many
		}
		if _, ok := one.Body.(*ast.DirectiveNode); ok {
			continue // what begins with %, about the document that follows
		}
		read, err := strictyaml.Read(file, one.Body)
		if err != nil {
			return nil, err
		}
		d := document{read}
		s, err := d.parse()
		if err != nil {
			return nil, err
		}
		docs, specs = append(docs, d), append(specs, s)
	}
	if len(specs) == 0 {
		return nil, noJob(file)
	}
	return specs, checkNeeds(docs, specs)
}

// checkEnd fails if something follows an empty document that begins at start: the YAML reader would not tell of it.
func checkEnd(file string, text []byte, start *token.Token) error {
	if start == nil {
		return nil
	}
	line := 0
	for rest := range bytes.Lines(text) {
		line++
		rest = bytes.TrimSpace(rest)
		if line > start.Position.Line && len(rest) > 0 && rest[0] != '#' {
			return say.Errorf(errs.Invalid, "%s line %d: there is no job between these dashes and line %d", file,
				start.Position.Line, line)
		}
	}
	return nil
}

// parse reads one job.
func (d document) parse() (Spec, error) {
	tree := d.Tree
	if tree == nil {
		return Spec{}, noJob(d.File)
	}
	if err := d.checkKind(tree); err != nil {
		return Spec{}, err
	}
	if err := d.Check(schema); err != nil {
		return Spec{}, err
	}
	if err := d.normalize(tree); err != nil {
		return Spec{}, err
	}
	plain, err := json.Marshal(tree)
	if err != nil {
		return Spec{}, errs.E("spec.Parse", errs.Internal, d.File, err)
	}
	var s Spec
	if err := json.Unmarshal(plain, &s); err != nil {
		return Spec{}, errs.E("spec.Parse", errs.Internal, d.File, err) // the schema let something through
	}
	return s, nil
}

// document is a job as it stands in the text.
type document struct{ strictyaml.Document }

func noJob(file string) error {
	return say.Errorf(errs.Invalid, `%s is not a job; a job is a mapping that begins with "kind: mapreduce"`, file)
}

// kinds are the kinds of jobs; what a job of a kind computes stands under the key of that name.
var kinds = []string{mapreduce.Kind, engine.Kind, task.Kind}

// checkKind fails if a job says what it computes as if it were of another kind.
func (d document) checkKind(tree map[string]any) error {
	for _, other := range kinds {
		if kind := tree["kind"]; other != kind && slices.Contains(kinds, fmt.Sprint(kind)) && tree[other] != nil {
			return d.Errorf([]string{other}, "a job of kind %v has no %q", kind, other)
		}
	}
	return nil
}

// normalize brings the different ways to say a thing to the one that Spec has.
func (d document) normalize(tree map[string]any) error {
	for _, key := range []string{"input", "needs", "files", "archives", "secrets"} {
		if one, ok := tree[key].(string); ok {
			tree[key] = []any{one}
		}
	}
	resources, _ := tree["resources"].(map[string]any)
	options, _ := tree["mapreduce"].(map[string]any)
	if resources["executors"] == "auto" {
		resources["executors"] = 0
	}
	for _, size := range []struct {
		in   map[string]any
		path []string
	}{{resources, []string{"resources", "memory"}}, {options, []string{"mapreduce", "splitSize"}}} {
		key := size.path[1]
		if text, ok := size.in[key].(string); ok {
			n, err := strictyaml.ParseSize(text)
			if err != nil {
				return d.Errorf(size.path, "%s in %s: %s", key, size.path[0], say.Sentence(err))
			}
			size.in[key] = n
		}
	}
	for _, part := range []string{"retry", task.Kind} {
		in, _ := tree[part].(map[string]any)
		if text, ok := in["timeout"].(string); ok {
			timeout, err := ParseTimeout(text)
			if err != nil {
				return d.Errorf([]string{part, "timeout"}, "timeout in %s: %s", part, say.Sentence(err))
			}
			in["timeout"] = timeout
		}
	}
	for _, kind := range kinds {
		options, _ := tree[kind].(map[string]any)
		d.normalizeTexts(options, kind, "set")
		d.normalizeTexts(options, kind, "env")
	}
	d.normalizeParts(options)
	return nil
}
