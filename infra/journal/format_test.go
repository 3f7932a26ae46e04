package journal_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/record"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// rewrite changes the bytes of one object.
func rewrite(t *testing.T, st store.Store, name store.Name, change func([]byte) []byte) {
	t.Helper()
	old, err := store.Get(t.Context(), st, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), st, name, change(bytes.Clone(old))); err != nil {
		t.Fatal(err)
	}
}

func TestDamageIsTold(t *testing.T) {
	const entry, snapshot = "j/log/00000000000000000004", "j/checkpoint/00000000000000000003"
	for what, c := range map[string]struct {
		name   store.Name
		change func([]byte) []byte
	}{
		"flipped bit in an entry":     {entry, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }},
		"empty entry":                 {entry, func([]byte) []byte { return nil }},
		"short entry":                 {entry, func(b []byte) []byte { return b[:len(b)-1] }},
		"two entries in one object":   {entry, func(b []byte) []byte { return append(b, b...) }},
		"flipped bit in a checkpoint": {snapshot, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }},
		"empty checkpoint":            {snapshot, func([]byte) []byte { return nil }},
		"checkpoint without end mark": {snapshot, func(b []byte) []byte { return b[:len(b)-7] }},
		"checkpoint with more behind": {snapshot, func(b []byte) []byte { return append(b, b...) }},
		"short checkpoint":            {snapshot, func(b []byte) []byte { return b[:len(b)-9] }},
	} {
		synctest.Test(t, func(t *testing.T) {
			st := mem.New()
			l := lead(t, st, &values{}, journal.Options{})
			appendAll(t, l, "a", "b")
			checkpoint(t, l)
			appendAll(t, l, "c", "d")
			rewrite(t, st, c.name, c.change)
			_, err := journal.Read(t.Context(), st, "j", &values{}, journal.Options{})
			if !errors.Is(err, errs.Corrupt) || !strings.Contains(err.Error(), string(c.name)) {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
}

// TestObjectsUnderAnotherNameAreTold copies an entry, and then a checkpoint, to the next number.
func TestObjectsUnderAnotherNameAreTold(t *testing.T) {
	st := mem.New()
	l := lead(t, st, &values{}, journal.Options{})
	appendAll(t, l, "a")
	if err := l.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, "b")
	for from, to := range map[store.Name]store.Name{
		"j/log/00000000000000000003":        "j/log/00000000000000000004",
		"j/checkpoint/00000000000000000002": "j/checkpoint/00000000000000000003",
	} {
		data, err := store.Get(t.Context(), st, from, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Put(t.Context(), st, to, data); err != nil {
			t.Fatal(err)
		}
		_, err = journal.Read(t.Context(), st, "j", &values{}, journal.Options{})
		if !errors.Is(err, errs.Corrupt) || !strings.Contains(err.Error(), string(to)) {
			t.Errorf("%s: %v", to, err)
		}
		if err := st.Delete(t.Context(), to); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzEntry and FuzzCheckpoint read any bytes: they are taken as what they say, or refused, and never crash the reader.
func FuzzEntry(f *testing.F) {
	st := mem.New()
	l, err := journal.Lead(f.Context(), st, "j", &values{}, journal.Options{Writer: "fuzz"})
	if err != nil {
		f.Fatal(err)
	}
	defer l.Close()
	if err := l.Append(f.Context(), []byte("record"), nil); err != nil {
		f.Fatal(err)
	}
	for _, seq := range []store.Name{"j/log/00000000000000000001", "j/log/00000000000000000002"} {
		seed(f, st, seq)
	}
	for _, payload := range []string{"", "\x01", "\x02\x01\x02\x01", "\x01\x02\x01\x01\x00" + strings.Repeat("n", 16)} {
		f.Add(record.Append(nil, []byte(payload), record.None))
	}
	f.Fuzz(func(t *testing.T, data []byte) { readAny(t, "j/log/00000000000000000001", data) })
}

func FuzzCheckpoint(f *testing.F) {
	st := mem.New()
	l, err := journal.Lead(f.Context(), st, "j", &values{}, journal.Options{Writer: "fuzz"})
	if err != nil {
		f.Fatal(err)
	}
	defer l.Close()
	if err := l.Checkpoint(f.Context()); err != nil {
		f.Fatal(err)
	}
	seed(f, st, "j/checkpoint/00000000000000000001")
	f.Add(record.Append(nil, []byte("\x01\x01\x01\x00"), record.None))
	f.Fuzz(func(t *testing.T, data []byte) { readAny(t, "j/checkpoint/00000000000000000001", data) })
}

func seed(f *testing.F, st store.Store, name store.Name) {
	data, err := store.Get(f.Context(), st, name, 1<<20)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)/2])
}

func readAny(t *testing.T, name store.Name, data []byte) {
	st := mem.New()
	if err := store.Put(t.Context(), st, name, data); err != nil {
		t.Fatal(err)
	}
	_, err := journal.Read(t.Context(), st, "j", &anything{}, journal.Options{})
	if err != nil && !errors.Is(err, errs.Corrupt) && !errors.Is(err, errs.Unsupported) {
		t.Error(err)
	}
}

// anything is a State that takes whatever comes.
type anything struct{ values }

func (*anything) Restore(r io.Reader) error {
	if r == nil {
		return nil
	}
	_, err := io.Copy(io.Discard, r)
	return err
}
func (*anything) Apply([]byte) error { return nil }
