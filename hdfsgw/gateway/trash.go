package gateway

import (
	"context"
	"time"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
)

// trashTime is how a part of the trash is named, by the time at which it was closed, as HDFS has it.
const trashTime = "060102150405"

// emptyTrash closes each user's present trash, and deletes what was closed long enough ago: what is removed can be
// found for at least the time that clients are told, and at most twice that. It does so once in that time.
func (g *Gateway) emptyTrash(ctx context.Context, l *leadership) error {
	keep := g.o.Web.Trash.Milliseconds()
	if keep == 0 || l.Now()-l.emptied < keep {
		return nil
	}
	l.emptied = l.Now()
	const page = 1000
	for after := ""; ; {
		homes, more, err := l.List(super(), "/user", after, page)
		if err != nil || len(homes) == 0 {
			return nil // nobody has a home
		}
		for _, home := range homes {
			if err := g.emptyTrashOf(ctx, l, "/user/"+home.Name+"/.Trash"); err != nil {
				return err
			}
		}
		if more == 0 {
			return nil
		}
		after = homes[len(homes)-1].Name
	}
}

func (g *Gateway) emptyTrashOf(ctx context.Context, l *leadership, trash string) error {
	parts, _, err := l.List(super(), trash, "", 1<<20)
	if err != nil {
		return nil // there is none
	}
	now := time.UnixMilli(l.Now()).UTC()
	for _, part := range parts {
		r := namespace.Request{Caller: super(), Path: trash + "/" + part.Name}
		closed, err := time.Parse(trashTime, part.Name)
		switch {
		case part.Name == "Current":
			r.Op, r.Dest = namespace.OpRename, trash+"/"+now.Format(trashTime)
		case err == nil && now.Sub(closed) >= g.o.Web.Trash:
			r.Op, r.Recursive = namespace.OpDelete, true
		default:
			continue
		}
		if _, err := l.Do(ctx, r); err != nil {
			return err
		}
	}
	return nil
}
