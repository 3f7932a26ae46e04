package proof

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/scheduler"
)

// balanced are totals in which every term matters.
func balanced() Totals {
	return Totals{
		SplitsPlanned: 3, SplitsRead: 3, BytesPlanned: 700, BytesRead: 700, InputRecords: 20,
		MapOutputRecords: 100, CombineInputRecords: 110, CombineOutputRecords: 50, Reduces: 2,
		SegmentsPlanned: 12, SegmentsRead: 12, SegmentRecords: 40, SegmentBytes: 333, ReduceInputRecords: 40,
		ReduceInputGroups: 9, OutputRecords: 3, OutputBytes: 11,
	}
}

func TestTotals(t *testing.T) {
	if err := balanced().Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Totals){
		"a split lost":             func(t *Totals) { t.SplitsRead-- },
		"a split read twice":       func(t *Totals) { t.SplitsRead++ },
		"bytes lost":               func(t *Totals) { t.BytesRead -= 7 },
		"a record lost in the map": func(t *Totals) { t.SegmentRecords--; t.ReduceInputRecords-- },
		"a combiner that invents":  func(t *Totals) { t.CombineOutputRecords++ },
		"a record lost on the way": func(t *Totals) { t.ReduceInputRecords-- },
		"a segment not verified":   func(t *Totals) { t.SegmentsRead-- },
		"map-only, a record lost":  func(t *Totals) { *t = Totals{MapOutputRecords: 5, OutputRecords: 4} },
		"nothing read, some made":  func(t *Totals) { *t = Totals{OutputRecords: 1} },
	} {
		bad := balanced()
		change(&bad)
		if err := bad.Check(); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("%s: %v, want Corrupt", name, err)
		}
	}
	if err := (Totals{Reduces: 1, OutputRecords: 1}).Check(); err != nil {
		t.Errorf("a reducer may say something about nothing: %v", err)
	}
}

// output stores a verifiable output of two parts.
func output(t *testing.T) (*mem.Store, store.Resolve, Manifest) {
	t.Helper()
	st := mem.New()
	resolve := func(_ context.Context, uri string) (store.Store, store.Name, error) {
		return st, store.Name(strings.TrimPrefix(uri, "mem://")), nil
	}
	m := Manifest{
		Format: format, Job: "aaaa-words", Name: "words", Spec: "sha256:0", Finished: time.Unix(1, 0).UTC(),
		Totals: balanced(),
	}
	for name, content := range map[string]string{"part-r-00000": "a\t1\nb\t2\n", "part-r-00001": "c\n\n"} {
		put(t, st, "out/"+name, content)
		records := int64(strings.Count(content, "\t"))
		m.Parts = append(m.Parts, Part{name, int64(len(content)), records, Sum(0).Update([]byte(content))})
	}
	m.Totals.OutputRecords = 2
	save(t, st, m)
	return st, resolve, m
}

func put(t *testing.T, st store.Store, name, content string) {
	t.Helper()
	if err := store.Put(t.Context(), st, store.Name(name), []byte(content)); err != nil {
		t.Fatal(err)
	}
}

func save(t *testing.T, st store.Store, m Manifest) {
	t.Helper()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, st, "out/_SUCCESS", string(b))
}

