package split

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// List finds the files that inputs name, absolute URIs each: files, folders with all that is below them, and globs of
// either (in each component * ? [a-z] [!a-z] and {a,b}). A name that exists is taken literally, whatever is in it.
// Names below a folder that begin with "_" or "." are left out, with all below them; one that an input names itself is
// not.
// The files of one input are in byte order of their URIs, without repetition; inputs follow each other.
//
// A symbolic link below a folder is followed, unless it leads to what is read anyway in its own place.
//
// Errors say in one sentence which input is wrong: NotFound if there is nothing (an empty folder is something),
// Permission if a file of this machine cannot be read, Invalid for a pattern that is not well formed or a file that is
// none (a device).
func List(ctx context.Context, resolve store.Resolve, inputs []string) ([]File, error) {
	var all []File
	for _, input := range inputs {
		l := lister{resolve: resolve, input: input}
		if err := l.list(ctx); err != nil {
			return nil, err
		}
		slices.SortFunc(l.files, func(a, b File) int { return strings.Compare(a.URI, b.URI) })
		all = append(all, slices.CompactFunc(l.files, func(a, b File) bool { return a.URI == b.URI })...)
	}
	return all, nil
}

// lister collects the files of one input.
type lister struct {
	resolve store.Resolve
	input   string
	files   []File
	found   bool // something that fits exists, if only an empty folder
}

// tree finds files in one kind of name space.
type tree interface {
	// literal adds the file or folder called p, if there is one.
	literal(ctx context.Context, p string) error
	// match adds the files and folders that fit.
	match(ctx context.Context, parts []part) error
}

func (l *lister) list(ctx context.Context) error {
	at, err := parseURI(l.input)
	if err != nil {
		return err
	}
	var t tree = objects{l, at.root}
	if at.root == "file://" {
		t = local{l}
	}
	if err := t.literal(ctx, at.path); err != nil || l.found {
		return err
	}
	if !strings.ContainsAny(at.path, `*?[\{`) {
		return errs.Errorf("split.List", errs.NotFound, nil, "there is no input %s", l.input)
	}
	alternatives, err := compile(at.path)
	if err != nil {
		return err
	}
	for _, parts := range alternatives {
		if err := t.match(ctx, parts); err != nil {
			return err
		}
	}
	if !l.found {
		return errs.Errorf("split.List", errs.NotFound, nil, "nothing matches the input %s", l.input)
	}
	return nil
}

// objects is a store that knows no folders: a name with others below it is one.
type objects struct {
	*lister
	root string
}

func (o objects) literal(ctx context.Context, p string) error {
	base := location{o.root, p}.uri()
	st, name, err := o.resolve(ctx, base)
	if err != nil {
		return err
	}
	if p != "" {
		info, err := st.Stat(ctx, name)
		if err == nil {
			o.add(base, info)
			return nil
		}
		if errs.KindOf(err) != errs.NotFound {
			return err
		}
	}
	return o.below(ctx, st, name, base, nil)
}

func (o objects) match(ctx context.Context, parts []part) error {
	fixed := slices.IndexFunc(parts, func(p part) bool { return p.glob })
	if fixed < 0 {
		fixed = len(parts)
	}
	var names []string
	for _, p := range parts[:fixed] {
		names = append(names, p.text)
	}
	if fixed == len(parts) {
		return o.literal(ctx, strings.Join(names, "/"))
	}
	base := location{o.root, strings.Join(names, "/")}.uri()
	st, name, err := o.resolve(ctx, base)
	if err != nil {
		return err
	}
	return o.below(ctx, st, name, base, parts[fixed:])
}

// below adds the objects beneath a name whose first components fit parts and whose others are not hidden.
func (o objects) below(ctx context.Context, st store.Store, name store.Name, base string, parts []part) error {
	prefix := string(name)
	if prefix != "" {
		prefix += "/"
	}
	narrow := prefix
	if len(parts) > 0 {
		narrow += parts[0].literal()
	}
	for info, err := range st.List(ctx, narrow) {
		if err != nil {
			return err
		}
		rest := string(info.Name)[len(prefix):]
		if fits(rest, parts) {
			o.add(strings.TrimSuffix(base, "/")+"/"+rest, info)
		} else if len(parts) == 0 {
			o.found = true // a folder with hidden files only
		}
	}
	return nil
}

