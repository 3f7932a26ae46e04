package consul

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/internal/changes"
)

// wait bounds one blocking query. Consul forgets abandoned ones only when they end, so they are not as long as may be.
const wait = time.Minute

// Watch implements coord.Coordinator.
func (c *Coordinator) Watch(ctx context.Context, prefix string) iter.Seq2[coord.Event, error] {
	return func(yield func(coord.Event, error) bool) {
		w := watch{c: c, prefix: prefix}
		changes.Events(func() (changes.Hint, error) { return w.next(ctx) }, w.get)(yield)
	}
}

// watch is one loop over Watch. What exists is kept from the answer, which has all values in it anyway.
type watch struct {
	c      *Coordinator
	prefix string
	index  uint64
	values map[coord.Key]coord.Value
}

// next waits for an answer. Consul answers at times though nothing has changed, and skips states that were short.
func (w *watch) next(ctx context.Context) (changes.Hint, error) {
	q := read(ctx)
	q.WaitIndex, q.WaitTime = w.index, wait
	root := w.c.value("")
	pairs, meta, err := w.c.client.KV().List(w.c.value(w.prefix), q)
	if err != nil {
		return changes.Hint{}, fail(ctx, "consul.Watch", w.prefix, err)
	}
	w.index = nextIndex(w.index, meta)
	hint := changes.Hint{All: true}
	w.values = make(map[coord.Key]coord.Value, len(pairs))
	for _, pair := range pairs {
		key := coord.Key(strings.TrimPrefix(pair.Key, root))
		w.values[key] = valueOf(pair)
		hint.Keys = append(hint.Keys, key)
	}
	return hint, nil
}

func (w *watch) get(key coord.Key) (coord.Value, error) { return w.values[key], nil }

// nextIndex is what to wait behind. An index that went backwards is of servers that were restored from a backup: what
// is known begins anew. It is never 0, which would not wait.
func nextIndex(before uint64, meta *api.QueryMeta) uint64 {
	if meta.LastIndex < before {
		return 0
	}
	return max(1, meta.LastIndex)
}
