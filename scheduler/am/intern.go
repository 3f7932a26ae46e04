package am

import "github.com/seed3322913c/runner/scheduler"

// interned keeps one copy of what many attempts have in common.
type interned struct {
	strings map[string]string
	keys    []counterKey
	byKey   map[counterKey]int32
}

type counterKey struct{ group, name string }

// counted is one counter of one attempt.
type counted struct {
	key   int32 // in interned.keys
	value int64
}

func newInterned() interned {
	return interned{strings: map[string]string{}, byKey: map[counterKey]int32{}}
}

// text returns s in the copy that is shared.
func (in *interned) text(s string) string {
	if t, ok := in.strings[s]; ok {
		return t
	}
	in.strings[s] = s
	return s
}

func (in *interned) texts(list []string) []string {
	for i, s := range list {
		list[i] = in.text(s)
	}
	return list
}

// pack makes counters small.
func (in *interned) pack(c scheduler.Counters) []counted {
	var packed []counted
	for group, names := range c {
		for name, v := range names {
			k := counterKey{in.text(group), in.text(name)}
			i, ok := in.byKey[k]
			if !ok {
				i = int32(len(in.keys))
				in.keys = append(in.keys, k)
				in.byKey[k] = i
			}
			packed = append(packed, counted{i, v})
		}
	}
	return packed
}

// unpack is the inverse of pack.
func (in *interned) unpack(packed []counted) scheduler.Counters {
	if packed == nil {
		return nil
	}
	c := scheduler.Counters{}
	for _, p := range packed {
		k := in.keys[p.key]
		c.Add(k.group, k.name, p.value)
	}
	return c
}
