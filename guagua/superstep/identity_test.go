package superstep

import (
	"encoding/binary"
	"slices"
)

// This file tells worlds apart.

// id returns bytes that are equal for equal worlds. Connections are renumbered by age, so that worlds meet again.
func (w *world) id() string {
	names := map[int]int{}
	var all []int
	for _, n := range w.workers {
		all = append(all, n.conn)
	}
	for _, m := range w.masters {
		all = append(all, m.conn...)
	}
	for _, x := range w.wires {
		all = append(all, x.conn)
	}
	slices.Sort(all)
	for _, c := range slices.Compact(all) {
		names[c] = len(names) + int(bit(c != 0 && all[0] != 0))
	}
	var b []byte
	put := func(v ...int) {
		for _, v := range v {
			b = binary.AppendVarint(b, int64(v))
		}
	}
	point := func(p Point) { put(p.Iteration, int(p.Epoch)) }
	put(w.crashes, w.resets, w.agains, int(w.sealed), int(w.key.epoch), int(bit(w.key.done)), int(bit(w.ledger.Final)))
	point(w.ledger.At)
	for _, m := range w.masters {
		put(int(bit(m.dead)), int(m.phase), int(m.turn), int(bit(m.saving)), m.source, len(m.save))
		if m.dead {
			continue
		}
		point(m.at)
		point(m.durable)
		for j, x := range m.members {
			put(names[m.conn[j]], x.attempt, int(x.serial), int(bit(x.online)), int(bit(x.got)), x.partial, m.part[j])
			if w.staleness > 0 {
				put(x.behind, int(x.counted))
			}
			put(m.used[j].attempt, m.used[j].work, m.used[j].iteration)
			point(x.have)
			point(x.held)
		}
		for _, s := range m.save {
			point(s.At)
			put(int(bit(s.Final)), int(bit(s.Wait)))
		}
	}
	for _, n := range w.workers {
		put(n.me.Attempt, int(n.joins), names[n.conn], int(n.epoch))
		put(int(bit(n.left)), int(bit(n.kept)), int(bit(n.computing)))
		put(int(n.order.Epoch), int(n.order.Turn), int(bit(n.order.Content)), int(bit(n.order.Older)))
		if w.staleness > 0 { // otherwise it makes no difference
			put(int(n.sent.Epoch), int(n.sent.Turn), int(n.order.Counted), n.work)
		}
		point(n.order.At)
		point(n.at)
		point(n.held)
		point(n.from)
	}
	for _, x := range w.wires {
		x.conn = names[x.conn]
		b = append(append(b, x.sort()...), '|')
	}
	return string(b)
}

func (w *world) over() bool {
	for _, n := range w.workers {
		if !n.left {
			return false
		}
	}
	return true
}

// mayGetAnother reports whether a new master can still be started because the newest is dead.
func (w *world) mayGetAnother() bool {
	return len(w.masters) < w.size.masters && (len(w.masters) == 0 || w.masters[len(w.masters)-1].dead)
}
