package api

import (
	"cmp"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/say"
)

// Lists are read a page at a time: at most limit=N entries, behind those of the page before, whose next is said as
// after. Lists that are in order of a name go on behind a name; others behind an entry, or where it was if it has gone
// meanwhile. So what comes and goes moves nothing else.

// pageSize is how many entries a page has, if nobody says, and at most.
type pageSize struct{ usual, most int64 }

// named is the page size of most lists.
var named = pageSize{1000, 10_000}

func (s pageSize) limit(r *http.Request) (int, error) {
	n, err := number(r, "limit", s.usual, s.most)
	return int(n), err
}

// page returns the part of a list that a request asks for, in order of its names.
func page[T any](r *http.Request, all []T, name func(T) string) (part []T, next string, err error) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(name(a), name(b)) })
	return pageOfSeq(r, named, func(yield func(T, error) bool) {
		for _, one := range all {
			if !yield(one, nil) {
				return
			}
		}
	}, name)
}

// pageOfSeq is page for a list that is in order already and read as far as need be. What has no name is left out.
func pageOfSeq[T any](
	r *http.Request, size pageSize, all iter.Seq2[T, error], name func(T) string,
) (part []T, next string, err error) {
	limit, err := size.limit(r)
	if err != nil {
		return nil, "", err
	}
	after, part := r.URL.Query().Get("after"), []T{}
	for one, err := range all {
		if err != nil {
			return nil, "", err
		}
		if n := name(one); n == "" || n <= after {
			continue
		}
		if len(part) == limit {
			if limit > 0 {
				next = name(part[limit-1])
			}
			break
		}
		part = append(part, one)
	}
	return part, next, nil
}

// pageInOrder returns the part of a list that a request asks for, in the list's own order. No two entries have the same
// key.
func pageInOrder[T any](
	r *http.Request, size pageSize, all []T, key func(T) string,
) (part []T, next string, err error) {
	limit, err := size.limit(r)
	if err != nil {
		return nil, "", err
	}
	from := 0
	if after := r.URL.Query().Get("after"); after != "" {
		place, last, _ := strings.Cut(after, ".")
		if from, err = strconv.Atoi(place); err != nil || from < 0 {
			return nil, "", say.Errorf(errs.Invalid, "after=%q is not the next of a page", after)
		}
		if at := slices.IndexFunc(all, func(one T) bool { return key(one) == last }); at >= 0 {
			from = at + 1
		}
	}
	from = min(from, len(all))
	part = append([]T{}, all[from:min(from+limit, len(all))]...)
	if from += len(part); len(part) > 0 && from < len(all) {
		next = fmt.Sprintf("%d.%s", from, key(part[len(part)-1]))
	}
	return part, next, nil
}
