package shell

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/hdfsgw/client"
	"github.com/seed3322913c/runner/infra/errs"
)

// Mkdir is mkdir; with parents a directory that is there is fine, and those above are made.
func (s *Shell) Mkdir(ctx context.Context, args []string, parents bool) error {
	var last error
	for _, arg := range args {
		if err := s.mkdir(ctx, arg, parents); err != nil {
			s.failed(&last, err)
		}
	}
	return last
}

func (s *Shell) mkdir(ctx context.Context, arg string, parents bool) error {
	t, err := s.resolve(ctx, arg)
	if err != nil {
		return err
	}
	if !parents {
		if _, err := t.System.Status(ctx, t.path); err == nil {
			return refuse(errs.Exist, "%s exists already", arg)
		}
		if err := parentExists(ctx, t); err != nil {
			return err
		}
	}
	if err := t.System.Mkdir(ctx, t.path); err != nil {
		return err
	}
	return s.done(t, "made")
}

// Move is mv: a rename within one file system, at once whatever is below.
func (s *Shell) Move(ctx context.Context, args []string) error {
	dest := args[len(args)-1]
	to, err := s.resolve(ctx, dest)
	if err != nil {
		return err
	}
	place, err := to.System.Status(ctx, to.path)
	if err != nil && !missing(err) {
		return err
	}
	taken, isDir := err == nil, err == nil && place.Dir
	if len(args) > 2 && !isDir {
		return refuse(errs.Invalid, "%s is no directory, so several files cannot move there", dest)
	}
	return s.each(ctx, args[:len(args)-1], func(f found) error {
		mover, ok := f.System.(Mover)
		switch {
		case f.place != to.place:
			return refuse(errs.Unsupported, "%s and %s are not in the same file system; use cp and rm", f.shown, dest)
		case !ok:
			return refuse(errs.Unsupported, "%s cannot rename; use cp and rm", f.place)
		case taken && !isDir:
			return refuse(errs.Exist, "%s exists already", dest)
		}
		into := to
		if isDir {
			into = to.child(f.base())
			if _, err := into.System.Status(ctx, into.path); err == nil {
				return refuse(errs.Exist, "%s exists already", into.shown)
			}
		}
		if err := mover.Rename(ctx, f.path, into.path); err != nil {
			return err
		}
		return s.done(into, "moved")
	})
}

// RemoveOptions are those of rm.
type RemoveOptions struct{ Recursive, Force, SkipTrash bool }

// Remove is rm.
func (s *Shell) Remove(ctx context.Context, args []string, o RemoveOptions) error {
	var last error
	for _, arg := range args {
		all, err := s.expand(ctx, arg)
		if err != nil && !(o.Force && missing(err)) {
			s.failed(&last, err)
		}
		for _, f := range all {
			if err := s.remove(ctx, f, o); err != nil {
				s.failed(&last, err)
			}
		}
	}
	return last
}

func (s *Shell) remove(ctx context.Context, f found, o RemoveOptions) error {
	switch {
	case f.path == "/":
		return refuse(errs.Invalid, "%s is everything there is; it is not removed", f.shown)
	case f.Dir && !o.Recursive:
		return refuse(errs.Invalid, "%s is a directory; say -r to remove it and all that is in it", f.shown)
	}
	if !o.SkipTrash {
		if to, err := s.trash(ctx, f); err != nil {
			return err
		} else if to != "" {
			return s.say(Done{f.String(), "trashed"}, "Moved %s to %s", f.shown, to)
		}
	}
	if err := f.System.Remove(ctx, f.path); err != nil {
		return err
	}
	return s.say(Done{f.String(), "deleted"}, "Deleted %s", f.shown)
}

// attributes does something with what arguments name and, if recursive, with all below, in a namespace.
func (s *Shell) attributes(ctx context.Context, command string, args []string, recursive bool,
	do func(*client.Client, found) error) error {
	return s.each(ctx, args, func(f found) error {
		c, err := namespaceOf(f.target, command)
		if err != nil {
			return err
		}
		if !recursive {
			return do(c, f)
		}
		return walk(ctx, f, func(f found) error { return do(c, f) })
	})
}

// Chmod is chmod; mode is octal, or "u+x,g=rX,o-w,+t".
func (s *Shell) Chmod(ctx context.Context, mode string, args []string, recursive bool) error {
	if _, err := changeMode(0, false, mode); err != nil {
		return err
	}
	return s.attributes(ctx, "chmod", args, recursive, func(c *client.Client, f found) error {
		perm, err := changeMode(f.Perm, f.Dir, mode)
		if err != nil {
			return err
		}
		if err := c.SetPermission(ctx, f.path, perm); err != nil {
			return err
		}
		return s.done(f.target, "changed")
	})
}

