// Package nearest finds what somebody who mistyped a name may have meant.
package nearest

import (
	"strconv"

	"github.com/agnivade/levenshtein"
)

// Hint returns the end of a sentence about the unknown name: `; did you mean "wordcount"?` when one of the known names
// is near, the list of a few known names when none is, or nothing when there are none.
func Hint(name string, known []string) string {
	best, distance := "", len(name)/3+2 // a third of the letters wrong, and one more: beyond that it is another word
	for _, k := range known {
		if d := levenshtein.ComputeDistance(name, k); d < distance {
			best, distance = k, d
		}
	}
	if best != "" {
		return "; did you mean " + strconv.Quote(best) + "?"
	}
	list := ""
	for i, k := range known {
		if i > 0 {
			list += ", "
		}
		list += k
	}
	if list == "" {
		return ""
	}
	return "; there is " + list
}
