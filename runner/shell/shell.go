// Package shell has the commands of `runner fs`: what `hdfs dfs` does, with its output, over gateways and NameNodes
// (hdfs://, webhdfs://), buckets (s3://) and local files (file://), and between them.
//
//	sh := shell.New(open, shell.Options{Out: os.Stdout, Default: "hdfs://demo"})
//	err := sh.List(ctx, []string{"/logs/2026-*"}, shell.ListOptions{Human: true})
//
// An argument is a URI, or a path in the default file system; there a relative path begins at the user's home, and at
// the working directory if the default are local files. Arguments may be globs. A command that gets several arguments
// does all of them, also after one that fails, and returns the last error.
package shell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"path/filepath"
	"strings"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// System is a file system as the commands see it. Paths are absolute and clean.
type System interface {
	// Objects are the files by their paths without the first slash.
	Objects() store.Store
	// Status describes a file or directory, or fails with errs.NotFound.
	Status(ctx context.Context, path string) (namespace.Status, error)
	// List yields the entries of a directory in byte order; a file yields itself, without a name.
	List(ctx context.Context, path string) iter.Seq2[namespace.Status, error]
	// Mkdir makes a directory and those above it.
	Mkdir(ctx context.Context, path string) error
	// Remove removes a file, or a directory with all that is in it.
	Remove(ctx context.Context, path string) error
}

// Mover is the ability of a System to rename.
type Mover interface {
	// Rename gives a file or directory another path, where nothing is yet.
	Rename(ctx context.Context, from, to string) error
}

// Open returns the file system of a scheme and authority, "hdfs://demo".
type Open func(ctx context.Context, place string) (System, error)

// Options of a Shell.
type Options struct {
	Out     io.Writer // gets the answers
	Err     io.Writer // gets the story: progress, and errors but for the last
	In      io.Reader // is what "-" names
	Default string    // scheme and authority of paths without; "" for local files
	User    string    // whose home relative paths are in, where there are users
	Dir     string    // the working directory, for local paths
	JSON    bool      // answers are documents, one on each line
	Quiet   bool      // no progress
	Tell    func(error) string
}

// Shell executes commands.
type Shell struct {
	open    Open
	systems map[string]System
	Options
}

// New returns a shell.
func New(open Open, o Options) *Shell {
	if o.Tell == nil {
		o.Tell = error.Error
	}
	return &Shell{open, map[string]System{}, o}
}

// target is a path in a file system.
type target struct {
	System
	place string // scheme and authority
	path  string
	shown string // as its name was typed
}

// String is the URI.
func (t target) String() string { return t.place + t.path }

// name is the name that a file's object has.
func (t target) name() store.Name { return store.Name(strings.TrimPrefix(t.path, "/")) }

// child is an entry of a directory.
func (t target) child(name string) target {
	t.path = strings.TrimSuffix(t.path, "/") + "/" + name
	if t.shown == "" || t.shown == "." {
		t.shown = name
	} else {
		t.shown = strings.TrimSuffix(t.shown, "/") + "/" + name
	}
	return t
}

// base is the last name of the path.
func (t target) base() string { return path.Base(t.path) }

const localPlace = "file://"

// resolve finds what an argument names, a glob or not.
func (s *Shell) resolve(ctx context.Context, arg string) (target, error) {
	scheme, rest, isURI := strings.Cut(arg, "://")
	if !isURI {
		return s.locate(ctx, s.Default, arg, arg)
	}
	authority, p, _ := strings.Cut(rest, "/")
	return s.locate(ctx, scheme+"://"+authority, "/"+p, arg)
}

// local finds a file of this machine.
func (s *Shell) local(ctx context.Context, arg string) (target, error) {
	if strings.Contains(arg, "://") {
		return s.resolve(ctx, arg)
	}
	return s.locate(ctx, localPlace, arg, arg)
}