const sticky = 0o1000

// changeMode applies a mode to permission bits.
func changeMode(perm uint16, dir bool, mode string) (uint16, error) {
	bad := refuse(errs.Invalid, "%s is no mode; write 755, or u+x,g=r and the like", mode)
	if n, err := strconv.ParseUint(mode, 8, 16); err == nil {
		if n > 0o1777 {
			return 0, bad
		}
		return uint16(n), nil
	}
	for change := range strings.SplitSeq(mode, ",") {
		at := strings.IndexAny(change, "+-=")
		if at < 0 {
			return 0, bad
		}
		who, what := change[:at], change[at+1:]
		if who == "" {
			who = "a"
		}
		var mask uint16
		for _, c := range who {
			bits, ok := map[rune]uint16{'u': 0o700, 'g': 0o070, 'o': 0o007, 'a': 0o777}[c]
			if !ok {
				return 0, bad
			}
			mask |= bits
		}
		var bits uint16
		for _, c := range what {
			switch {
			case c == 'r':
				bits |= 0o444
			case c == 'w':
				bits |= 0o222
			case c == 'x', c == 'X' && (dir || perm&0o111 != 0):
				bits |= 0o111
			case c == 't':
				bits |= sticky
			case c != 'X':
				return 0, bad
			}
		}
		bits &= mask | sticky
		switch change[at] {
		case '+':
			perm |= bits
		case '-':
			perm &^= bits
		default:
			perm = perm&^mask | bits
		}
	}
	return perm, nil
}

// Chown is chown; owner is "user", "user:group" or ":group".
func (s *Shell) Chown(ctx context.Context, owner string, args []string, recursive bool) error {
	user, group, _ := strings.Cut(owner, ":")
	if user == "" && group == "" {
		return refuse(errs.Invalid, "%q is no owner; write USER, USER:GROUP or :GROUP", owner)
	}
	return s.attributes(ctx, "chown", args, recursive, func(c *client.Client, f found) error {
		if err := c.SetOwner(ctx, f.path, user, group); err != nil {
			return err
		}
		return s.done(f.target, "changed")
	})
}

// SetReplication is setrep, of directories for all files below, as with Hadoop.
func (s *Shell) SetReplication(ctx context.Context, number string, args []string) error {
	n, err := strconv.ParseInt(number, 10, 16)
	if err != nil || n < 1 {
		return refuse(errs.Invalid, "%s is no replication; write a number from 1 on", number)
	}
	return s.attributes(ctx, "setrep", args, true, func(c *client.Client, f found) error {
		if f.Dir {
			return nil
		}
		if _, err := c.SetReplication(ctx, f.path, int16(n)); err != nil {
			return err
		}
		return s.say(Done{f.String(), fmt.Sprint("replication ", n)}, "Replication %d set: %s", n, f.shown)
	})
}

// Truncate is truncate.
func (s *Shell) Truncate(ctx context.Context, length string, args []string) error {
	n, err := strconv.ParseInt(length, 10, 64)
	if err != nil || n < 0 {
		return refuse(errs.Invalid, "%s is no length in bytes", length)
	}
	return s.attributes(ctx, "truncate", args, false, func(c *client.Client, f found) error {
		ready, err := c.Truncate(ctx, f.path, n)
		if err != nil {
			return err
		}
		text := "Truncated %s to length: %d"
		if !ready {
			text = "Truncating %s to length: %d. Wait for block recovery to complete before further updating this file."
		}
		return s.say(Done{f.String(), "truncated"}, text, f.shown, n)
	})
}

// Concat is concat: the files after the first become its end.
func (s *Shell) Concat(ctx context.Context, args []string) error {
	to, err := s.one(ctx, args[0])
	if err != nil {
		return err
	}
	c, err := namespaceOf(to.target, "concat")
	if err != nil {
		return err
	}
	var sources []string
	err = s.each(ctx, args[1:], func(f found) error {
		if f.place != to.place || path.Dir(f.path) != path.Dir(to.path) {
			return refuse(errs.Invalid, "%s is not in the directory of %s, as concat needs it", f.shown, to.shown)
		}
		sources = append(sources, f.path)
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.Concat(ctx, to.path, sources); err != nil {
		return err
	}
	return s.done(to.target, "extended")
}
