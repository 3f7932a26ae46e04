package functions

import "hash/maphash"

const (
	cacheSlots = 1 << 12 // keys that a foldCache remembers: they fit the second-level cache with their values
	cacheKey   = 31      // bytes of the longest key that it remembers; longer ones pass by
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
	value V
	used  uint8 // length of the key, and 1; 0: nobody is there
	key   [cacheKey]byte
}

func newFoldCache[V any](fold func(a, b V) V, put func(key []byte, value V) error) *foldCache[V] {
	return &foldCache[V]{fold, put, maphash.MakeSeed(), make([]cacheSlot[V], cacheSlots)}
}

func (c *foldCache[V]) add(key []byte, value V) error {
	if len(key) > cacheKey {
		return c.put(key, value)
	}
	s := &c.slots[maphash.Bytes(c.seed, key)%cacheSlots]
	if int(s.used) == len(key)+1 && string(s.key[:len(key)]) == string(key) {
		s.value = c.fold(s.value, value)
		return nil
	}
	if err := c.pass(s); err != nil {
		return err
	}
	copy(s.key[:], key)
	s.value, s.used = value, uint8(len(key)+1)
	return nil
}

// pass puts out who is in a slot.
func (c *foldCache[V]) pass(s *cacheSlot[V]) error {
	if s.used == 0 {
		return nil
	}
	n := s.used - 1
	s.used = 0
	return c.put(s.key[:n], s.value)
}

// flush passes on all that is there.
func (c *foldCache[V]) flush() error {
	for i := range c.slots {
		if err := c.pass(&c.slots[i]); err != nil {
			return err
		}
	}
	return nil
}
