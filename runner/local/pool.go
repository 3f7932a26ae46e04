package local

import (
	"context"
	"os"
	"slices"
	"syscall"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet"
)

// Workers implements fleet.Pool.
func (p Provider) Workers(ctx context.Context, cluster string) (fleet.Workers, error) {
	part, err := p.Host(cluster).part(workersPart)
	if err != nil {
		return fleet.Workers{}, err
	}
	w := fleet.Workers{Size: part.Size, OnDemand: part.Size}
	all, err := p.Machines(ctx, cluster)
	w.Machines = slices.DeleteFunc(all, func(m fleet.Machine) bool { return m.Role != fleet.Worker })
	return w, err
}

// EndWorker implements fleet.Pool. The group is made smaller last: should this process be killed before, there is one
// machine less than there shall be, which is seen. It is not if somebody has made it as small as it is meanwhile.
func (p Provider) EndWorker(ctx context.Context, cluster, machine string) error {
	h := p.Host(cluster)
	members, err := h.members(workersPart)
	if err != nil {
		return err
	}
	if _, there := members[machine]; !there {
		return nil
	}
	if err := h.Stop(ctx, machine, DrainTime); err != nil {
		return err
	}
	unlock, err := h.lock()
	if err != nil {
		return err
	}
	defer unlock()
	part, err := h.part(workersPart)
	if err != nil {
		return err
	}
	if members, err = h.members(workersPart); err != nil || part.Size <= len(members) {
		return err
	}
	part.Size--
	return h.note(part)
}

// lock keeps other processes from changing how many machines there shall be, until unlock is called, or this one ends.
func (h Host) lock() (unlock func(), err error) {
	const op = "local.lock"
	file, err := os.OpenFile(h.file(partsDir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, errs.E(op, errs.Other, h.Dir, err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		_ = file.Close() // which has no lock
		return nil, errs.E(op, errs.Other, h.Dir, err)
	}
	return func() { _ = file.Close() }, nil // which gives the lock back
}
