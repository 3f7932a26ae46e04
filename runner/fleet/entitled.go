package fleet

import (
	"context"
	"time"

	"github.com/seed3322913c/runner/runner/access"
)

// Entitled returns the cluster with a token for its control. One that has none gets one, which is written to its file
// below a home folder. That needs nobody's leave: the keys of the store are in the file, too.
func (c Cluster) Entitled(ctx context.Context, home string, open OpenStore) (Cluster, error) {
	if c.Control.Token != "" {
		return c, nil
	}
	if err := c.Surround(); err != nil {
		return c, err
	}
	st, err := open(ctx, c.Store)
	if err != nil {
		return c, err
	}
	c.Control.Token, _, err = access.NewTokens(st, time.Now).Create(ctx, "the file of cluster "+c.Name, access.Admin)
	if err != nil {
		return c, err
	}
	if saved, err := Load(home, c.Name); err == nil && saved.CA == c.CA { // it may have got other servers meanwhile
		saved.Control = c.Control
		return c, saved.Save(home)
	}
	return c, c.Save(home)
}
