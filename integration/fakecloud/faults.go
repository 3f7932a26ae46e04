package fakecloud

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Fault says what happens to a machine of a role that shall boot. It may be called by many goroutines at once.
type Fault func(role string) Trouble

// Trouble is what is wrong with a machine that shall boot. The zero value is nothing.
type Trouble struct {
	Until <-chan struct{} // it boots when this is closed; nil: at once
	Never bool            // it does not boot at all, and says nothing
	Disk  bool            // its disk is broken: it says so, and is of no use
}

// Trouble says what happens to machines that shall boot from now on; nil: nothing.
func (c *Cloud) Trouble(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.fault = f
}

// Departure is how a machine has gone that was told to.
type Departure struct {
	Took  time.Duration // from the notice to the end
	Ready bool          // nothing kept it any more when it went
	Said  string        // the end of what it has said
}

// Departure returns how a machine has gone.
func (c *Cloud) Departure(id string) (d Departure, gone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, gone = c.mu.departures[id]
	return d, gone
}

// Cut pulls the cable of an instance, or puts it in again.
func (c *Cloud) Cut(id string, cut bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.machines[id] == nil {
		return fmt.Errorf("instance %s does not run", id)
	}
	return c.network.cut(id, cut)
}

// Kill ends an instance as a power cut would; its group starts another one.
func (c *Cloud) Kill(ctx context.Context, id string) error {
	m, err := c.claim(id)
	if err != nil {
		return err
	}
	c.options.Log("%s (%s) is killed", id, m.tag(roleTag))
	err = m.off()
	c.remove(m)
	return errors.Join(err, c.moto.replace(ctx, m.instance))
}

// Reclaim tells a spot instance that it will be taken away, and does so when it has ended by itself, or its time is
// over. Then its group starts another one.
func (c *Cloud) Reclaim(ctx context.Context, id string) (Departure, error) {
	m, err := c.claim(id)
	if err != nil {
		return Departure{}, err
	}
	end := time.Now().Add(c.options.Grace).UTC().Format(time.RFC3339)
	d, err := c.dismiss(ctx, m, notice{"meta-data/spot/instance-action",
		fmt.Sprintf(`{"action":"terminate","time":%q}`, end)})
	return d, errors.Join(err, c.moto.replace(ctx, m.instance))
}

// Rebalance tells a spot instance that it is likely to be taken away. Its group starts another one at once, and ends
// this one when that is done, as one with capacity rebalancing does.
func (c *Cloud) Rebalance(ctx context.Context, id string) (Departure, error) {
	m, err := c.claim(id)
	if err != nil {
		return Departure{}, err
	}
	if err := c.moto.replace(ctx, m.instance); err != nil {
		return Departure{}, err
	}
	return c.dismiss(ctx, m, notice{"meta-data/events/recommendations/rebalance",
		fmt.Sprintf(`{"noticeTime":%q}`, time.Now().UTC().Format(time.RFC3339))})
}

// claim returns a machine that runs, to whose end the caller sees.
func (c *Cloud) claim(id string) (*machine, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.mu.machines[id]
	if m == nil || m.ending {
		return nil, fmt.Errorf("instance %s does not run", id)
	}
	m.ending = true
	return m, nil
}

// notice is what a machine's metadata service says from some moment on.
type notice struct{ path, text string }

// dismiss ends a machine that the caller has claimed. With a notice it is told, and has time to drain.
func (c *Cloud) dismiss(ctx context.Context, m *machine, n notice) (Departure, error) {
	began := time.Now()
	var d Departure
	if n.path != "" {
		m.metadata.Set(n.path, n.text)
		d.Ready = m.await(ctx, c.options.Grace)
	}
	d.Took, d.Said = time.Since(began), m.tail()
	err := m.off()
	c.options.Log("%s (%s) has ended after %.1f s", m.ID, m.tag(roleTag), d.Took.Seconds())
	c.mu.Lock()
	c.mu.departures[m.ID] = d
	c.mu.Unlock()
	c.remove(m)
	return d, err
}
