package namespace

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store/file"
)

// BenchmarkRestart measures how long a gateway needs from its checkpoint until it leads, with a million files of one
// block in directories of a thousand.
func BenchmarkRestart(b *testing.B) {
	const files = 1_000_000
	st, err := file.New(b.TempDir(), file.Options{})
	if err != nil {
		b.Fatal(err)
	}
	tree := New(Options{})
	leader, err := journal.Lead(b.Context(), st, "journal", tree, journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	who := Caller{User: "root", Super: true}
	for i := range files {
		r := Request{Op: OpCreate, Caller: who, Path: fmt.Sprintf("/logs/%04d/part-%07d.parquet", i/1000, i), Perm: 0o644,
			Replication: 1, BlockSize: 128 << 20, Close: true, Time: int64(i), Blocks: []Block{{ID: uint64(i + 1), Length: 1}}}
		if err := tree.Apply(r.encode()); err != nil { // not through the log, which is not what is measured
			b.Fatal(err)
		}
	}
	begun := time.Now()
	if err := leader.Checkpoint(b.Context()); err != nil {
		b.Fatal(err)
	}
	written := time.Since(begun)
	if err := leader.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		again := New(Options{})
		leader, err := journal.Lead(b.Context(), st, "journal", again, journal.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if n := again.Stats().Inodes; n < files {
			b.Fatal(n, "inodes")
		}
		if err := leader.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(written.Seconds(), "s/checkpoint")
}
