package merge

import "bytes"

// tree is a loser tree: a tournament in which each inner node remembers who lost there, so that finding the next winner
// takes one comparison per level, all on the path of the last winner. The leaves are the streams, numbered from
// len(streams); node n's parent is n/2.
type tree struct {
	streams []*stream
	losers  []int // by node; -1 while the first ones are being entered
	winner  int
	compare func(a, b []byte) int // nil: byte order
}

func newTree(streams []*stream, compare func(a, b []byte) int) *tree {
	t := &tree{streams: streams, losers: make([]int, len(streams)), compare: compare}
	for n := range t.losers {
		t.losers[n] = -1
	}
	for i := range streams {
		t.enter(i)
	}
	return t
}

// enter plays stream i, whose record is new, from its leaf up to the root, or to a node where nobody has been yet.
func (t *tree) enter(i int) {
	for n := (i + len(t.streams)) / 2; n > 0; n /= 2 {
		other := t.losers[n]
		if other < 0 {
			t.losers[n] = i
			return
		}
		if t.before(other, i) {
			t.losers[n], i = i, other
		}
	}
	t.winner = i
}

// before reports whether stream a's record comes before stream b's. Of equal keys the one of the earlier stream does.
func (t *tree) before(a, b int) bool {
	x, y := t.streams[a], t.streams[b]
	if x.ended || y.ended {
		return !x.ended
	}
	if t.compare != nil {
		c := t.compare(x.Key, y.Key)
		return c < 0 || c == 0 && a < b
	}
	if x.prefix != y.prefix {
		return x.prefix < y.prefix
	}
	c := bytes.Compare(x.Key, y.Key)
	return c < 0 || c == 0 && a < b
}
