package fleet

import (
	"context"
	"time"
)

// Provider is what is special about a place where machines run; Terraform does the rest. All methods may be called by
// several goroutines at once. Errors are of kind Permission (wrong or missing credentials, a denied action), Invalid,
// Exhausted (a quota) or Unavailable.
type Provider interface {
	// Setup checks that the caller may work there, and says how a request is given to Terraform. It makes nothing, and
	// may be called any number of times.
	Setup(ctx context.Context, r Request) (Setup, error)

	// Machines returns the machines of a cluster that exist, starting and stopping ones included.
	Machines(ctx context.Context, cluster string) ([]Machine, error)

	// Scan asks every service for what carries the mark of a cluster, or with "" of any, whatever a state says. What it
	// returns is in the order in which it can be removed. What is on its way out (a terminated machine that is still
	// listed) is left out.
	Scan(ctx context.Context, cluster string) ([]Resource, error)

	// Remove removes one resource, its data included; that it is gone already is success. One that something else still
	// uses fails with errs.Unavailable.
	Remove(ctx context.Context, r Resource) error

	// Adjust changes a running fleet at once, without Terraform. It is also what sets the numbers of machines after an
	// Apply: a root may leave them at 0 until all else is there.
	Adjust(ctx context.Context, cluster string, c Change) error
}

// StateKeeper is the ability of a provider that keeps Terraform's state elsewhere than in the fleet's folder.
type StateKeeper interface {
	// KeepState makes what Terraform needs to keep the state where s.Backend says; that it is there is success. Until
	// leave is called no ForgetState of another fleet takes it away; the fleet's own does.
	KeepState(ctx context.Context, s Setup) (leave func(context.Context) error, err error)

	// ForgetState removes the state that s.Backend names, with its earlier versions and its lock. No state is success.
	ForgetState(ctx context.Context, s Setup) error
}

// SecretKeeper is the ability of a provider whose machines read their secrets from a store of its own.
type SecretKeeper interface {
	// KeptSecrets returns what is there for the machines of a cluster, by the names of Fleet.Secrets; of a cluster that
	// has none, nothing.
	KeptSecrets(ctx context.Context, cluster string) (map[string]string, error)
}

// Console is the ability of a provider to tell what a machine's screen would show, its boot above all, also when nobody
// can reach it.
type Console interface {
	// Console returns the end of it; "" if there is nothing yet.
	Console(ctx context.Context, machine string) (string, error)
}

// Pool is the ability of a provider to change the number of workers from within the fleet, where machines end one by
// one. How many there shall be is said to Adjust.
type Pool interface {
	// Workers returns the workers of a cluster. It fails with errs.NotFound if there can be none: they were not made yet,
	// or the fleet's time is over.
	Workers(ctx context.Context, cluster string) (Workers, error)

	// EndWorker ends one worker, after its time to drain, and makes the group smaller by one. That it is gone is success.
	EndWorker(ctx context.Context, cluster, machine string) error
}

// Workers are the workers of a cluster.
type Workers struct {
	Size     int       // how many there shall be
	OnDemand int       // how many of them at most are not spot
	Machines []Machine // those that there are, but for those that are ending
}

// Setup is how a request is given to Terraform.
type Setup struct {
	Root    string // the root module: a folder of terraform/roots
	Account string // who pays; empty if nobody does
	Bucket  string // what outlives the machines; its name, empty if it is not known before
	// Vars are the root's variables, but for secrets and secret_names, which every root has.
	Vars map[string]any
	// Backend configures the root's S3 backend; nil keeps the state in the fleet's folder.
	Backend map[string]any
	Priced  bool // machines cost what the price table says; else nothing
	// Targets are what Terraform removes at the end: all but the data, which a purge removes by Remove. None means all.
	Targets []string
	// Wakes are what Terraform changes when it is only said when machines are woken.
	Wakes []string
}

// Machine is one machine of a fleet.
type Machine struct {
	ID      string    `json:"id"`
	Role    Role      `json:"role"`
	State   string    `json:"state"`          // the provider's word: pending, running, stopping ...
	Type    string    `json:"type,omitempty"` // instance type
	Zone    string    `json:"zone,omitempty"`
	Spot    bool      `json:"spot,omitempty"`
	Private string    `json:"private,omitempty"` // address inside the fleet's network
	Public  string    `json:"public,omitempty"`  // address from outside, if it has one
	Started time.Time `json:"started,omitzero"`
}

// Role is what a machine is for.
type Role string

// The roles of machines.
const (
	Server Role = "server" // Nomad and Consul servers, gateway, control
	Worker Role = "worker" // runs jobs
)

// Resource is something that exists and carries the mark of a cluster.
type Resource struct {
	Service string    `json:"service"` // "ec2", "iam", ...
	Kind    string    `json:"kind"`    // "vpc", "role", ...
	ID      string    `json:"id"`      // as its own service names it
	Cluster string    `json:"cluster"`
	Created time.Time `json:"created,omitzero"` // or changed to be another; if the service tells
	Data    bool      `json:"data,omitempty"`   // holds the user's data: kept unless a purge is asked for
	// belongs to another resource of the list and goes with it, as a group's machines
	Part bool `json:"part,omitempty"`
}

// String names the resource as people look for it: "ec2 vpc vpc-0a1b".
func (r Resource) String() string { return r.Service + " " + r.Kind + " " + r.ID }

// Change is a change of a running fleet; what is nil or zero stays.
type Change struct {
	Servers   *int      // how many there shall be
	Workers   *int      // how many there shall be
	Most      *int      // how many workers there may ever be; as many as there shall be by default
	OnDemand  *int      // how many of them at most are paid in full; the others are spot
	ExpiresAt time.Time // when the dead-man switch fires
}
