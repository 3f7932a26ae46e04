package journal_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
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
