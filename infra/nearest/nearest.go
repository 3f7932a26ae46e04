// Package nearest finds what somebody who mistyped a name may have meant.
package nearest

import (
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Of returns the known name that name was probably meant to be, or "": at most half of its letters may be wrong. Of
// two as near the longer is taken, since it shares more letters.
func Of(name string, known []string) string {
	best, least := "", max(2, len(name)/2)
	for _, k := range known {
		d := levenshtein.ComputeDistance(name, k)
		if d < len(k) && (d < least || d == least && len(k) > len(best)) {
			best, least = k, d
		}
	}
	return best
}

// Hint returns the end of a sentence about the unknown name: `; did you mean "wordcount"?` when one of the known names
// is near, the list of the known names when none is, or nothing when there are none.
func Hint(name string, known []string) string {
	if near := Of(name, known); near != "" {
		return "; did you mean " + strconv.Quote(near) + "?"
	}
	if len(known) == 0 {
		return ""
	}
	return "; there is " + strings.Join(known, ", ")
}
