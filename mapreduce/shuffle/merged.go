package shuffle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/mapreduce/segment"
	"github.com/seed3322913c/runner/scheduler"
)

// mergedName ends the path of requests for several attempts, and begins the names of the directories beside those of
// the attempts where what they left lies merged:
//
//	<job>/map-0.0/  <job>/map-1.0/ ...
//	<job>/merged-<SHA-256 of the attempts' names>/segment.data, segment.index
//	<job>/merged-<...>.lock            held (flock) by the one process that merges
//	<job>/merged-<...>.work/           what it works at
const mergedName = "merged"

// MaxMerged is how many attempts can be asked for together: that many fit the header of a request, and a process may
// have that many files open.
const MaxMerged = 500

// ReadMerged is Client.FetchMerged of attempts whose directories are in dir on this machine. It fails with
// errs.NotFound or errs.Corrupt if one of them, or what was merged, is not there or damaged.
func ReadMerged(
	dir string, attempts []scheduler.AttemptID, lo, hi int, into segment.ReceiveOptions,
) ([]*segment.Range, error) {
	n := len(attempts)
	merged, err := merge(dir, attempts)
	if err != nil {
		return nil, err
	}
	r, err := segment.Open(merged, lo*n, hi*n)
	if err != nil {
		return nil, err
	}
	if r, err = r.Receive(into); err != nil {
		return nil, err
	}
	return r.Unmerge(n)
}

// merge makes the merged segment of attempts, if it is not there yet, and returns its directory. It appears by one
// rename.
func merge(dir string, attempts []scheduler.AttemptID) (merged string, err error) {
	const op = "shuffle.Merge"
	names := sha256.New()
	from := make([]string, len(attempts))
	for i, a := range attempts {
		from[i] = filepath.Join(dir, a.String())
		fmt.Fprintln(names, a)
	}
	merged = filepath.Join(dir, fmt.Sprintf("%s-%x", mergedName, names.Sum(nil)))
	if isThere(merged) {
		return merged, nil
	}
	lock, err := os.Create(merged + ".lock")
	if err != nil {
		return "", errs.E(op, errs.Other, nil, err)
	}
	defer lock.Close() // and with it the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", errs.E(op, errs.Other, nil, os.NewSyscallError("flock", err))
	}
	if isThere(merged) { // while this one waited
		return merged, nil
	}
	work := merged + ".work" // perhaps left by a process that was killed
	if err := errors.Join(os.RemoveAll(work), os.Mkdir(work, 0o777)); err != nil {
		return "", errs.E(op, errs.Other, nil, err)
	}
	defer os.RemoveAll(work) // nothing is left of it after the rename
	if err := segment.Merge(work, from); err != nil {
		return "", err
	}
	if err := os.Rename(work, merged); err != nil {
		return "", errs.E(op, errs.Other, nil, err)
	}
	return merged, nil
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// parseMerged is the inverse of mergedList.
func parseMerged(stage, list string) ([]scheduler.AttemptID, error) {
	names := strings.Split(list, ",")
	if len(names) > MaxMerged {
		return nil, errs.Errorf("shuffle.Serve", errs.Invalid, nil, "%d attempts, at most %d go together", len(names),
			MaxMerged)
	}
	attempts := make([]scheduler.AttemptID, len(names))
	for i, name := range names {
		var err error
		if attempts[i], err = parseAttempt(stage + "-" + name); err != nil {
			return nil, err
		}
	}
	return attempts, nil
}

// mergedList names attempts of one stage: "0.0,7.1".
func mergedList(attempts []scheduler.AttemptID) string {
	names := make([]string, len(attempts))
	for i, a := range attempts {
		names[i] = fmt.Sprintf("%d.%d", a.Task.Index, a.N)
	}
	return strings.Join(names, ",")
}

// FetchMerged is Fetch of what several attempts of one stage left on one node, at most MaxMerged, with one request. The
// attempt of src does not matter. It returns a range for each attempt, in their order. If the way to the node is the
// reason of an error, it names all of them as scheduler.InputLost, which is not Sure; if it is Sure, something is wrong
// with one of them or with what was merged, and fetching each alone tells which.
func (c *Client) FetchMerged(
	ctx context.Context, src Source, attempts []scheduler.AttemptID, into segment.ReceiveOptions,
) ([]*segment.Range, error) {
	n := len(attempts)
	if n == 0 || n > MaxMerged {
		return nil, errs.Errorf("shuffle.FetchMerged", errs.Invalid, nil, "%d attempts", n)
	}
	src.Attempt, src.Lo, src.Hi = attempts[0], src.Lo*n, src.Hi*n
	f := &fetch{src: src, into: into, patience: c.patience, from: &served{
		http: c.http, src: src, path: src.Attempt.Task.Stage + "/" + mergedName, of: mergedList(attempts), each: n,
	}}
	r, err := f.run(ctx)
	if err != nil {
		return nil, blameAll(attempts, err)
	}
	return r.Unmerge(n)
}

// blameAll says of all attempts what err says of the first.
func blameAll(attempts []scheduler.AttemptID, err error) error {
	lost, ok := errors.AsType[*scheduler.InputLost](err)
	if !ok || lost.Sure {
		return err
	}
	all := []error{lost}
	for _, a := range attempts[1:] { // without telling the reason again
		all = append(all, &scheduler.InputLost{Attempt: a, Err: errs.Unavailable})
	}
	return errors.Join(all...)
}
