package journal_test

import (
	"bytes"
	"context"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// memory is the smallest store that these tests need.
type memory struct {
	mu       sync.Mutex
	objects  map[store.Name][]byte
	careless bool // ignores IfAbsent
}

func newMemory() *memory { return &memory{objects: map[store.Name][]byte{}} }

func (m *memory) put(n store.Name, data []byte, ifAbsent bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.objects[n]; there && ifAbsent && !m.careless {
		return errs.E("memory.Commit", errs.Exist, n, nil)
	}
	m.objects[n] = data
	return nil
}

func (m *memory) Create(_ context.Context, n store.Name, opts ...store.CreateOption) (store.Writer, error) {
	return &memoryWriter{put: func(data []byte) error { return m.put(n, data, store.Collect(opts).IfAbsent) }}, nil
}

func (m *memory) Open(_ context.Context, n store.Name, _ store.Range) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.objects[n]
	if !ok {
		return nil, errs.E("memory.Open", errs.NotFound, n, nil)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (m *memory) Stat(_ context.Context, n store.Name) (store.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.objects[n]
	if !ok {
		return store.Info{}, errs.E("memory.Stat", errs.NotFound, n, nil)
	}
	return store.Info{Name: n, Size: int64(len(data))}, nil
}

func (m *memory) List(_ context.Context, prefix string) iter.Seq2[store.Info, error] {
	m.mu.Lock()
	names := slices.Sorted(maps.Keys(m.objects))
	m.mu.Unlock()
	return func(yield func(store.Info, error) bool) {
		for _, n := range names {
			if strings.HasPrefix(string(n), prefix) && !yield(store.Info{Name: n}, nil) {
				return
			}
		}
	}
}

func (m *memory) Delete(_ context.Context, n store.Name) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, n)
	return nil
}

type memoryWriter struct {
	bytes.Buffer
	put func([]byte) error
}

func (w *memoryWriter) Commit(context.Context) error { return w.put(bytes.Clone(w.Bytes())) }
func (w *memoryWriter) Abort(context.Context) error  { return nil }
