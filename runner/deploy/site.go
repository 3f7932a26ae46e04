package deploy

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strings"
	"time"

	machines "github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet/aws"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/local"
	"github.com/seed3322913c/runner/runner/nodeinit"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/terraform"
)

// Site is one fleet with all that is known about it.
type Site struct {
	Name     string
	home     string
	options  Options
	machines *machines.Fleet
	provider machines.Provider
	place    place
}

// Options change how a site is worked on.
type Options struct {
	Provider  string // of a fleet that is not known yet; else it is known
	Region    string // of such a fleet; "" is the one that the environment names
	Anew      bool   // of a fleet that is gone nothing is known but its name
	Programs  string // folder with the programs that machines run; "": they are searched, see Engines
	Open      fleet.OpenStore
	Patience  time.Duration // how long machines may take to boot before it is said that they don't; 10 minutes
	Terraform machines.Options
}

// Open returns the fleet of a name, which need not exist. The provider of one that is known is taken from its record.
func Open(ctx context.Context, home, name string, o Options) (*Site, error) {
	rec, err := machines.Load(home, name)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return nil, err
	}
	known := rec.Request
	if rec.Phase == machines.Gone && o.Anew {
		known = machines.Request{}
	}
	provider, region := cmp.Or(o.Provider, known.Provider, local.Name), cmp.Or(o.Region, known.Region)
	if known.Provider != "" && (known.Provider != provider || known.Region != "" && known.Region != region) {
		return nil, say.Errorf(errs.Exist, "there is a cluster %s already, of provider %s; take another --name, or "+
			"`runner teardown %[1]s` first", name, strings.TrimSpace(known.Provider+" "+known.Region))
	}
	s := &Site{Name: name, home: home, options: o}
	if err := s.settle(ctx, provider, region); err != nil {
		return nil, err
	}
	o.Terraform.NewSecrets = nodeinit.NewSecrets
	s.machines, err = machines.Open(home, name, terraform.Files, s.provider, o.Terraform)
	return s, err
}

// settle finds the place of a site.
func (s *Site) settle(ctx context.Context, provider, region string) error {
	switch provider {
	case local.Name:
		here := local.New(s.home)
		s.provider, s.place = here, onHost{here}
	case AWS:
		there, err := aws.New(ctx, region)
		if err != nil {
			return err
		}
		s.provider, s.place = there, atAmazon{there}
	default:
		return say.Errorf(errs.Invalid, "there is no provider %q.%s Known are: %s", provider,
			say.DidYouMean(provider, Providers()), strings.Join(Providers(), ", "))
	}
	return nil
}

// Plan works out what has to be done for a fleet to be as it is asked for. story is told what takes long.
func (s *Site) Plan(ctx context.Context, r machines.Request, l machines.Limits, story func(string)) (machines.Plan,
	error) {
	r.Name, r.Provider, r.Region = s.Name, s.Provider(), s.Region()
	var err error
	if r.Arch, err = s.arch(); err != nil {
		return machines.Plan{}, err
	}
	// What can't be is said before anything is built, which takes minutes.
	if err := r.Defaults().Validate(); err != nil {
		return machines.Plan{}, err
	}
	if _, err := s.provider.Setup(ctx, r.Defaults()); err != nil {
		return machines.Plan{}, err
	}
	if r.Binaries, err = s.programs(ctx, story); err != nil {
		return machines.Plan{}, err
	}
	p, err := s.machines.Plan(ctx, r, l)
	if p.Adopted {
		story(s.Name + " was deployed from elsewhere, and from now on is of both: it becomes as it is asked for here. Another " +
			"--name makes a fleet of your own")
	}
	return p, err
}

// Apply does what a plan says; see machines.Fleet. A fleet that is to grow and shrink by itself is told so.
func (s *Site) Apply(ctx context.Context, p machines.Plan, tell func(machines.Event)) error {
	if err := s.machines.Apply(ctx, p, tell); err != nil || p.Destroys {
		return err
	}
	return s.bound(ctx)
}

