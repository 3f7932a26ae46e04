package deploy

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/say"
)

// door is whether a fleet's servers can be reached from here.
type door struct {
	open  bool
	since time.Time // when it was found shut; zero: it was not
}

const (
	// knockTime bounds one try to reach a server.
	knockTime = 2 * time.Second
	// shutTime is how long servers that work may not be reached before it is said that they won't be.
	shutTime = 30 * time.Second
)

// try knocks, and says what it waits for. When it has done so in vain for a while it fails with what to do: no patience
// helps who is not let in.
func (d *door) try(ctx context.Context, c fleet.Cluster, allowed []string) (waiting string, shut error) {
	err := knock(ctx, c)
	if err == nil {
		d.open = true
		return "", nil
	}
	if d.since.IsZero() {
		d.since = time.Now()
	}
	if time.Since(d.since) < shutTime || ctx.Err() != nil {
		return "a server that can be reached from here: " + errs.Cause(err), nil
	}
	who := "nobody outside of its network is let in; deploy it again with --allow-from"
	if len(allowed) > 0 {
		who = strings.Join(allowed, ", ") + " may, which seems not to be here; deploy it again with another --allow-from"
	}
	return "", say.Errorf(errs.Unavailable, "the servers of %s work, but can't be reached from here (%w): %s, as in "+
		"203.0.113.7/32. `runner teardown %[1]s` removes it", c.Name, err, who)
}

// knock returns nil if one of the servers of a fleet answers.
func knock(ctx context.Context, c fleet.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, knockTime)
	defer cancel()
	by, err := c.Anywhere()
	if err != nil {
		return err
	}
	err = errs.Errorf("deploy.knock", errs.Unavailable, c.Name, "no server has an address")
	for _, address := range c.Nomad.Addresses {
		var conn net.Conn
		if conn, err = by.DialContext(ctx, "tcp", address); err == nil {
			return conn.Close()
		}
	}
	return err
}
