package shell

import (
	"context"
	"fmt"

	"github.com/seed3322913c/runner/hdfsgw/client"
	"github.com/seed3322913c/runner/hdfsgw/fsck"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/format"
)

// Fsck is fsck. It fails with errs.Corrupt if something is missing or corrupt.
func (s *Shell) Fsck(ctx context.Context, args []string, o client.FsckOptions) error {
	if len(args) == 0 {
		args = []string{"/"}
	}
	t, err := s.resolve(ctx, args[0])
	if err != nil {
		return err
	}
	c, err := namespaceOf(t, "fsck")
	if err != nil {
		return err
	}
	if !s.Quiet {
		o.Progress = func(r fsck.Report) {
			if r.Objects > 0 {
				fmt.Fprintf(s.Err, "  %d objects   %s compared\n", r.Objects, format.Bytes(r.Read))
			}
		}
	}
	r, err := c.Fsck(ctx, t.path, o)
	if err != nil {
		return err
	}
	if s.JSON {
		err = s.say(r, "")
	} else {
		err = s.tellFsck(t, r, o)
	}
	if err == nil && !r.Healthy() {
		err = refuse(errs.Corrupt, "%s: %d blocks are missing, %d are corrupt", t.shown, r.Missing, r.Corrupt)
	}
	return err
}

func (s *Shell) tellFsck(t target, r fsck.Report, o client.FsckOptions) error {
	for _, p := range r.Problems {
		fmt.Fprintf(s.Out, "%s: %s: %s\n", p.Path, p.Object, p.Why)
	}
	status, read := "HEALTHY", ""
	if !r.Healthy() {
		status = "CORRUPT"
	}
	if o.Verify {
		read = fmt.Sprintf("  %d bytes compared with their checksums\n", r.Read)
	}
	_, err := fmt.Fprintf(s.Out, "Status: %s\n  %d files, %d blocks, %d bytes\n%s  %d missing, %d corrupt\n"+
		"  %d orphans of %d bytes, %d deleted\n", status, r.Files, r.Blocks, r.Bytes, read, r.Missing, r.Corrupt, r.Orphans,
		r.OrphanBytes, r.Deleted)
	return err
}
