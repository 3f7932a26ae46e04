// Package changes turns hints into the events of a watch. A driver only has to say which keys may have changed; what
// they hold is read afresh, so a hint too many, or one for many changes, does no harm.
package changes

import (
	"iter"
	"slices"

	"github.com/seed3322913c/runner/infra/coord"
)

// Hint says which keys may have changed since the last one.
type Hint struct {
	Keys []coord.Key
	// All says that hints may have been lost: Keys are then all keys that exist, and others may have been deleted.
	All bool
}

// Events yields an event for every key whose version differs from the last one that was yielded. next waits for a hint;
// the first must name all keys that exist. get reads a key. An error of either is yielded and ends the sequence.
func Events(next func() (Hint, error), get func(coord.Key) (coord.Value, error)) iter.Seq2[coord.Event, error] {
	return func(yield func(coord.Event, error) bool) {
		seen := map[coord.Key]coord.Version{} // the keys that exist, as far as the receiver knows
		for {
			hint, err := next()
			if err != nil {
				yield(coord.Event{}, err)
				return
			}
			keys := hint.Keys
			if hint.All {
				for k := range seen {
					keys = append(keys, k)
				}
			}
			slices.Sort(keys)
			for _, k := range slices.Compact(keys) {
				v, err := get(k)
				if err != nil {
					yield(coord.Event{}, err)
					return
				}
				if v.Version == seen[k] {
					continue
				}
				if seen[k] = v.Version; v.Version == 0 {
					delete(seen, k)
				}
				if !yield(coord.Event{Key: k, Value: v}, nil) {
					return
				}
			}
		}
	}
}
