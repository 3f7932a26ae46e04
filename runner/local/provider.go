package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/runner/nodeinit"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

// Name is by what people choose this provider.
const Name = "local"

// maxWorkers is as many as there are addresses for in a cluster's network.
const maxWorkers = 200

// Provider is a fleet.Provider.
type Provider struct {
	home string
}

// New returns the provider of the clusters of a home folder.
func New(home string) Provider { return Provider{home} }

// Host is what a cluster has on this host.
func (p Provider) Host(cluster string) Host { return Host{filepath.Join(p.home, "local", cluster)} }

// BucketOf is the name of a cluster's bucket.
func BucketOf(cluster string) string { return "runner-" + cluster }

// Jobs is where in a cluster's bucket its jobs are recorded.
func Jobs(cluster string) string { return "s3://" + BucketOf(cluster) + "/.runner" }

func (p Provider) buckets() string { return filepath.Join(p.home, "buckets") }

// Setup implements fleet.Provider.
func (p Provider) Setup(_ context.Context, r fleet.Request) (fleet.Setup, error) {
	switch {
	case runtime.GOOS != "linux":
		return fleet.Setup{}, errs.E("", errs.Unsupported, nil, errors.New(
			"machines on this host need Linux, whose loopback interface has an address for each"))
	case os.Geteuid() != 0:
		return fleet.Setup{}, errs.E("", errs.Permission, nil, errors.New(
			"machines on this host need root, since Nomad divides it by cgroups; try sudo -E"))
	case r.Most() > maxWorkers:
		return fleet.Setup{}, errs.E("", errs.Invalid, nil, fmt.Errorf("%d workers: this host has addresses for %d", r.Most(),
			maxWorkers))
	}
	program, err := os.Executable()
	if err != nil {
		return fleet.Setup{}, errs.E("local.Setup", errs.Internal, nil, err)
	}
	h := p.Host(r.Name)
	network, err := h.network()
	if err != nil {
		return fleet.Setup{}, err
	}
	cluster := Cluster{
		Name: r.Name, Network: network, Servers: r.Servers, Bucket: BucketOf(r.Name), Jobs: Jobs(r.Name),
		Data: filepath.Join(p.buckets(), r.Name), Binaries: r.Binaries, Deadline: r.ExpiresAt,
		Idle: r.Idle, Driver: nomad.Driver(r.Driver),
	}
	return fleet.Setup{
		Root: Name, Bucket: cluster.Bucket,
		Vars: map[string]any{
			"name": r.Name, "dir": h.Dir, "program": program, "servers": r.Servers, "workers": r.Workers, "network": network,
			"cluster": cluster, "expires_at": r.ExpiresAt.Format(time.RFC3339), "generations": h.generations(r), "ca": r.CA,
		},
	}, nil
}

// network returns the beginning of the cluster's addresses: those that it has, or some that nobody uses.
func (h Host) network() (string, error) {
	var c Cluster
	if err := h.read(clusterFile, &c); err == nil {
		return c.Network, nil
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(h.Dir)) // never fails
	for try := range uint32(20) {
		n := (hash.Sum32() + try*7919) % (250 * 250)
		network := fmt.Sprintf("127.%d.%d", 1+n/250, 1+n%250)
		l, err := net.Listen("tcp", network+".1:"+nodeinit.ConsulPort)
		if err != nil {
			continue // another cluster's
		}
		return network, l.Close()
	}
	return "", errs.Errorf("local.network", errs.Exhausted, h.Dir, "no free network in 127.0.0.0/8")
}

// generations says of each part whether it is as it was made: what it was then, or else something new, so that
// Terraform, which can't look at processes, makes it anew.
func (h Host) generations(r fleet.Request) map[string]string {
	sizes := map[string]int{storePart: 1, serversPart: r.Servers, workersPart: r.Workers}
	at, err := nodeinit.ReadDeadline(h.file(deadlineFile))
	armed := err == nil && at.Equal(r.ExpiresAt) && len(h.On(deadmanPart)) > 0
	all := map[string]string{}
	for _, name := range []string{depotPart, deadmanPart, storePart, serversPart, workersPart} {
		p, err := h.part(name)
		members, lost := h.members(name)
		whole := err == nil && lost == nil && (name != deadmanPart || armed) && p.Size == sizes[name] &&
			p.Size == len(members)
		for machine := range members {
			whole = whole && len(h.On(machine)) > 0
		}
		if name == workersPart && r.Elastic() {
			whole = err == nil // who scales sees to its machines
		}
		if all[name] = p.Generation; !whole {
			all[name] = rand.Text()
		}
	}
	return all
}