// PlanTeardown works out what has to be removed; see machines.Fleet.
func (s *Site) PlanTeardown(ctx context.Context, purge bool) (machines.Plan, error) {
	return s.machines.PlanDestroy(ctx, purge)
}

// Forget removes how jobs reached the fleet, which is gone.
func (s *Site) Forget() error { return fleet.Forget(s.home, s.Name) }

// Abandon removes what is kept here for a fleet that is not there: a plan, secrets, and how jobs reached one whose
// teardown was cut off at its very end.
func (s *Site) Abandon(ctx context.Context) error {
	if err := s.machines.Abandon(ctx); err != nil {
		return err
	}
	rec, err := s.Record()
	if err != nil || rec.Phase != machines.Gone || rec.Outputs == nil {
		return nil // there is no such fleet, or it is there
	}
	if known, err := fleet.Load(s.home, s.Name); err != nil || known.CA != rec.Outputs.CA {
		return nil // nothing says how to reach it, or that is of a fleet that somebody else has
	}
	return s.Forget()
}

// Left returns what is there of the fleet: of one that is gone, its data alone.
func (s *Site) Left(ctx context.Context) ([]machines.Resource, error) {
	return s.provider.Scan(ctx, s.Name)
}

// Extend moves the time at which the fleet removes itself.
func (s *Site) Extend(ctx context.Context, until time.Time) error {
	return s.machines.Extend(ctx, until)
}

// Machines returns the machines that exist.
func (s *Site) Machines(ctx context.Context) ([]machines.Machine, error) {
	return s.machines.Machines(ctx)
}

// Cost estimates what the fleet has cost. One that grows by itself is asked how many workers it has, and counts as if it
// had always had them.
func (s *Site) Cost(ctx context.Context) (machines.Cost, error) {
	rec, err := s.Record()
	if err != nil {
		return machines.Cost{}, err
	}
	if rec.Phase == machines.Deployed && rec.Request.Elastic() {
		there, err := s.Machines(ctx)
		if err != nil {
			return machines.Cost{}, err
		}
		there = slices.DeleteFunc(there, func(m machines.Machine) bool { return m.Role != machines.Worker })
		rec = rec.Sized(len(there))
	}
	return rec.Cost(time.Now()), nil
}

// Connect saves how jobs reach the fleet, for `--cluster NAME`, and returns it. Servers that are replaced get other
// addresses, so it is to be called again now and then.
func (s *Site) Connect(ctx context.Context) (fleet.Cluster, error) {
	out, err := s.machines.Outputs(ctx)
	if err != nil {
		return fleet.Cluster{}, err
	}
	rec, err := s.machines.Record()
	if err != nil {
		return fleet.Cluster{}, err
	}
	secrets, err := s.machines.Secrets()
	if err != nil {
		return fleet.Cluster{}, err
	}
	is, err := s.place.reach(ctx, rec, secrets)
	if err != nil {
		return fleet.Cluster{}, err
	}
	token := secrets[nodeinit.SecretToken]
	c := fleet.Cluster{
		Name: s.Name, Store: nodeinit.JobsURI(rec.Bucket), CA: out.CA, Env: is.env, Outside: is.outside,
		Driver: nomad.Driver(rec.Request.Driver),
		Consul: fleet.Service{Addresses: at(is.servers, nodeinit.ConsulPort), Token: token},
		Nomad:  fleet.Service{Addresses: at(is.servers, nodeinit.NomadPort), Token: token},
	}
	if len(is.servers) > 0 {
		c.Env[nodeinit.GatewaysEnv] = nodeinit.Gateways(s.Name, is.servers)
		c.Env[nodeinit.GatewayTokenEnv] = secrets[nodeinit.SecretGateway]
	}
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
func (s *Site) Provider() string {
	if _, ok := s.place.(atAmazon); ok {
		return AWS
	}
	return local.Name
}

// Region is where the fleet is; "" on this host.
func (s *Site) Region() string {
	if a, ok := s.place.(atAmazon); ok {
		return a.Region()
	}
	return ""
}

// Bucket is where people's data is, as a URI.
func (s *Site) Bucket() (string, error) {
	rec, err := s.Record()
	return "s3://" + rec.Bucket, err
}
