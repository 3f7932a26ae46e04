package fleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"iter"
	"maps"
	"os"
	"time"

	consulapi "github.com/hashicorp/consul/api"
	nomadapi "github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/infra/coord/consul"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/amrpc"
	"github.com/seed3322913c/runner/scheduler/launch"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

const (
	keyPrefix    = "runner/"
	masterRole   = "am"
	executorRole = "executor"
	masterMemory = 512 << 20 // bytes
)

func group(id scheduler.JobID, role string) launch.GroupID {
	return launch.GroupID{Job: id, Role: role}
}

// Fleet is a cluster as those see it who submit jobs. Close must be called.
type Fleet struct {
	cluster  Cluster
	store    store.Store
	coord    *consul.Coordinator
	launcher *nomad.Launcher
	bare     *nomad.Launcher // of what runs no program of people's, and sees its machine: its certificate, for one
	consul   *consulapi.Client
	nomad    *nomadapi.Client
	leading  recent[string] // the URL of the control that leads
	hosts    recent[FunctionHost]
	masters  masters
}

// Open connects to a cluster. What the tools of its store need is added to this process's environment.
func Open(ctx context.Context, c Cluster, open OpenStore) (*Fleet, error) {
	err := c.Surround()
	if err != nil {
		return nil, err
	}
	f := &Fleet{cluster: c}
	if f.store, err = open(ctx, c.Store); err != nil {
		return nil, err
	}
	return f, errors.Join(f.openConsul(), f.openNomad())
}

// Surround puts what the tools of the cluster's store need into this process's environment, in place of what is there:
// whoever names a cluster means its store, whatever other account he works with.
func (c Cluster) Surround() error {
	const op = "fleet.Surround"
	if c.Env["AWS_ACCESS_KEY_ID"] != "" {
		for _, alien := range []string{"AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"} { // which would go with other keys
			if err := os.Unsetenv(alien); err != nil {
				return errs.E(op, errs.Internal, alien, err)
			}
		}
	}
	for k, v := range c.Env {
		if err := os.Setenv(k, v); err != nil {
			return errs.E(op, errs.Internal, k, err)
		}
	}
	return nil
}

func (f *Fleet) openConsul() error {
	service := f.cluster.Consul
	client, err := f.cluster.Client(service)
	if err != nil {
		return err
	}
	address := "https://" + service.Addresses[0]
	f.coord, err = consul.Open(consul.Options{
		Address: address, Token: service.Token, Prefix: keyPrefix, Client: client,
	})
	if err != nil {
		return err
	}
	f.consul, err = consulapi.NewClient(&consulapi.Config{Address: address, Token: service.Token, HttpClient: client})
	return err
}

func (f *Fleet) openNomad() error {
	service := f.cluster.Nomad
	client, err := f.cluster.Client(service)
	if err != nil {
		return err
	}
	address := "https://" + service.Addresses[0]
	f.launcher, err = nomad.Open(nomad.Options{
		Address: address, Token: service.Token, Client: client, Driver: f.cluster.Driver,
		Folder: dir, Program: program, CA: caFile, Namespace: namespace,
	})
	if err != nil {
		return err
	}
	f.bare, err = nomad.Open(nomad.Options{
		Address: address, Token: service.Token, Client: client, Driver: nomad.RawExec,
	})
	if err != nil {
		return err
	}
	f.masters.watch = func(ctx context.Context) iter.Seq2[map[launch.GroupID]launch.Event, error] {
		return f.launcher.WatchRole(ctx, masterRole)
	}
	f.nomad, err = nomadapi.NewClient(&nomadapi.Config{Address: address, SecretID: service.Token, HttpClient: client})
	return err
}

// Close gives all connections back. Jobs go on.
func (f *Fleet) Close() {
	f.coord.Close()
	f.launcher.Close()
	f.bare.Close()
	f.nomad.Close()
}

// Jobs returns the record of the fleet's jobs.
func (f *Fleet) Jobs() embedded.Jobs { return embedded.Jobs{Store: f.store} }

// Name is what people call the fleet.
func (f *Fleet) Name() string { return f.cluster.Name }

// StoreURI is where the fleet keeps what outlives it.
func (f *Fleet) StoreURI() string { return f.cluster.Store }

// Chains returns how chains are run on the fleet: each by the process of whoever submits it, or goes on with it.
func (f *Fleet) Chains() embedded.Chains {
	return embedded.Chains{
		At: f, Coord: f.coord, Tidy: f.forget,
		Leases: embedded.Leases{TTL: 10 * time.Second, Patience: 2 * time.Second, Look: time.Second},
	}
}

