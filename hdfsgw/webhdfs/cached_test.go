package webhdfs

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/cache"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// TestWhatIsReadAgainComesFromDisk reads a file through a cache: from the store, from the disk, and after the disk has
// lost a bit of it.
func TestWhatIsReadAgainComesFromDisk(t *testing.T) {
	var opened atomic.Int64
	st := around.New(mem.New(), func(_ context.Context, c around.Call, do func([]byte) (int, error)) (int, error) {
		if c.Op == around.Open && strings.HasPrefix(string(c.Name), "blocks/") {
			opened.Add(1)
		}
		return do(c.Data)
	})
	dir := t.TempDir()
	kept, err := cache.New(st, dir, cache.Options{Prefix: "blocks/"})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	s := newServerOf(t, st, Options{Blocks: kept, BlockSize: 2 << 20})
	data := strings.Repeat("0123456789abcdef", 200_001) // two blocks, four pieces
	if status, body := send(t, s, "PUT", prefix+"/f?op=CREATE&user.name=root", strings.NewReader(data)); status != 201 {
		t.Fatal(status, body)
	}
	reads := func() {
		t.Helper()
		defer kept.Flush()
		if got := fetch(t, s, "/f", ""); got != data {
			t.Errorf("other bytes, %d of %d", len(got), len(data))
		}
		kept.Flush()
		if got := fetch(t, s, "/f", "&offset=1000001&length=2000000"); got != data[1000001:3000001] {
			t.Errorf("other bytes of a part, %d", len(got))
		}
	}
	reads()
	if n := opened.Swap(0); n != 2 {
		t.Errorf("two blocks were opened %d times", n)
	}
	reads()
	if n := opened.Swap(0); n != 0 {
		t.Errorf("opened %d times though all is on disk", n)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "lock" {
			return err
		}
		piece, err := os.ReadFile(path)
		if err == nil {
			piece[len(piece)/2] ^= 1
			err = os.WriteFile(path, piece, 0o600)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	reads()
	if n := opened.Load(); n != 4 {
		t.Errorf("four damaged pieces, opened %d times", n)
	}
}
