// Package fold is what both sides of a job with an Int64Folder share: the fold itself, and a table that folds all
// values of a key into one.
package fold

import "github.com/seed3322913c/runner/functions"

// Func folds two values. The well-known folds are done in place, without a call.
type Func struct {
	kind  functions.FoldKind
	other functions.Int64Folder
}

// Of returns the fold that f is.
func Of(f functions.Int64Folder) Func {
	if k, ok := f.(functions.Int64FoldKind); ok {
		return Func{k.Int64Fold(), f}
	}
	return Func{functions.FoldOther, f}
}

// Fold returns a and b in one.
func (f Func) Fold(a, b int64) int64 {
	switch f.kind {
	case functions.FoldSum:
		return a + b
	case functions.FoldMin:
		return min(a, b)
	case functions.FoldMax:
		return max(a, b)
	}
	return f.other.FoldInt64(a, b)
}

// IsSum reports whether the fold is addition.
func (f Func) IsSum() bool { return f.kind == functions.FoldSum }
