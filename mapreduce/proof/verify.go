package proof

import (
	"context"
	"io"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Verify reads the output at uri again and proves it against its manifest, which it returns: every part is there with
// the bytes that were written, no part is there that the manifest does not know, and the totals balance. What is wrong
// is of kind Corrupt; NotFound means that there is no output at all, Unsupported that no job of ours wrote it. Other
// kinds say that it could not be read.
func Verify(ctx context.Context, resolve store.Resolve, uri string) (Manifest, error) {
	const op = "proof.Verify"
	uri = strings.TrimRight(uri, "/")
	st, name, err := resolve(ctx, uri)
	if err != nil {
		return Manifest{}, err
	}
	names, err := parts(ctx, st, name)
	if err != nil {
		return Manifest{}, errs.E(op, errs.Other, uri, err)
	}
	b, err := store.Get(ctx, st, name.Join(Success), MaxManifest)
	switch {
	case errs.KindOf(err) == errs.NotFound && len(names) == 0:
		return Manifest{}, errs.Errorf(op, errs.NotFound, nil, "there is no output at %s", uri)
	case errs.KindOf(err) == errs.NotFound:
		return Manifest{}, errs.Errorf(op, errs.Corrupt, nil, "%s has parts but no %s: the output is not complete",
			uri, Success)
	case err != nil:
		return Manifest{}, errs.E(op, errs.Other, uri, err)
	}
	m, err := Decode(b)
	if err == nil {
		err = m.check(names)
	}
	if err != nil {
		return m, errs.E(op, errs.Other, uri, err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range m.Parts {
		g.Go(func() error { return p.verify(ctx, st, name.Join(p.Name)) })
	}
	if err := g.Wait(); err != nil {
		return m, errs.E(op, errs.Other, uri, err)
	}
	return m, nil
}

// partName is what the files of an output are called, those of named outputs among them.
var partName = regexp.MustCompile(`^(part-.*|[A-Za-z0-9]+-[mr]-[0-9]{5,}(\.[a-z0-9.]+)?)$`)

// IsPart reports whether a name in an output is that of a part.
func IsPart(name string) bool { return !strings.Contains(name, "/") && partName.MatchString(name) }

// parts returns the names of the part files below an output.
func parts(ctx context.Context, st store.Store, output store.Name) ([]string, error) {
	var names []string
	folder := string(output) + "/"
	for info, err := range st.List(ctx, folder) {
		if err != nil {
			return nil, err
		}
		if name := string(info.Name)[len(folder):]; IsPart(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// check compares the manifest with itself and with the parts that there are.
func (m Manifest) check(names []string) error {
	const op = "proof.Check"
	known := make(map[string]bool, len(m.Parts))
	var bytes, records int64
	for _, p := range m.Parts {
		if known[p.Name] {
			return errs.Errorf(op, errs.Corrupt, nil, "%s names %s twice", Success, p.Name)
		}
		known[p.Name] = true
		bytes += p.Bytes
		records += p.Records
	}
	for _, n := range names {
		if !known[n] {
			return errs.Errorf(op, errs.Corrupt, nil, "%s is there, but %s does not know it", n, Success)
		}
	}
	if bytes != m.Totals.OutputBytes || records != m.Totals.OutputRecords {
		return errs.Errorf(op, errs.Corrupt, nil, "the parts have %d bytes and %d records, the totals say %d and %d",
			bytes, records, m.Totals.OutputBytes, m.Totals.OutputRecords)
	}
	return m.Totals.Check()
}

// verify reads one part.
func (p Part) verify(ctx context.Context, st store.Store, name store.Name) error {
	const op = "proof.Verify"
	r, err := st.Open(ctx, name, store.Range{})
	var sum Sum
	var size int64
	if err == nil {
		defer r.Close()
		buf := make([]byte, 1<<20)
		for err == nil {
			var n int
			n, err = r.Read(buf)
			sum = sum.Update(buf[:n])
			size += int64(n)
		}
	}
	switch {
	case errs.KindOf(err) == errs.NotFound:
		return errs.Errorf(op, errs.Corrupt, nil, "%s is missing", p.Name)
	case err != io.EOF:
		return errs.E(op, errs.Other, p.Name, err)
	case size != p.Bytes:
		return errs.Errorf(op, errs.Corrupt, nil, "%s has %d bytes, %d were written", p.Name, size, p.Bytes)
	case sum != p.CRC32C:
		return errs.Errorf(op, errs.Corrupt, nil, "%s has checksum %s, %s was written: its bytes were changed",
			p.Name, sum, p.CRC32C)
	}
	return nil
}