func TestVerify(t *testing.T) {
	_, resolve, want := output(t)
	got, err := Verify(t.Context(), resolve, "mem://out/")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestVerifyFinds(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, st *mem.Store, m Manifest)
		kind   errs.Kind
		want   string
	}{
		{"a changed byte", func(t *testing.T, st *mem.Store, _ Manifest) { put(t, st, "out/part-r-00000", "a\t1\nb\t3\n") },
			errs.Corrupt, "its bytes were changed"},
		{"a short part", func(t *testing.T, st *mem.Store, _ Manifest) { put(t, st, "out/part-r-00000", "a\t1\n") },
			errs.Corrupt, "4 bytes, 8 were written"},
		{"a missing part", func(t *testing.T, st *mem.Store, _ Manifest) { remove(t, st, "out/part-r-00001") },
			errs.Corrupt, "part-r-00001 is missing"},
		{"a strange part", func(t *testing.T, st *mem.Store, _ Manifest) { put(t, st, "out/part-r-00009", "") },
			errs.Corrupt, "part-r-00009 is there"},
		{"no manifest", func(t *testing.T, st *mem.Store, _ Manifest) { remove(t, st, "out/_SUCCESS") },
			errs.Corrupt, "not complete"},
		{"Hadoop's manifest", func(t *testing.T, st *mem.Store, _ Manifest) { put(t, st, "out/_SUCCESS", "") },
			errs.Unsupported, "another program"},
		{"half a manifest", func(t *testing.T, st *mem.Store, _ Manifest) { put(t, st, "out/_SUCCESS", `{"format":1,`) },
			errs.Corrupt, "not JSON"},
		{"a newer manifest", func(t *testing.T, st *mem.Store, _ Manifest) { put(t, st, "out/_SUCCESS", `{"format":2}`) },
			errs.Unsupported, "format 1"},
		{"totals that differ from the parts", func(t *testing.T, st *mem.Store, m Manifest) {
			m.Totals.OutputRecords++
			save(t, st, m)
		}, errs.Corrupt, "the totals say"},
		{"totals that do not balance", func(t *testing.T, st *mem.Store, m Manifest) {
			m.Totals.SplitsRead--
			save(t, st, m)
		}, errs.Corrupt, "splits"},
		{"a part named twice", func(t *testing.T, st *mem.Store, m Manifest) {
			m.Parts = append(m.Parts, m.Parts[0])
			save(t, st, m)
		}, errs.Corrupt, "twice"},
		{"nothing", func(t *testing.T, st *mem.Store, m Manifest) {
			for _, p := range m.Parts {
				remove(t, st, "out/"+p.Name)
			}
			remove(t, st, "out/_SUCCESS")
		}, errs.NotFound, "no output at mem://out"},
	} {
		st, resolve, m := output(t)
		c.damage(t, st, m)
		_, err := Verify(t.Context(), resolve, "mem://out")
		if errs.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %v %q", c.name, err, c.kind, c.want)
		}
	}
}

func remove(t *testing.T, st store.Store, name string) {
	t.Helper()
	if err := st.Delete(t.Context(), store.Name(name)); err != nil {
		t.Fatal(err)
	}
}

func TestSum(t *testing.T) {
	for _, s := range []Sum{0, 1, 0xdeadbeef, 1<<32 - 1} {
		b, _ := s.MarshalText()
		var back Sum
		if err := back.UnmarshalText(b); err != nil || back != s {
			t.Errorf("%s: %v, %v", b, back, err)
		}
	}
	for _, bad := range []string{"", "123", "123456789", "+1234567", "0x123456", "zzzzzzzz"} {
		var s Sum
		if err := s.UnmarshalText([]byte(bad)); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestDigest(t *testing.T) {
	a, b := scheduler.Job{ID: "aaaa-x"}, scheduler.Job{ID: "aaaa-y"}
	da, err := Digest(a)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := Digest(a); again != da {
		t.Error("the digest changes")
	}
	if db, _ := Digest(b); db == da {
		t.Error("different jobs, one digest")
	}
}

func FuzzDecode(f *testing.F) {
	b, err := Manifest{Job: "aaaa-x", Parts: []Part{{"part-r-00000", 1, 1, 0xff}}, Totals: balanced()}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":1,"parts":[{"name":"a","bytes":-1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if k := errs.KindOf(err); err != nil && k != errs.Corrupt && k != errs.Unsupported {
			t.Errorf("kind %v", k)
		}
		if err == nil {
			m.check(nil) // whatever it says, it must not panic
		}
	})
}
