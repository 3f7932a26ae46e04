package split

import (
	"path"
	"slices"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
)

// location is an input URI taken apart. URIs are not percent-encoded: what follows the scheme is a path as it is.
type location struct {
	root string // scheme and authority: "file://", "s3://bucket"
	path string // without a slash at either end
}

func parseURI(uri string) (location, error) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || scheme == "" {
		return location{}, errs.Errorf("split.List", errs.Invalid, nil,
			"input %q has no scheme; write it as file:///path or s3://bucket/key", uri)
	}
	authority, p, _ := strings.Cut(rest, "/")
	return location{scheme + "://" + authority, strings.Trim(path.Clean("/"+p), "/")}, nil
}

func (l location) uri() string { return l.root + "/" + l.path }

// part is one component of a glob: a name, or a pattern as path.Match has it.
type part struct {
	text string
	glob bool
}

// match reports whether a name fits. As in a shell, a hidden name fits only a pattern that begins with the same
// character.
func (p part) match(name string) bool {
	if !p.glob {
		return p.text == name
	}
	if hidden(name) && p.text[0] != name[0] {
		return false
	}
	ok, err := path.Match(p.text, name)
	return ok && err == nil // patterns were checked when they were compiled
}

// literal returns the beginning that every name which fits has.
func (p part) literal() string {
	if !p.glob {
		return p.text
	}
	return p.text[:strings.IndexAny(p.text, `*?[\`)]
}

// hidden reports whether folders are read without this name in them, as Hadoop has it.
func hidden(name string) bool { return strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") }

// compile expands the braces of a path and takes each alternative apart. Without any pattern in it there is one
// alternative whose parts all are names.
func compile(p string) ([][]part, error) {
	alternatives, err := expand(p)
	if err != nil {
		return nil, err
	}
	var all [][]part
	for _, a := range alternatives {
		var parts []part
		for c := range strings.SplitSeq(a, "/") {
			if c == "" {
				continue
			}
			c = strings.ReplaceAll(c, "[!", "[^") // both mean "none of"; path.Match knows one
			if _, err := path.Match(c, ""); err != nil {
				return nil, errs.Errorf("split.List", errs.Invalid, nil, "input pattern %q: %q is not well formed", p, c)
			}
			parts = append(parts, part{c, strings.ContainsAny(c, `*?[\`)})
		}
		all = append(all, parts)
	}
	return all, nil
}

// Selects reports whether List would take a file called uri for the input, if there were one.
func Selects(input, uri string) bool {
	a, errA := parseURI(input)
	b, errB := parseURI(uri)
	if errA != nil || errB != nil || a.root != b.root {
		return false
	}
	var literal []part
	for c := range strings.SplitSeq(a.path, "/") {
		if c != "" {
			literal = append(literal, part{text: c})
		}
	}
	if fits(b.path, literal) {
		return true
	}
	alternatives, err := compile(a.path)
	return err == nil && slices.ContainsFunc(alternatives, func(parts []part) bool { return fits(b.path, parts) })
}

// maxAlternatives bounds what the braces of one pattern expand to.
const maxAlternatives = 1000

// expand returns the alternatives of a pattern with braces: a{b,c{d,e}} is ab, acd and ace.
func expand(p string) ([]string, error) {
	open := strings.IndexByte(p, '{')
	if open < 0 {
		return []string{p}, nil
	}
	choices, end := braces(p[open:])
	if end == 0 {
		return nil, errs.Errorf("split.List", errs.Invalid, nil, "input pattern %q: a brace is not closed", p)
	}
	var all []string
	for _, c := range choices {
		more, err := expand(p[:open] + c + p[open+end:])
		if err != nil {
			return nil, err
		}
		if all = append(all, more...); len(all) > maxAlternatives {
			return nil, errs.Errorf("split.List", errs.Invalid, nil, "input pattern %q has more than %d alternatives",
				p, maxAlternatives)
		}
	}
	return all, nil
}

// braces splits the group of braces at the front of p at its outermost commas, and returns where it ends, 0 if nowhere.
func braces(p string) (choices []string, end int) {
	depth, from := 0, 1
	for i := range len(p) {
		switch p[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return append(choices, p[from:i]), i + 1
			}
		case ',':
			if depth == 1 {
				choices, from = append(choices, p[from:i]), i+1
			}
		}
	}
	return nil, 0
}
