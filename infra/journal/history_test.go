package journal_test

import (
	"fmt"
	"slices"
	"sync"
)

// history is what a run of several processes has seen, and judges what the log holds at the end.
type history struct {
	mu     sync.Mutex
	acked  map[string]int // records that were acknowledged, and their place in the leader's State then
	denied map[string]bool
	order  map[string][]string // per appending goroutine, its acknowledged records
	epochs []uint64            // in the order in which leaderships began, as far as that was seen
	seen   [][]string          // what readers and followers had
}

func newHistory() *history {
	return &history{acked: map[string]int{}, denied: map[string]bool{}, order: map[string][]string{}}
}

func (h *history) ack(writer, record string, place int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acked[record] = place
	h.order[writer] = append(h.order[writer], record)
}

// deny notes a record of which the journal said that it was not appended.
func (h *history) deny(record string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.denied[record] = true
}

func (h *history) lead(epoch uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.epochs = append(h.epochs, epoch)
}

func (h *history) saw(records []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, records)
}

// check returns what is wrong with the final log.
func (h *history) check(final []string) (wrong []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	place := map[string]int{}
	for i, r := range final {
		if first, twice := place[r]; twice {
			wrong = append(wrong, fmt.Sprintf("%s is at %d and at %d", r, first, i))
		}
		place[r] = i
		if h.denied[r] {
			wrong = append(wrong, fmt.Sprintf("%s is in the log, and was said not to be", r))
		}
	}
	for r, at := range h.acked {
		if now, there := place[r]; !there {
			wrong = append(wrong, fmt.Sprintf("%s was acknowledged, and is lost", r))
		} else if now != at {
			wrong = append(wrong, fmt.Sprintf("%s was acknowledged at %d, and is at %d", r, at, now))
		}
	}
	for _, records := range h.order {
		if !slices.IsSortedFunc(records, func(a, b string) int { return place[a] - place[b] }) {
			wrong = append(wrong, fmt.Sprintf("%v came out of order", records))
		}
	}
	for _, s := range h.seen {
		if len(s) > len(final) || !slices.Equal(s, final[:len(s)]) {
			wrong = append(wrong, fmt.Sprintf("a reader saw %v", s))
		}
	}
	epochs := slices.Sorted(slices.Values(h.epochs))
	if len(slices.Compact(slices.Clone(epochs))) != len(epochs) {
		wrong = append(wrong, fmt.Sprintf("two leaderships had one epoch: %v", epochs))
	}
	return wrong
}
