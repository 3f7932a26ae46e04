package block

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/cache"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
)

func ids() func() uint64 {
	var n atomic.Uint64
	return func() uint64 { return n.Add(1) }
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	data := noise(10_000)
	for _, size := range []int64{1000, 4096, 5000, 10_000, 10_001, 1 << 40} {
		st := mem.New()
		blocks, err := Copy(t.Context(), st, iotest.HalfReader(bytes.NewReader(data)), size, ids())
		if err != nil {
			t.Fatal(err)
		}
		if want := (len(data) + int(size) - 1) / int(size); len(blocks) != max(want, 1) {
			t.Errorf("size %d: %d blocks", size, len(blocks))
		}
		for _, r := range [][2]int64{{0, 10_000}, {1, 9999}, {999, 2}, {4096, 1}, {9999, 1}, {5000, 5000}, {0, 0}} {
			var out bytes.Buffer
			if err := Write(t.Context(), st, &out, blocks, r[0], r[1]); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), data[r[0]:r[0]+r[1]]) {
				t.Errorf("size %d, range %v: other bytes", size, r)
			}
		}
	}
}

func TestAnEmptyStreamHasNoBlocks(t *testing.T) {
	st := mem.New()
	blocks, err := Copy(t.Context(), st, bytes.NewReader(nil), 10, ids())
	if err != nil || len(blocks) != 0 {
		t.Error(blocks, err)
	}
	for info := range st.List(t.Context(), "") {
		t.Error("there is", info.Name)
	}
}

// TestABrokenStreamLeavesAPrefix is HDFS's rule for a client that dies.
func TestABrokenStreamLeavesAPrefix(t *testing.T) {
	st, gone := mem.New(), errors.New("gone")
	r := io.MultiReader(bytes.NewReader(noise(2500)), iotest.ErrReader(gone))
	blocks, err := Copy(t.Context(), st, r, 1000, ids())
	if !errors.Is(err, gone) || len(blocks) != 3 || blocks[2].Length != 500 {
		t.Fatal(blocks, err)
	}
	var out bytes.Buffer
	if err := Write(t.Context(), st, &out, blocks, 0, 2500); err != nil || !bytes.Equal(out.Bytes(), noise(2500)) {
		t.Error("the prefix is not readable:", err)
	}
}

func TestAFailingStoreIsTold(t *testing.T) {
	for _, rule := range []fault.Rule{{Op: around.Commit, Nth: 2}, {Op: around.Create, Nth: 3},
		{Op: around.Write, Nth: 4}} {
		inner := mem.New()
		st := fault.New(inner, 1, rule)
		blocks, err := Copy(t.Context(), st, bytes.NewReader(noise(5000)), 1000, ids())
		if !errors.Is(err, errs.Unavailable) {
			t.Errorf("%v: %v", rule.Op, err)
		}
		for _, b := range blocks {
			if _, err := st.Stat(t.Context(), ObjectName(b.ID)); err != nil {
				t.Errorf("%v: block %d is told and not there: %v", rule.Op, b.ID, err)
			}
		}
		objects := 0
		for range inner.List(t.Context(), Prefix) {
			objects++
		}
		if objects != len(blocks) {
			t.Errorf("%v: %d blocks are told, and there are %d", rule.Op, len(blocks), objects)
		}
	}
}

func TestAShortObjectIsCorrupt(t *testing.T) {
	st := mem.New()
	if err := store.Put(t.Context(), st, ObjectName(1), []byte("abc")); err != nil {
		t.Fatal(err)
	}
	err := Write(t.Context(), st, io.Discard, []namespace.Block{{ID: 1, Length: 4}}, 0, 4)
	if !errors.Is(err, errs.Corrupt) {
		t.Error(err)
	}
}

func TestNamesRoundTrip(t *testing.T) {
	for _, id := range []uint64{1, 1<<32 | 5, 1<<64 - 1<<8} {
		if got, ok := ParseName(ObjectName(id)); !ok || got != id {
			t.Error(id, got, ok)
		}
	}
	for _, name := range []store.Name{"blocks/00/0000000000000001", "x", "blocks/zz/000000000000000g"} {
		if id, ok := ParseName(name); ok && ObjectName(id) != name {
			t.Error(name, id)
		}
	}
}

// TestChecksumKnowsTruncatedBlocks holds that a checksum that has to be read equals one made while writing.
func TestChecksumKnowsTruncatedBlocks(t *testing.T) {
	st, newID := mem.New(), ids()
	long, err := Copy(t.Context(), st, bytes.NewReader(noise(3000)), 1<<20, newID)
	if err != nil {
		t.Fatal(err)
	}
	short, err := Copy(t.Context(), st, bytes.NewReader(noise(3000)[:1300]), 1<<20, newID)
	if err != nil {
		t.Fatal(err)
	}
	cut := namespace.Block{ID: long[0].ID, Length: 1300}
	a, errA := Checksum(t.Context(), st, []namespace.Block{cut}, 1<<20)
	b, errB := Checksum(t.Context(), st, short, 1<<20)
	if errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
		t.Error(a, b, errA, errB)
	}
}

// TestACacheForgetsWhatIsCorrupt has the store lose a bit on the way, once.
func TestACacheForgetsWhatIsCorrupt(t *testing.T) {
	inner := mem.New()
	blocks, err := Copy(t.Context(), inner, bytes.NewReader(noise(100_000)), 1<<20, ids())
	if err != nil {
		t.Fatal(err)
	}
	st, err := cache.New(fault.New(inner, 1, fault.Rule{Op: around.Read, Nth: 1, Effect: fault.Corrupt}), t.TempDir(),
		cache.Options{Prefix: Prefix})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := Write(t.Context(), st, io.Discard, blocks, 0, 100_000); !errors.Is(err, errs.Corrupt) {
		t.Fatal(err)
	}
	for range 2 { // from the store, and from the cache
		st.Flush()
		var out bytes.Buffer
		if err := Write(t.Context(), st, &out, blocks, 0, 100_000); err != nil || !bytes.Equal(out.Bytes(), noise(100_000)) {
			t.Fatal("other bytes, or", err)
		}
	}
}
