package mapreduce

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/scheduler"
)

func TestReducersBySize(t *testing.T) {
	const mb = 1 << 20
	job := scheduler.Job{Resources: scheduler.Resources{CPU: 1, Memory: 512 * mb}}
	for _, c := range []struct {
		slots  int
		exact  int // -1: auto
		ranges bool
		folds  bool
		bytes  int64
		want   [2]int // reducers, partitions
	}{
		{2, -1, false, true, 0, [2]int{1, 16}},
		{2, -1, false, true, 1000, [2]int{1, 16}},
		{2, -1, false, true, 100 * mb, [2]int{2, 128}},
		{2, -1, false, true, 870 * mb, [2]int{4, 1024}},
		{2, -1, false, true, 100_000 * mb, [2]int{392, 4096}},
		{2, 3, false, true, 100_000 * mb, [2]int{3, 4096}},
		{2, 5000, false, true, 1000, [2]int{5000, 8192}},
		{8, -1, false, false, 10 * mb, [2]int{1, 4}},
		{8, -1, false, false, 100 * mb, [2]int{8, 32}},
		{8, 7, false, false, 100 * mb, [2]int{7, 7}},
		{8, 7, true, false, 100 * mb, [2]int{7, 28}},
		{2, -1, true, false, 1 << 50, [2]int{4096, 4096}},
	} {
		o := Options{}
		if c.exact >= 0 {
			o.Reducers = ExactReducers(c.exact)
		}
		if c.ranges {
			o.Partitioner = TotalOrderPartitioner
		}
		s := shapeOf(job, o, c.slots, c.folds)
		if got := [2]int{s.reducers(c.bytes), s.partitions(c.bytes)}; got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestBalance: spans cover all partitions in order, and none is much larger than it must be.
func TestBalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.Int64Range(0, 1000), 1, 300).Draw(t, "sizes")
		n := rapid.IntRange(1, 40).Draw(t, "reducers")
		var total, largest int64
		for _, s := range sizes {
			total += s
			largest = max(largest, s)
		}
		at := 0
		for i, s := range balance(sizes, n) {
			if s.Lo != at || s.Hi < s.Lo || s.Hi == s.Lo && len(sizes) >= n {
				t.Fatalf("span %d is %v after partition %d", i, s, at)
			}
			var sum int64
			for _, v := range sizes[s.Lo:s.Hi] {
				sum += v
			}
			if limit := total/int64(n) + largest + 1; sum > limit && len(sizes) >= n {
				t.Fatalf("span %v has %d, more than %d", s, sum, limit)
			}
			at = s.Hi
		}
		if at != len(sizes) {
			t.Fatalf("%d partitions of %d", at, len(sizes))
		}
		at = 0
		for _, s := range even(len(sizes), n) {
			if s.Lo != at {
				t.Fatalf("%v after %d", s, at)
			}
			at = s.Hi
		}
		if at != len(sizes) {
			t.Fatalf("%d partitions of %d", at, len(sizes))
		}
	})
}

func TestSizes(t *testing.T) {
	sizes := []int64{0, 1, 16, 17, 1 << 40}
	sums := []int64{0, 0, 0, 100, 0}
	b := appendSizes(nil, sizes)
	if err := addSizes(sums, b); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]int64{0, 16, 16, 132, 1 << 40}, sums); d != "" {
		t.Error(d)
	}
	if err := addSizes(sums, b[:3]); err == nil {
		t.Error("a part of the sizes was taken")
	}
	large := make([]int64, maxBins)
	for i := range large {
		large[i] = 1 << 24
	}
	if n := len(appendSizes(nil, large)); n > 16<<10 {
		t.Errorf("%d bytes", n)
	}
}

// TestCuts: cuts are in order, and a key is in the range that its cuts say.
func TestCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOf(rapid.SliceOfN(rapid.ByteRange('a', 'c'), 0, 3)).Draw(t, "keys")
		n := rapid.IntRange(1, 10).Draw(t, "ranges")
		cuts := evenCuts(append([][]byte(nil), keys...), n, bytes.Compare)
		if len(cuts) > n-1 {
			t.Fatalf("%d cuts for %d ranges", len(cuts), n)
		}
		for i := range cuts {
			if i > 0 && bytes.Compare(cuts[i-1], cuts[i]) >= 0 {
				t.Fatalf("%q", cuts)
			}
		}
		part := rangeOf(cuts, functions.KeyOrder{})
		for _, k := range keys {
			p := part(k)
			if p > 0 && bytes.Compare(k, cuts[p-1]) < 0 || p < len(cuts) && bytes.Compare(k, cuts[p]) >= 0 {
				t.Fatalf("%q is in range %d of %q", k, p, cuts)
			}
		}
	})
	var keys [][]byte
	for i := range 1000 {
		keys = append(keys, fmt.Appendf(nil, "%04d", i))
	}
	if d := cmp.Diff([][]byte{[]byte("0250"), []byte("0500"), []byte("0750")}, evenCuts(keys, 4, bytes.Compare)); d != "" {
		t.Error(d)
	}
}

// TestCPUMeter: what was used while attempts overlapped is divided among them.
func TestCPUMeter(t *testing.T) {
	var m cpuMeter
	var total int64
	before := cpuTime()
	endA := m.begin(func(ms int64) { total += ms })
	endB := m.begin(func(ms int64) { total += ms })
	for begun := cpuTime(); cpuTime()-begun < 40*time.Millisecond; { // others may have used some before that
	}
	endA()
	endB()
	if used := (cpuTime() - before).Milliseconds(); total < 36 || total > used {
		t.Errorf("%d ms were dealt out, %d used", total, used)
	}
}