// Machines implements fleet.Provider.
func (p Provider) Machines(_ context.Context, cluster string) ([]fleet.Machine, error) {
	h := p.Host(cluster)
	known, err := h.Machines()
	if err != nil {
		return nil, err
	}
	var all []fleet.Machine
	for _, m := range known {
		if m.Role == nodeinit.Store {
			continue
		}
		one := fleet.Machine{ID: m.Name, Role: fleet.Role(m.Role), State: "running", Private: m.Address, Public: m.Address}
		if len(h.On(m.Name)) == 0 {
			one.State = "dead"
		}
		if info, err := os.Stat(h.file(m.Name, machineFile)); err == nil {
			one.Started = info.ModTime()
		}
		all = append(all, one)
	}
	return all, nil
}

// The kinds of resources: parts by their names, and these.
const (
	folderKind = "folder"
	bucketKind = "bucket"
)

// Scan implements fleet.Provider. The workers come first, the folder last of all but the bucket.
func (p Provider) Scan(_ context.Context, cluster string) ([]fleet.Resource, error) {
	names, err := p.clusters()
	if err != nil {
		return nil, err
	}
	var all []fleet.Resource
	for _, name := range names {
		if cluster == "" || name == cluster {
			all = append(all, p.scan(name)...)
		}
	}
	return all, nil
}

func (p Provider) scan(cluster string) []fleet.Resource {
	h := p.Host(cluster)
	var all []fleet.Resource
	add := func(kind, id string, data bool) {
		all = append(all, fleet.Resource{Service: Name, Kind: kind, ID: id, Cluster: cluster, Data: data})
	}
	for _, name := range []string{workersPart, serversPart, storePart, deadmanPart} {
		if part, err := h.part(name); err == nil {
			add(name, part.ID, false)
		}
	}
	_, err := os.Lstat(h.Dir)
	if there := err == nil; there || len(h.Alive()) > 0 {
		// The depot's note is the last that is made, so without it the folder was left by one that was killed.
		part, err := h.part(depotPart)
		if err != nil {
			part.ID = h.Dir
		}
		add(folderKind, part.ID, false)
	}
	if bucket := filepath.Join(p.buckets(), cluster); exists(bucket) {
		add(bucketKind, bucket, true)
	}
	return all
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// clusters returns the names of all that have left something: a folder, a bucket, or a process.
func (p Provider) clusters() ([]string, error) {
	var names []string
	for _, dir := range []string{filepath.Join(p.home, "local"), p.buckets()} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errs.E("local.Scan", errs.Other, dir, err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	for _, env := range environments() {
		_, mark, ok := strings.Cut(string(env), "\x00"+clusterMark+"=")
		if dir, _, _ := strings.Cut(mark, "\x00"); ok && filepath.Dir(dir) == filepath.Join(p.home, "local") {
			names = append(names, filepath.Base(dir))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Remove implements fleet.Provider. Work is not moved elsewhere: what is removed so is no part of a fleet any more.
func (p Provider) Remove(ctx context.Context, r fleet.Resource) error {
	h := p.Host(r.Cluster)
	switch r.Kind {
	case folderKind:
		return h.Remove()
	case bucketKind:
		if err := os.RemoveAll(r.ID); err != nil {
			return errs.E("local.Remove", errs.Other, r.ID, err)
		}
		return nil
	}
	return h.Unmake(ctx, r.Kind, 0)
}

// Adjust implements fleet.Provider.
func (p Provider) Adjust(ctx context.Context, cluster string, c fleet.Change) error {
	h := p.Host(cluster)
	if !c.ExpiresAt.IsZero() {
		if err := h.startDeadman(c.ExpiresAt); err != nil {
			return err
		}
	}
	if c.Workers == nil {
		return nil
	}
	if *c.Workers > maxWorkers {
		return errs.E("", errs.Invalid, nil, fmt.Errorf("%d workers: this host has addresses for %d", *c.Workers, maxWorkers))
	}
	part, err := h.part(workersPart)
	if err != nil {
		return err
	}
	part.Size = *c.Workers
	return h.Resize(ctx, part)
}
