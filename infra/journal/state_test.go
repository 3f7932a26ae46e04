package journal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
)

// values is a State that remembers every record in order.
type values struct {
	mu       sync.Mutex
	list     []string
	restores int
}

func (v *values) Restore(snapshot io.Reader) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.list, v.restores = nil, v.restores+1
	if snapshot == nil {
		return nil
	}
	return json.NewDecoder(snapshot).Decode(&v.list)
}

func (v *values) Apply(record []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if string(record) == "poison" {
		return fmt.Errorf("cannot swallow %q", record)
	}
	v.list = append(v.list, string(record))
	return nil
}

func (v *values) Snapshot() (io.WriterTo, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var b bytes.Buffer
	err := json.NewEncoder(&b).Encode(v.list)
	return &b, err
}

func (v *values) get() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.list)
}

// place returns where a record is.
func (v *values) place(record string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Index(v.list, record)
}

// lead takes the journal "j" over for the length of the test.
func lead(t *testing.T, st store.Store, s journal.State, o journal.Options) *journal.Leader {
	t.Helper()
	l, err := journal.Lead(t.Context(), st, "j", s, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func appendAll(t *testing.T, l *journal.Leader, records ...string) {
	t.Helper()
	for _, r := range records {
		if err := l.Append(t.Context(), []byte(r)); err != nil {
			t.Fatal(err)
		}
	}
}

// read returns the records of the journal "j".
func read(t *testing.T, st store.Store) []string {
	t.Helper()
	var s values
	if _, err := journal.Read(context.Background(), st, "j", &s, journal.Options{}); err != nil {
		t.Fatal(err)
	}
	return s.list
}

// objects lists what there is in the store, without the prefix.
func objects(t *testing.T, st store.Store) (names []string) {
	t.Helper()
	for info, err := range st.List(t.Context(), "j/") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, string(info.Name[len("j/"):]))
	}
	return names
}