func (s *Shell) locate(ctx context.Context, place, p, shown string) (target, error) {
	if place == "" {
		place = localPlace
	}
	if !strings.HasPrefix(p, "/") {
		switch {
		case place == localPlace:
			p = filepath.Join(s.Dir, p)
		case strings.HasPrefix(place, "s3://"):
			p = "/" + p
		default:
			p = "/user/" + s.User + "/" + p
		}
	}
	system, ok := s.systems[place]
	if !ok {
		var err error
		if system, err = s.open(ctx, place); err != nil {
			return target{}, err
		}
		s.systems[place] = system
	}
	return target{system, place, path.Clean(p), shown}, nil
}

// found is a target that exists.
type found struct {
	target
	namespace.Status
}

// expand returns what an argument names: one thing, or what a glob matches.
func (s *Shell) expand(ctx context.Context, arg string) ([]found, error) {
	t, err := s.resolve(ctx, arg)
	if err != nil {
		return nil, err
	}
	return s.expandTarget(ctx, t)
}

func (s *Shell) expandTarget(ctx context.Context, t target) ([]found, error) {
	st, err := t.System.Status(ctx, t.path)
	switch {
	case err == nil:
		return []found{{t, st}}, nil
	case errs.KindOf(err) != errs.NotFound && errs.KindOf(err) != errs.Invalid:
		return nil, err
	case !strings.ContainsAny(t.path, `*?[{\`):
		return nil, errs.Errorf("", errs.KindOf(err), nil, "%s does not exist", t.shown)
	}
	all, err := glob(ctx, t)
	if err == nil && len(all) == 0 {
		err = errs.Errorf("", errs.NotFound, nil, "nothing matches %s", t.shown)
	}
	return all, err
}

// one is expand for an argument that must name one thing.
func (s *Shell) one(ctx context.Context, arg string) (found, error) {
	all, err := s.expand(ctx, arg)
	if err == nil && len(all) > 1 {
		err = refuse(errs.Invalid, "%s matches %d files, and only one can be used", arg, len(all))
	}
	if err != nil {
		return found{}, err
	}
	return all[0], nil
}

// each does something with all that arguments name.
func (s *Shell) each(ctx context.Context, args []string, do func(found) error) error {
	var last error
	for _, arg := range args {
		all, err := s.expand(ctx, arg)
		if err != nil {
			s.failed(&last, err)
		}
		for _, f := range all {
			if err := do(f); err != nil {
				s.failed(&last, err)
			}
			if ctx.Err() != nil {
				return last
			}
		}
	}
	return last
}

// failed keeps the last error, and tells the one before.
func (s *Shell) failed(last *error, err error) {
	if *last != nil {
		fmt.Fprintln(s.Err, "runner:", s.Tell(*last))
	}
	*last = err
}

// refuse is an error that is a sentence.
func refuse(kind errs.Kind, format string, args ...any) error {
	return errs.Errorf("", kind, nil, format, args...)
}

// say writes a line of text, or a document.
func (s *Shell) say(document any, format string, args ...any) error {
	if s.JSON {
		return json.NewEncoder(s.Out).Encode(document)
	}
	_, err := fmt.Fprintf(s.Out, format+"\n", args...)
	return err
}

// Done is the document of a command that only does something.
type Done struct {
	Path string `json:"path"`
	Done string `json:"done"` // what, as in "deleted"
}

// done tells that something was done where Hadoop tells nothing.
func (s *Shell) done(t target, what string) error {
	if !s.JSON {
		return nil
	}
	return s.say(Done{t.String(), what}, "")
}

// walk calls do with everything below a directory, and itself first; a directory comes before what is in it.
func walk(ctx context.Context, f found, do func(found) error) error {
	if err := do(f); err != nil || !f.Dir {
		return err
	}
	for entry, err := range f.System.List(ctx, f.path) {
		if err != nil {
			return err
		}
		if err := walk(ctx, found{f.child(entry.Name), entry}, do); err != nil {
			return err
		}
	}
	return nil
}

// missing reports whether an error says that something does not exist.
func missing(err error) bool {
	return errors.Is(err, errs.NotFound) || errs.KindOf(err) == errs.NotFound
}