// Machines is how many machines run containers at the moment, also while no control leads.
func (f *Fleet) Machines(ctx context.Context) (int, error) {
	nodes, err := f.nodes(ctx)
	return len(nodes), err
}

// nodes are the machines that Nomad believes alive.
func (f *Fleet) nodes(ctx context.Context) ([]*nomadapi.NodeListStub, error) {
	all, _, err := f.nomad.Nodes().List(new(nomadapi.QueryOptions).WithContext(ctx))
	if err != nil {
		return nil, errs.E("fleet.nodes", errs.Unavailable, f.cluster.Name, err)
	}
	var ready []*nomadapi.NodeListStub
	for _, n := range all {
		if n.Status == nomadapi.NodeStatusReady {
			ready = append(ready, n)
		}
	}
	return ready, nil
}

// Launch starts a recorded job's application master, if there is none: also that of a job that was cut off, whose
// finished tasks are kept. It is for control; others Submit. When another control does the same at this moment, as one
// may that has just been replaced, it fails with errs.Unavailable: the next call finds out who was first.
func (f *Fleet) Launch(ctx context.Context, job scheduler.Job, executors int) error {
	err := f.launch(ctx, job, executors)
	if errs.KindOf(err) == errs.Exist {
		return errs.E("fleet.Launch", errs.Unavailable, job.ID, err)
	}
	return err
}

func (f *Fleet) launch(ctx context.Context, job scheduler.Job, executors int) error {
	if err := announce(ctx, f.coord, shareKey(job.ID), executors, true); err != nil {
		return err
	}
	alive, err := f.launcher.Alive(ctx, group(job.ID, masterRole))
	if err != nil || alive {
		return err
	}
	if err := f.clear(ctx, job.ID); err != nil {
		return err
	}
	v, err := f.coord.Get(ctx, grantKey(job.ID))
	if err != nil {
		return err
	}
	known, err := parseGrant(v.Data)
	if err != nil {
		return err
	}
	known.Secret, known.Over, known.Since = cmp.Or(known.Secret, rand.Text()), false, time.Now().UTC()
	secrets, err := f.entitle(ctx, job.ID, &known)
	if err != nil {
		return err
	}
	if _, err := f.coord.Swap(ctx, grantKey(job.ID), v.Version, known.encode()); err != nil {
		return err
	}
	session := embedded.Session{Home: dir, Name: rand.Text(), Node: node, Secret: known.Secret}
	g := containers(f.cluster.Store, job.ID, session, masterRole)
	g.Env[driverEnv] = string(f.cluster.Driver)
	own, err := f.launcher.Kept(ctx, group(job.ID, masterRole))
	if err != nil {
		return err
	}
	for _, vars := range []map[string]string{f.cluster.Env, own, secrets} {
		maps.Copy(g.Secrets, vars)
	}
	g.Count, g.Resources = 1, scheduler.Resources{CPU: 1, Memory: masterMemory}
	g.Restart = launch.Restart{Attempts: job.Retry.Job - 1, Delay: 50 * time.Millisecond, MaxDelay: time.Second}
	return f.launcher.Start(ctx, g)
}

// clear removes what an application master that is gone for good has left: its group, and its address, for which nobody
// shall wait.
func (f *Fleet) clear(ctx context.Context, id scheduler.JobID) error {
	if err := f.launcher.Stop(ctx, group(id, masterRole)); err != nil {
		return err
	}
	v, err := f.coord.Get(ctx, amrpc.Key(id))
	if err != nil || v.Version == 0 {
		return err
	}
	_, err = f.coord.Swap(ctx, amrpc.Key(id), v.Version, nil)
	return err
}

// forget removes what a job that is over leaves in Nomad and Consul, but for its record, and for the grant that lets
// people read its logs.
func (f *Fleet) forget(ctx context.Context, id scheduler.JobID) error {
	for _, role := range []string{executorRole, masterRole} {
		if err := f.launcher.Stop(ctx, group(id, role)); err != nil {
			return err
		}
	}
	for _, remove := range []func() error{
		func() error { return f.launcher.Forget(ctx, id, masterRole, executorRole) },
		func() error { return f.removeNamespace(ctx, id) },
		func() error { return f.removePolicies(ctx, id) },
		func() error { return f.coord.Sweep(ctx, "job/"+string(id)+"/") },
	} {
		if err := remove(); err != nil {
			return err
		}
	}
	var revoked error // last, since by tokens that are noted Tidy knows that there is something left
	err := putGrant(ctx, f.coord, id, func(g *grant) {
		g.Over = true
		revoked = f.disentitle(ctx, id, g)
	})
	return errors.Join(err, revoked)
}
