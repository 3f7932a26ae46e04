package blocks

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/mapreduce/split"
	"github.com/seed3322913c/runner/scheduler"
)

// TestNear: splits are divided evenly, whoever asks names the same machines, and one that leaves moves only its own.
func TestNear(t *testing.T) {
	machines := []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"}
	had := map[string]int{}
	for i := range 1000 {
		s := split.Split{{File: split.File{URI: fmt.Sprintf("s3://bucket/in/%d.txt", i)}, Length: 1}}
		near := Near(machines, s)
		if len(near) != copies || near[0] == near[1] {
			t.Fatalf("%q", near)
		}
		had[near[0]]++
		shuffled := slices.Clone(machines)
		slices.Reverse(shuffled)
		if again := Near(shuffled, s); !slices.Equal(again, near) {
			t.Fatalf("%q, then %q", near, again)
		}
		left := slices.DeleteFunc(slices.Clone(machines), func(m string) bool { return m == "10.0.0.3" })
		if now := Near(left, s); near[0] != "10.0.0.3" && now[0] != near[0] {
			t.Fatalf("%q, and %q without 10.0.0.3", near, now)
		}
	}
	for m, n := range had {
		if n < 100 || n > 300 {
			t.Errorf("%s has %d of 1000 splits", m, n)
		}
	}
	if near := Near(nil, split.Split{{}}); len(near) != 0 {
		t.Errorf("%q of no machines", near)
	}
}

// counts is a reporter of counters alone.
type counts struct{ scheduler.Counters }

func (c counts) Progress(int64)                    {}
func (c counts) Status(string)                     {}
func (c counts) Logf(string, ...any)               {}
func (c counts) Count(group, name string, n int64) { c.Add(group, name, n) }

// TestKeep: what is read again comes from the disk, unless it has changed.
func TestKeep(t *testing.T) {
	st := mem.New()
	resolve := func(_ context.Context, uri string) (store.Store, store.Name, error) {
		return st, store.Name(uri[len("s3://bucket/"):]), nil
	}
	folder := t.TempDir()
	read := func() ([]byte, counts) {
		t.Helper()
		kept, end := Keep(resolve, folder, Options{})
		defer end()
		c := counts{scheduler.Counters{}}
		ctx := context.WithValue(t.Context(), attempt{}, c)
		s, name, err := kept(ctx, "s3://bucket/in")
		if err != nil {
			t.Fatal(err)
		}
		body, err := s.Open(ctx, name, store.Range{})
		if err != nil {
			t.Fatal(err)
		}
		if info, err := body.(store.Reader).Info(); err != nil || info.Size != 3<<20 {
			t.Errorf("%+v, %v", info, err)
		}
		data, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		if err := body.Close(); err != nil {
			t.Fatal(err)
		}
		s.(*bucket).kept.Flush()
		return data, c
	}
	for _, b := range []byte("aab") {
		want, disk := bytes.Repeat([]byte{b}, 3<<20), int64(0)
		if now, err := store.Get(t.Context(), st, "in", 4<<20); err == nil && bytes.Equal(now, want) {
			disk = 3 << 20
		} else if err := store.Put(t.Context(), st, "in", want); err != nil {
			t.Fatal(err)
		}
		got, n := read()
		if !bytes.Equal(got, want) {
			t.Error("other bytes than there are")
		}
		if hit, missed := n.Get(CounterGroup, FromDisk), n.Get(CounterGroup, FromStore); hit != disk || hit+missed != 3<<20 {
			t.Errorf("%d bytes from the disk and %d from the store, want %d from the disk", hit, missed, disk)
		}
	}
	s, _, err := func() (store.Store, store.Name, error) {
		kept, end := Keep(resolve, folder, Options{})
		defer end()
		return kept(t.Context(), "s3://bucket/in")
	}()
	if _, ok := store.MultipartOf(s); !ok || err != nil {
		t.Errorf("a bucket with blocks takes no uploads: %v", err)
	}
}
