package fakecloud

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	nomadapi "github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/runner/fleet"
)

// evidence is what the fleet and its machines know at the moment, for who looks for the reason of a failure: what the
// program answers, what Nomad has decided about which containers, and what those have said last.
func (u *user) evidence() string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.Context()), time.Minute)
	defer cancel()
	var b strings.Builder
	for _, verb := range []string{"nodes", "jobs", "queues"} {
		cmd, stdout, stderr := u.commandFor(ctx, verb, "--cluster", name)
		err := cmd.Run()
		fmt.Fprintf(&b, "runner %s (%v):\n%s%s", verb, err, stdout, stderr)
	}
	if err := u.scheduled(ctx, &b); err != nil {
		fmt.Fprintf(&b, "Nomad: %v\n", err)
	}
	b.WriteString(u.cloud.containers())
	return b.String()
}

// scheduled is what Nomad knows of machines, and has decided about containers.
func (u *user) scheduled(ctx context.Context, b *strings.Builder) error {
	c, err := fleet.Load(u.home, name)
	if err != nil {
		return err
	}
	by, err := c.Client(c.Nomad)
	if err != nil {
		return err
	}
	client, err := nomadapi.NewClient(&nomadapi.Config{
		Address: "https://" + c.Nomad.Addresses[0], SecretID: c.Nomad.Token, HttpClient: by,
	})
	if err != nil {
		return err
	}
	defer client.Close()
	q := new(nomadapi.QueryOptions).WithContext(ctx)
	nodes, _, err := client.Nodes().List(q)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		fmt.Fprintf(b, "node %s %s: %s, %s\n", n.Name, n.Address, n.Status, n.SchedulingEligibility)
	}
	allocs, _, err := client.Allocations().List(q)
	if err != nil {
		return err
	}
	slices.SortFunc(allocs, func(a, b *nomadapi.AllocationListStub) int {
		return cmp.Compare(a.CreateIndex, b.CreateIndex)
	})
	for _, a := range allocs {
		fmt.Fprintf(b, "allocation %s %s at %s: shall %s, is %s, made %v, changed %v\n", a.ID[:8], a.Name, a.NodeName,
			a.DesiredStatus, a.ClientStatus, time.Unix(0, a.CreateTime).UTC(), time.Unix(0, a.ModifyTime).UTC())
		for _, task := range a.TaskStates {
			for _, e := range task.Events {
				fmt.Fprintf(b, "    %v %s %s\n", time.Unix(0, e.Time).UTC(), e.Type, e.DisplayMessage)
			}
		}
	}
	evals, _, err := client.Evaluations().List(q)
	for _, e := range evals {
		fmt.Fprintf(b, "evaluation %s of %s because of %s: %s %s %v\n", e.ID[:8], e.JobID, e.TriggeredBy, e.Status,
			e.StatusDescription, e.FailedTGAllocs)
	}
	return err
}

// containers are the ends of what the latest containers of each machine have said.
func (c *Cloud) containers() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, m := range c.mu.machines {
		logs, _ := filepath.Glob(filepath.Join(m.dir, "lib", "runner", "logs", "*", "*.log")) // the pattern is well formed
		slices.SortFunc(logs, func(a, b string) int { return written(b).Compare(written(a)) })
		const most, lines = 4, 12
		for _, file := range logs[:min(most, len(logs))] {
			text, _ := os.ReadFile(file) // it may just be removed
			all := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
			fmt.Fprintf(&b, "%s (%s): the end of %s of %s:\n%s\n", m.ID, m.Private, filepath.Base(file),
				filepath.Base(filepath.Dir(file)), bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
		}
	}
	return b.String()
}

// written is when a file was written last; long ago if it is gone.
func written(file string) time.Time {
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
