package merge

import (
	"bytes"
	"slices"
)

// Groups counts what Reduce has seen.
type Groups struct {
	Count int64
	Hot   []Hot // the groups with the most records, most first
}

// Hot is a group of many records.
type Hot struct {
	Key     []byte `json:"key"` // its first key, or how that begins
	Records int64  `json:"records"`
}

const (
	hottest   = 3  // groups that are kept
	hotKeyMax = 64 // bytes of a key that are kept
)

// add counts a group.
func (g *Groups) add(key []byte, records int64) {
	g.Count++
	if len(g.Hot) == hottest && records <= g.Hot[hottest-1].Records {
		return
	}
	at := slices.IndexFunc(g.Hot, func(h Hot) bool { return h.Records < records })
	if at < 0 {
		at = len(g.Hot)
	}
	g.Hot = slices.Insert(g.Hot, at, Hot{bytes.Clone(key[:min(len(key), hotKeyMax)]), records})
	g.Hot = g.Hot[:min(len(g.Hot), hottest)]
}
