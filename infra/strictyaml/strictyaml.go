// Package strictyaml reads what people write in YAML against a JSON schema, and tells each mistake in one sentence that
// names the line and what was probably meant:
//
//	job.yaml line 7: unknown key "reducer_count" in mapreduce; did you mean "reducers"?
//
// A Schema is JSON Schema (draft 2020-12) with a few words more, for people: each property has a description and an
// x-want, "want a path, or a list of paths"; it may have an x-default and an x-flag. From the same schema comes the
// reference (WriteTable), so that what is read, what is refused and what is documented never differ.
//
//	text ──Read──▶ Document{Tree, where each value stands} ──Check(Schema)──▶ the first mistake, or nil
package strictyaml

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/seed3322913c/runner/infra/errs"
)

// Parse splits a text into YAML documents. file is its name, for errors.
func Parse(file string, text []byte) (*ast.File, error) {
	parsed, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, syntax(file, err)
	}
	return parsed, nil
}

// Document is a YAML document as maps, lists and plain values, and remembers where in the text each of them stands.
type Document struct {
	File  string
	Tree  map[string]any
	spots map[string]spot // by path, as in /resources/memory
}

// spot is the place of a key or an item.
type spot struct {
	line, column int
	text         string // of a plain value, as it is written
}

func spotOf(at *token.Position, value ast.Node) spot {
	return spot{at.Line, at.Column, plainText(value)}
}

// Read reads one document. One that is no mapping has a nil Tree.
func Read(file string, body ast.Node) (Document, error) {
	d := Document{File: file, spots: map[string]spot{}}
	var tree any
	if err := yaml.NodeToValue(body, &tree); err != nil {
		return d, syntax(file, err)
	}
	if root, ok := tree.(map[string]any); ok {
		d.Tree = root
		d.locate(nil, body)
	}
	return d, nil
}

// Line returns the line of the value at path, 0 if it stands nowhere.
func (d Document) Line(path ...string) int { return d.spots[pointer(path)].line }

// compare orders paths as what they lead to stands in the text.
func (d Document) compare(a, b []string) int {
	x, y := d.spots[pointer(a)], d.spots[pointer(b)]
	return cmp.Or(x.line-y.line, x.column-y.column, strings.Compare(pointer(a), pointer(b)))
}

// Text returns a plain value as it is written: 1.10 stays 1.10.
func (d Document) Text(path ...string) string { return d.spots[pointer(path)].text }

// Errorf makes an error of kind Invalid about the value at path, or about the nearest above it that stands in the text.
// Its text is the whole sentence.
func (d Document) Errorf(path []string, format string, args ...any) error {
	where := d.File
	for n := len(path); n >= 0; n-- {
		if s, ok := d.spots[pointer(path[:n])]; ok {
			where = fmt.Sprintf("%s line %d", d.File, s.line)
			break
		}
	}
	return errs.Errorf("", errs.Invalid, nil, "%s: %s", where, fmt.Sprintf(format, args...))
}

func pointer(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return "/" + strings.Join(path, "/")
}

// syntax turns the error of the YAML reader into one line.
func syntax(file string, err error) error {
	if located, ok := errors.AsType[yaml.Error](err); ok && located.GetToken() != nil {
		return errs.Errorf("", errs.Invalid, nil, "%s line %d: %s", file, located.GetToken().Position.Line,
			located.GetMessage())
	}
	return errs.Errorf("", errs.Invalid, nil, "%s: %s", file, strings.SplitN(err.Error(), "\n", 2)[0])
}

// locate notes where node and everything below it stands.
func (d Document) locate(path []string, node ast.Node) {
	switch n := node.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			d.locate(path, v)
		}
	case *ast.MappingValueNode:
		below := append(path[:len(path):len(path)], n.Key.GetToken().Value)
		d.spots[pointer(below)] = spotOf(n.Key.GetToken().Position, n.Value)
		d.locate(below, n.Value)
	case *ast.SequenceNode:
		for i, v := range n.Values {
			below := append(path[:len(path):len(path)], fmt.Sprint(i))
			d.spots[pointer(below)] = spotOf(v.GetToken().Position, v)
			d.locate(below, v)
		}
	case *ast.AnchorNode:
		d.locate(path, n.Value)
	}
}

// plainText returns a plain value as it is written.
func plainText(node ast.Node) string {
	if _, ok := node.(ast.ScalarNode); ok && node.GetToken() != nil {
		return node.GetToken().Value
	}
	return ""
}
