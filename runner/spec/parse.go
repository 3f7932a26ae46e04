package spec

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/seed3322913c/runner/guagua/engine"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce"
	"github.com/seed3322913c/runner/runner/say"
)

//go:embed schema.json
var schemaJSON []byte

// Parse reads the jobs of a file, a YAML document each, in their order. file is its name, for errors, which are of kind
// Invalid and one sentence each, with the line:
//
//	job.yaml line 7: unknown key "reducer_count" in mapreduce; did you mean "reducers"?
func Parse(file string, text []byte) ([]Spec, error) {
	parsed, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, syntax(file, err)
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
		d := document{file: file, spots: map[string]spot{}}
		s, err := d.parse(one.Body)
		if err != nil {
			return nil, err
		}
		docs, specs = append(docs, d), append(specs, s)
	}
	if len(specs) == 0 {
		return nil, document{file: file}.noJob()
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
func (d document) parse(body ast.Node) (Spec, error) {
	tree, err := d.read(body)
	if err != nil {
		return Spec{}, err
	}
	if err := d.checkKind(tree); err != nil {
		return Spec{}, err
	}
	if err := d.check(tree); err != nil {
		return Spec{}, err
	}
	if err := d.normalize(tree); err != nil {
		return Spec{}, err
	}
	plain, err := json.Marshal(tree)
	if err != nil {
		return Spec{}, errs.E("spec.Parse", errs.Internal, d.file, err)
	}
	var s Spec
	if err := json.Unmarshal(plain, &s); err != nil {
		return Spec{}, errs.E("spec.Parse", errs.Internal, d.file, err) // the schema let something through
	}
	return s, nil
}

// document remembers where in the text each value stands.
type document struct {
	file  string
	spots map[string]spot // by path, as in /resources/memory
}

// spot is the place of a key or an item.
type spot struct {
	line int
	text string // of a plain value, as it is written
}

// errorf makes an error about the value at path, or about the nearest above it that stands in the text.
func (d document) errorf(path []string, format string, args ...any) error {
	where := d.file
	for n := len(path); n >= 0; n-- {
		if s, ok := d.spots[pointer(path[:n])]; ok {
			where = fmt.Sprintf("%s line %d", d.file, s.line)
			break
		}
	}
	return say.Errorf(errs.Invalid, "%s: %s", where, fmt.Sprintf(format, args...))
}

func pointer(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return "/" + strings.Join(path, "/")
}

// read returns a YAML document as maps, lists and plain values.
func (d document) read(body ast.Node) (map[string]any, error) {
	var tree any
	if err := yaml.NodeToValue(body, &tree); err != nil {
		return nil, syntax(d.file, err)
	}
	root, ok := tree.(map[string]any)
	if !ok {
		return nil, d.noJob()
	}
	d.locate(nil, body)
	return root, nil
}

func (d document) noJob() error {
	return say.Errorf(errs.Invalid, `%s is not a job; a job is a mapping that begins with "kind: mapreduce"`, d.file)
}

// syntax turns the error of the YAML reader into one line.
func syntax(file string, err error) error {
	if located, ok := errors.AsType[yaml.Error](err); ok && located.GetToken() != nil {
		return say.Errorf(errs.Invalid, "%s line %d: %s", file, located.GetToken().Position.Line, located.GetMessage())
	}
	return say.Errorf(errs.Invalid, "%s: %s", file, strings.SplitN(err.Error(), "\n", 2)[0])
}

// locate notes where node and everything below it stands.
func (d document) locate(path []string, node ast.Node) {
	switch n := node.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			d.locate(path, v)
		}
	case *ast.MappingValueNode:
		below := append(path[:len(path):len(path)], n.Key.GetToken().Value)
		d.spots[pointer(below)] = spot{n.Key.GetToken().Position.Line, plainText(n.Value)}
		d.locate(below, n.Value)
	case *ast.SequenceNode:
		for i, v := range n.Values {
			below := append(path[:len(path):len(path)], fmt.Sprint(i))
			d.spots[pointer(below)] = spot{v.GetToken().Position.Line, plainText(v)}
			d.locate(below, v)
		}
	case *ast.AnchorNode:
		d.locate(path, n.Value)
	}
}

// plainText returns a plain value as it is written: 1.10 stays 1.10.
func plainText(node ast.Node) string {
	if _, ok := node.(ast.ScalarNode); ok && node.GetToken() != nil {
		return node.GetToken().Value
	}
	return ""
}

// kinds are the kinds of jobs; what a job of a kind computes stands under the key of that name.
var kinds = []string{mapreduce.Kind, engine.Kind}

// checkKind tells a kind that will come from one that is a slip of the pen.
func (d document) checkKind(tree map[string]any) error {
	switch kind := tree["kind"]; kind {
	case "task":
		return say.Errorf(errs.Unsupported, "%s line %d: jobs of kind %s are not supported by this version; it has %s",
			d.file, d.spots["/kind"].line, kind, strings.Join(kinds, " and "))
	}
	for _, other := range kinds {
		if kind := tree["kind"]; other != kind && slices.Contains(kinds, fmt.Sprint(kind)) && tree[other] != nil {
			return d.errorf([]string{other}, "a job of kind %v has no %q", kind, other)
		}
	}
	return nil
}

// normalize brings the different ways to say a thing to the one that Spec has.
func (d document) normalize(tree map[string]any) error {
	for _, key := range []string{"input", "needs", "files", "archives"} {
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
			n, err := ParseSize(text)
			if err != nil {
				return d.errorf(size.path, "%s in %s: %s", key, size.path[0], say.Sentence(err))
			}
			size.in[key] = n
		}
	}
	retry, _ := tree["retry"].(map[string]any)
	if text, ok := retry["timeout"].(string); ok {
		timeout, err := ParseTimeout(text)
		if err != nil {
			return d.errorf([]string{"retry", "timeout"}, "timeout in retry: %s", say.Sentence(err))
		}
		retry["timeout"] = timeout
	}
	for _, kind := range kinds {
		options, _ := tree[kind].(map[string]any)
		d.normalizeSet(options, kind)
	}
	d.normalizeParts(options)
	return nil
}
