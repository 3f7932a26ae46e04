package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/hdfsgw/gateway"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// This file asks what many files cost a gateway.

const (
	manyFiles = 1_000_000 // of one block each, in directories of a thousand
	bigDir    = 100_000   // files in one directory that is renamed
	renames   = 200
)

// names starts a gateway with many files, and looks at its memory and how it renames.
func names(ctx context.Context, s settings, title string) error {
	dir := filepath.Join(s.work, "names")
	if err := fill(ctx, dir); err != nil {
		return err
	}
	fmt.Printf("\n%s\n", title)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	empty, err := started(ctx, s, filepath.Join(s.work, "nothing"))
	if err != nil {
		return err
	}
	full, err := started(ctx, s, dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "files\t%d\t\n", manyFiles+bigDir)
	fmt.Fprintf(w, "start from a checkpoint, s\t%.2f\t\n", full.took.Seconds())
	fmt.Fprintf(w, "memory of the process after it, MiB\t%d\t\n", full.memory>>20)
	fmt.Fprintf(w, "bytes of that for each file\t%.0f\t\n", float64(full.memory-empty.memory)/(manyFiles+bigDir))
	took, err := renameBig(ctx, full.at)
	if err != nil {
		return err
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	fmt.Fprintf(w, "rename of a directory with %d files, ms: median\t%.2f\t\n", bigDir, ms(took[len(took)/2]))
	fmt.Fprintf(w, "slowest of %d\t%.2f\t\n", len(took), ms(took[len(took)-1]))
	return w.Flush()
}

// fill makes the files in memory, and a checkpoint of them in a folder.
func fill(ctx context.Context, dir string) error {
	st := mem.New()
	tree := namespace.New(namespace.Options{})
	leader, err := journal.Lead(ctx, st, gateway.Journal, tree, journal.Options{})
	if err != nil {
		return err
	}
	names := namespace.NewService(tree, leader, nil)
	var next atomic.Int64
	g, filling := errgroup.WithContext(ctx)
	for range 512 {
		g.Go(func() error {
			for {
				i := next.Add(1) - 1
				path := fmt.Sprintf("/logs/%04d/part-%07d.parquet", i/1000, i)
				if i >= manyFiles {
					path = fmt.Sprintf("/big/part-%07d.parquet", i)
				}
				if i >= manyFiles+bigDir {
					return nil
				}
				_, err := names.Do(filling, namespace.Request{Op: namespace.OpCreate, Path: path, Perm: 0o644, Replication: 1,
					Caller: namespace.Caller{User: "root", Super: true}, BlockSize: 128 << 20, Close: true,
					Blocks: []namespace.Block{{ID: names.NewBlock(), Length: 1, MD5: [16]byte{1}}}})
				if err != nil {
					return err
				}
			}
		})
	}
	if err = g.Wait(); err == nil {
		err = leader.Checkpoint(ctx)
	}
	if closeErr := leader.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	to, err := file.New(dir, file.Options{})
	if err != nil {
		return err
	}
	for info, err := range st.List(ctx, "") {
		if err != nil {
			return err
		}
		object, err := store.Get(ctx, st, info.Name, info.Size)
		if err == nil {
			err = store.Put(ctx, to, info.Name, object)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// start is a gateway that was started over a folder.
type start struct {
	at     address
	took   time.Duration
	memory int64 // bytes
}

func started(ctx context.Context, s settings, dir string) (start, error) {
	begun := time.Now()
	at, err := startGateway(ctx, s, nil, "--store", "file://"+dir)
	return start{at, time.Since(begun), treeMemory(at.pid)}, err
}

// renameBig renames the big directory to and fro, and returns what each time took, the shortest first.
func renameBig(ctx context.Context, at address) ([]time.Duration, error) {
	var all []time.Duration
	from, to := "/big", "/moved"
	for range renames {
		url := "http://" + at.HTTP + "/webhdfs/v1" + from + "?op=RENAME&user.name=root&destination=" + to
		r, err := http.NewRequestWithContext(ctx, http.MethodPut, url, nil)
		if err != nil {
			return nil, err
		}
		begun := time.Now()
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return nil, err
		}
		all = append(all, time.Since(begun))
		resp.Body.Close() // nothing is wanted of it
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("RENAME: %s", resp.Status)
		}
		from, to = to, from
	}
	slices.Sort(all)
	return all, nil
}
