package fakecloud

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// watch makes of moto's list what there is, until ctx ends.
func (c *Cloud) watch(ctx context.Context) {
	defer close(c.stopped)
	tick := time.NewTicker(c.options.Every)
	defer tick.Stop()
	for {
		all, err := c.moto.instances(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			c.options.Log("looking for instances: %v", err)
		default:
			c.compare(ctx, all)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// compare starts machines that there shall be, and ends those that there shall be no more.
func (c *Cloud) compare(ctx context.Context, all []instance) {
	wanted := map[string]bool{}
	for _, i := range all {
		if !i.wanted() {
			continue
		}
		wanted[i.ID] = true
		c.mu.Lock()
		seen, fault := c.mu.seen[i.ID], c.mu.fault
		c.mu.seen[i.ID] = true
		c.mu.Unlock()
		if !seen {
			c.ends.Go(func() { c.begin(ctx, i, fault) })
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, m := range c.mu.machines {
		if !wanted[id] && !m.ending {
			m.ending = true
			c.ends.Go(func() { c.finish(ctx, m) })
		}
	}
}

// begin boots an instance.
func (c *Cloud) begin(ctx context.Context, i instance, fault Fault) {
	var t Trouble
	if fault != nil {
		t = fault(i.tag(roleTag))
	}
	if t.Never {
		c.options.Log("%s (%s) does not boot", i.ID, i.tag(roleTag))
		return
	}
	if t.Until != nil {
		c.options.Log("%s (%s) boots slowly", i.ID, i.tag(roleTag))
		select {
		case <-t.Until:
		case <-ctx.Done():
			return
		}
	}
	m, err := c.start(ctx, i, t)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.mu.errs = append(c.mu.errs, err)
		c.options.Log("%s does not start: %v", i.ID, err)
		return
	}
	c.options.Log("%s (%s) boots at %s", i.ID, i.tag(roleTag), i.Private)
	c.mu.machines[i.ID] = m
	c.notify()
}

// finish ends an instance that there shall be no more. One of a group is told, and has time to drain.
func (c *Cloud) finish(ctx context.Context, m *machine) {
	var n notice
	if m.group() != "" {
		n = notice{"meta-data/autoscaling/target-lifecycle-state", "Terminated"}
	}
	if _, err := c.dismiss(ctx, m, n); err != nil {
		c.mu.Lock()
		c.mu.errs = append(c.mu.errs, err)
		c.mu.Unlock()
	}
}

// await waits until a machine has ended by itself, or has said that nothing keeps it, at most for a time.
func (m *machine) await(ctx context.Context, grace time.Duration) bool {
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-m.ended:
		return true
	case <-m.drained:
		return true
	case <-late.C:
	case <-ctx.Done():
	}
	return false
}

// release notes that a machine has said that nothing keeps it. The cloud is locked.
func (m *machine) release() {
	select {
	case <-m.drained:
	default:
		close(m.drained)
	}
}

// drained is the instance of which a request says that it has drained; "" if it says something else.
func drained(r *http.Request) (string, error) {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return "", nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("Action") != "CompleteLifecycleAction" {
		return "", err
	}
	return form.Get("InstanceId"), nil
}
