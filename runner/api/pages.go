package api

import (
	"cmp"
	"net/http"
	"slices"
)

// Pages of lists that are in order of a name, in entries.
const (
	namedPage    = 1000
	maxNamedPage = 10_000
)

// page returns the part of a list that a request asks for: at most limit=N of those whose names come behind after=NAME.
// next is what to say as after for the page behind it. What comes and goes meanwhile moves nothing else.
func page[T any](r *http.Request, all []T, name func(T) string) (part []T, next string, err error) {
	limit, err := number(r, "limit", namedPage, maxNamedPage)
	if err != nil {
		return nil, "", err
	}
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(name(a), name(b)) })
	if after := r.URL.Query().Get("after"); after != "" {
		at, found := slices.BinarySearchFunc(all, after, func(one T, after string) int {
			return cmp.Compare(name(one), after)
		})
		if found {
			at++
		}
		all = all[at:]
	}
	part = append([]T{}, all[:min(int64(len(all)), limit)]...)
	if len(part) > 0 && len(part) < len(all) {
		next = name(part[len(part)-1])
	}
	return part, next, nil
}
