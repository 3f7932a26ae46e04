package cache

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// listing is what was in an archive: the sums of files by their names. Programs may add files of their own, as Python
// does, which is no damage.
type listing map[string]string

// maxListing bounds a listing, in bytes.
const maxListing = 256 << 20

// treeLocked makes sure that an archive, whose copy is right, is unpacked.
func (n *Node) treeLocked(ctx context.Context, i int, f scheduler.File) (string, error) {
	file := func(end string) string { return filepath.Join(n.dir, fmt.Sprint(i, end)) }
	tree, list := file(".tree"), file(".list")
	if n.trees[i] || whole(tree, list) {
		n.trees[i] = true
		return tree, nil
	}
	if err := os.RemoveAll(list); err != nil { // first, since what it lists goes
		return "", err
	}
	if err := os.RemoveAll(tree); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(n.dir, ".new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh) // if it has not got its name
	sums, err := n.unpack(ctx, file(".file"), f.URI, fresh)
	if err != nil {
		return "", err
	}
	if err := os.Chmod(fresh, 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(fresh, tree); err != nil {
		return "", err
	}
	data, err := json.Marshal(sums)
	if err != nil {
		return "", errs.E("cache.Unpack", errs.Internal, tree, err)
	}
	if err := os.WriteFile(list, data, 0o600); err != nil {
		return "", err
	}
	n.trees[i] = true
	return tree, nil
}

// whole reports whether a tree has all that its list says.
func whole(tree, list string) bool {
	info, err := os.Stat(list)
	if err != nil || info.Size() > maxListing {
		return false
	}
	data, err := os.ReadFile(list)
	var sums listing
	if err != nil || json.Unmarshal(data, &sums) != nil {
		return false
	}
	root, err := os.OpenRoot(tree)
	if err != nil {
		return false
	}
	defer root.Close() // nothing was written
	for name, want := range sums {
		sum, err := sumOf(func() (io.ReadCloser, error) { return root.Open(name) })
		if err != nil || sum != want {
			return false
		}
	}
	return true
}
