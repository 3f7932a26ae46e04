package functions

import "hash/maphash"

const (
	cacheSlots  = 1 << 12 // keys that a foldCache remembers: with their values they fit the second-level cache
	cacheMaxKey = 256     // longer keys pass by, which bounds the memory
)

// foldCache folds the values of keys that come again soon, and passes on the rest. It has one slot for all keys of the
// same hash: a newcomer puts out who is there. So it costs little where no key comes twice.
type foldCache[V any] struct {
	fold  func(a, b V) V
	put   func(key []byte, value V) error
	seed  maphash.Seed
	slots []cacheSlot[V]
}

type cacheSlot[V any] struct {
	key   []byte // reused
	value V
	used  bool
}

func newFoldCache[V any](fold func(a, b V) V, put func(key []byte, value V) error) *foldCache[V] {
	return &foldCache[V]{fold, put, maphash.MakeSeed(), make([]cacheSlot[V], cacheSlots)}
}

func (c *foldCache[V]) add(key []byte, value V) error {
	if len(key) > cacheMaxKey {
		return c.put(key, value)
	}
	s := &c.slots[maphash.Bytes(c.seed, key)%cacheSlots]
	if s.used && string(s.key) == string(key) {
		s.value = c.fold(s.value, value)
		return nil
	}
	if s.used {
		if err := c.put(s.key, s.value); err != nil {
			return err
		}
	}
	s.key, s.value, s.used = append(s.key[:0], key...), value, true
	return nil
}

// flush passes on all that is there.
func (c *foldCache[V]) flush() error {
	for i := range c.slots {
		if s := &c.slots[i]; s.used {
			s.used = false
			if err := c.put(s.key, s.value); err != nil {
				return err
			}
		}
	}
	return nil
}
