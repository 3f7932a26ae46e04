package deploy

import (
	"cmp"
	"context"
	"net"
	"os"
	"time"

	machines "github.com/seed3322913c/runner/infra/fleet"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/local"
	"github.com/seed3322913c/runner/runner/nodeinit"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/terraform"
)

// Providers are the names of all providers.
func Providers() []string { return []string{local.Name} }

// Site is one fleet with all that is known about it.
type Site struct {
	Name     string
	home     string
	machines *machines.Fleet
	provider local.Provider
}

// Options change how a site is worked on.
type Options struct {
	Provider  string // of a fleet that is not known yet
	Terraform machines.Options
}

// Open returns the fleet of a name, which need not exist. The provider of one that is known is taken from its record.
func Open(home, name string, o Options) (*Site, error) {
	rec, err := machines.Load(home, name)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return nil, err
	}
	known := rec.Request.Provider
	if rec.Phase == machines.Gone {
		known = ""
	}
	provider := cmp.Or(o.Provider, known, local.Name)
	if provider != local.Name {
		return nil, say.Errorf(errs.Invalid, "there is no provider %q.%s Known are: %v", provider,
			say.DidYouMean(provider, Providers()), Providers())
	}
	if known != "" && known != provider {
		return nil, say.Errorf(errs.Exist, "there is a cluster %s already, of provider %s; take another --name, or "+
			"`runner teardown %[1]s` first", name, known)
	}
	s := &Site{Name: name, home: home, provider: local.New(home)}
	s.machines, err = machines.Open(home, name, terraform.Files, s.provider, o.Terraform)
	return s, err
}

// Plan works out what has to be done for a fleet to be as it is asked for. story is told what takes long.
func (s *Site) Plan(ctx context.Context, r machines.Request, l machines.Limits, story func(string)) (machines.Plan, error) {
	secrets, err := s.machines.Secrets(nodeinit.NewSecrets)
	if err != nil {
		return machines.Plan{}, err
	}
	r.Name, r.CA = s.Name, secrets[nodeinit.SecretCA]
	if err := r.Defaults().Validate(); err != nil {
		return machines.Plan{}, err // before anything is built
	}
	if r.Binaries, err = Engines(ctx, append(agents, localStore), story); err != nil {
		return machines.Plan{}, err
	}
	program, err := os.Executable()
	if err != nil {
		return machines.Plan{}, errs.E("deploy.Plan", errs.Internal, nil, err)
	}
	r.Binaries["runner"] = program
	return s.machines.Plan(ctx, r, l)
}

// Apply does what a plan says; see machines.Fleet.
func (s *Site) Apply(ctx context.Context, p machines.Plan, tell func(machines.Event)) error {
	return s.machines.Apply(ctx, p, tell)
}

// PlanTeardown works out what has to be removed; see machines.Fleet.
func (s *Site) PlanTeardown(ctx context.Context, purge bool) (machines.Plan, error) {
	return s.machines.PlanDestroy(ctx, purge)
}

// Forget removes how jobs reached the fleet, which is gone.
func (s *Site) Forget() error { return fleet.Forget(s.home, s.Name) }

// Left returns what is there of the fleet: of one that is gone, its data alone.
func (s *Site) Left(ctx context.Context) ([]machines.Resource, error) {
	return s.provider.Scan(ctx, s.Name)
}

// Extend moves the time at which the fleet removes itself.
func (s *Site) Extend(ctx context.Context, until time.Time) error {
	return s.machines.Extend(ctx, until)
}

// Scale changes the number of workers.
func (s *Site) Scale(ctx context.Context, workers int, l machines.Limits) error {
	return s.machines.Scale(ctx, workers, l)
}

// Machines returns the machines that exist.
func (s *Site) Machines(ctx context.Context) ([]machines.Machine, error) {
	return s.machines.Machines(ctx)
}

// Connect saves how jobs reach the fleet, for `--cluster NAME`, and returns it.
func (s *Site) Connect(ctx context.Context) (fleet.Cluster, error) {
	out, err := s.machines.Outputs(ctx)
	if err != nil {
		return fleet.Cluster{}, err
	}
	secrets, err := s.machines.Secrets(nodeinit.NewSecrets)
	if err != nil {
		return fleet.Cluster{}, err
	}
	token := secrets[nodeinit.SecretToken]
	c := fleet.Cluster{
		Name: s.Name, Store: local.Jobs(s.Name), CA: out.CA, Env: out.Env,
		Consul: fleet.Service{Addresses: at(out.Servers, nodeinit.ConsulPort), Token: token},
		Nomad:  fleet.Service{Addresses: at(out.Servers, nodeinit.NomadPort), Token: token},
	}
	c.Env["AWS_ACCESS_KEY_ID"], c.Env["AWS_SECRET_ACCESS_KEY"] = nodeinit.S3User, secrets[nodeinit.SecretS3]
	if known, err := fleet.Load(s.home, s.Name); err == nil && known.CA == c.CA {
		c.Control = known.Control // what it was given meanwhile
	}
	return c, c.Save(s.home)
}

// at returns addresses with a port.
func at(hosts []string, port string) []string {
	var all []string
	for _, host := range hosts {
		all = append(all, net.JoinHostPort(host, port))
	}
	return all
}

// Record is what is known of the fleet on this machine.
func (s *Site) Record() (machines.Record, error) { return s.machines.Record() }

// Provider is the name of the fleet's provider.
func (s *Site) Provider() string { return local.Name }

// Bucket is where people's data is, as a URI.
func (s *Site) Bucket() string { return "s3://" + local.BucketOf(s.Name) }