func fits(name string, parts []part) bool {
	i := 0
	for c := range strings.SplitSeq(name, "/") {
		if i < len(parts) && !parts[i].match(c) || i >= len(parts) && hidden(c) {
			return false
		}
		i++
	}
	return i >= len(parts)
}

func (l *lister) add(uri string, info store.Info) {
	l.found = true
	l.files = append(l.files, File{uri, info.Size, info.Version})
}

// local is this machine's file system, which has empty folders, links, devices and permissions. Contents are read
// through the store like all others; only names are looked for here.
type local struct{ *lister }

func (l local) literal(ctx context.Context, p string) error {
	file := "/" + p
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENAMETOOLONG):
		return nil
	case err != nil:
		return l.wrong(err)
	case info.IsDir():
		l.found = true
		real, err := filepath.EvalSymlinks(file)
		if err != nil {
			return l.wrong(err)
		}
		return l.walk(ctx, file, []string{real})
	case info.Mode().IsRegular():
		return l.take(ctx, file)
	}
	return errs.Errorf("split.List", errs.Invalid, nil, "input %s is neither a file nor a folder", file)
}

func (l local) match(ctx context.Context, parts []part) error { return l.descend(ctx, "", parts) }

// descend adds what fits parts below dir.
func (l local) descend(ctx context.Context, dir string, parts []part) error {
	if len(parts) == 0 {
		return l.literal(ctx, strings.TrimPrefix(dir, "/"))
	}
	if !parts[0].glob {
		return l.descend(ctx, dir+"/"+parts[0].text, parts[1:])
	}
	entries, err := os.ReadDir(dir + "/")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return l.wrong(err)
	}
	for _, e := range entries {
		if parts[0].match(e.Name()) {
			if err := l.descend(ctx, dir+"/"+e.Name(), parts[1:]); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// walk adds all files below dir. Roots are the real paths of the folders that are being walked.
func (l local) walk(ctx context.Context, dir string, roots []string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return l.wrong(err)
	}
	for _, e := range entries {
		file := filepath.Join(dir, e.Name())
		switch {
		case hidden(e.Name()):
		case e.IsDir():
			err = l.walk(ctx, file, roots)
		case e.Type().IsRegular():
			err = l.take(ctx, file)
		case e.Type()&fs.ModeSymlink != 0:
			err = l.follow(ctx, file, roots)
		} // sockets, pipes and devices hold no data at rest
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// follow adds what a link leads to.
func (l local) follow(ctx context.Context, link string, roots []string) error {
	real, err := filepath.EvalSymlinks(link)
	if err != nil {
		return l.wrong(err)
	}
	for _, root := range roots {
		if readFrom(root, real) {
			return nil
		}
		if Within(root, real) {
			return errs.Errorf("split.List", errs.Invalid, nil, "input %s: the link %s leads to a folder that contains it",
				l.input, link)
		}
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		return l.wrong(err)
	case info.IsDir():
		return l.walk(ctx, link, append(slices.Clone(roots), real))
	case info.Mode().IsRegular():
		return l.take(ctx, link)
	}
	return nil
}

// readFrom reports whether walking root reads file in its own place.
func readFrom(root, file string) bool {
	if !Within(file, root) {
		return false
	}
	for c := range strings.SplitSeq(strings.Trim(file[len(root):], "/"), "/") {
		if c != "" && hidden(c) {
			return false
		}
	}
	return true
}

// Within reports whether the path or URI name is folder, or lies below it.
func Within(name, folder string) bool {
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(folder, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// take adds one regular file.
func (l local) take(ctx context.Context, file string) error {
	uri := "file://" + file
	st, name, err := l.resolve(ctx, uri)
	if err != nil {
		return err
	}
	info, err := st.Stat(ctx, name)
	if err == nil {
		err = unix.Access(file, unix.R_OK)
	}
	if err != nil {
		return l.wrong(&fs.PathError{Op: "read", Path: file, Err: err})
	}
	l.add(uri, info)
	return nil
}

// wrong says what a system call said of the input.
func (l local) wrong(err error) error {
	var at *fs.PathError
	kind := errs.KindOf(err)
	if !errors.As(err, &at) {
		return errs.Errorf("split.List", kind, nil, "input %s cannot be read: %v", l.input, err)
	}
	return errs.Errorf("split.List", kind, nil, "input %s cannot be read: %v", at.Path, at.Err)
}
