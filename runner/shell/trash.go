package shell

import (
	"context"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// trash moves what is to be removed into its user's trash, if its file system has one: below .Trash/Current of the home
// directory, under its old path. It returns where it is then, "" if it is still where it was.
func (s *Shell) trash(ctx context.Context, f found) (string, error) {
	h, ok := f.System.(hdfs)
	if !ok {
		return "", nil
	}
	c := h.Store.Client
	if on, err := c.HasTrash(ctx); err != nil || !on {
		return "", err
	}
	home, err := c.Home(ctx)
	if err != nil {
		return "", err
	}
	root := home + "/.Trash"
	switch {
	case f.path == root || strings.HasPrefix(f.path, root+"/"):
		return "", nil
	case strings.HasPrefix(root, f.path+"/"):
		return "", refuse(errs.Invalid, "%s has the trash in it; say --skip-trash to remove it", f.shown)
	}
	to := root + "/Current" + f.path
	if err := c.Mkdirs(ctx, path.Dir(to), 0o700); err != nil {
		return "", err
	}
	err = c.Rename(ctx, f.path, to, false)
	if errs.KindOf(err) == errs.Exist { // there was another one of that name
		to += strconv.FormatInt(time.Now().UnixMilli(), 10)
		err = c.Rename(ctx, f.path, to, false)
	}
	return to, err
}
