package shell

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
)

// maxAlternatives bounds what braces may stand for.
const maxAlternatives = 1000

// glob returns what a pattern matches, in byte order of paths: in each component * ? [a-z] [^a-z], and {a,b} anywhere.
func glob(ctx context.Context, t target) ([]found, error) {
	var all []found
	alternatives := braces(t.path)
	if len(alternatives) > maxAlternatives {
		return nil, refuse(errs.Invalid, "%s stands for more than %d patterns", t.shown, maxAlternatives)
	}
	// What is shown is the pattern's beginning, which has a scheme or not, and then the path that was found.
	prefix := strings.TrimSuffix(t.shown, t.path)
	if prefix == t.shown {
		prefix = "" // a relative one; it is shown from the root
	}
	for _, pattern := range alternatives {
		root := target{t.System, t.place, "/", prefix + "/"}
		st, err := root.System.Status(ctx, "/")
		if err != nil {
			return nil, err
		}
		matches, err := match(ctx, found{root, st}, strings.Split(strings.Trim(pattern, "/"), "/"))
		if err != nil {
			return nil, err
		}
		all = append(all, matches...)
	}
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.path, b.path) })
	return slices.CompactFunc(all, func(a, b found) bool { return a.path == b.path }), nil
}

// match returns what is below a directory and fits the components of a pattern.
func match(ctx context.Context, dir found, parts []string) ([]found, error) {
	if len(parts) == 0 {
		return []found{dir}, nil
	}
	if !dir.Dir {
		return nil, nil
	}
	if !strings.ContainsAny(parts[0], `*?[\`) {
		next := dir.child(parts[0])
		st, err := next.System.Status(ctx, next.path)
		if missing(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return match(ctx, found{next, st}, parts[1:])
	}
	var all []found
	for entry, err := range dir.System.List(ctx, dir.path) {
		if err != nil {
			return nil, err
		}
		fits, err := path.Match(parts[0], entry.Name)
		if err != nil {
			return nil, refuse(errs.Invalid, "%s is no pattern: %v", parts[0], err)
		}
		if !fits {
			continue
		}
		below, err := match(ctx, found{dir.child(entry.Name), entry}, parts[1:])
		if err != nil {
			return nil, err
		}
		all = append(all, below...)
	}
	return all, nil
}

// braces expands {a,b}, also one in another. A brace without its partner stands for itself.
func braces(pattern string) []string {
	open := strings.IndexByte(pattern, '{')
	if open < 0 {
		return []string{pattern}
	}
	depth, start := 0, open+1
	var choices []string
	for i := open; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '{':
			depth++
		case c == ',' && depth == 1:
			choices = append(choices, pattern[start:i])
			start = i + 1
		case c == '}':
			if depth--; depth > 0 {
				continue
			}
			var all []string
			for _, choice := range append(choices, pattern[start:i]) {
				all = append(all, braces(pattern[:open]+choice+pattern[i+1:])...)
				if len(all) > maxAlternatives {
					return all
				}
			}
			return all
		}
	}
	return []string{pattern}
}
