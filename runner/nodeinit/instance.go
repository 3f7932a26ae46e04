package nodeinit

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet/aws"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

// Duty is what user-data tells an instance about itself.
type Duty struct {
	Cluster  string
	Role     Role
	Bucket   string
	Servers  int               // how many there are to be
	Programs map[string]string // SHA-256 by name
	Driver   nomad.Driver      // how containers are started; "": exec
}

// Check returns an error of kind Invalid if the duty is not one.
func (d Duty) Check() error {
	const op = "nodeinit.Duty"
	switch {
	case d.Cluster == "" || d.Bucket == "":
		return errs.Errorf(op, errs.Invalid, d.Cluster, "a machine has a cluster, and that has a bucket")
	case d.Role != Server && d.Role != Worker:
		return errs.Errorf(op, errs.Invalid, d.Cluster, "role %q is neither server nor worker", d.Role)
	case d.Servers < 1:
		return errs.Errorf(op, errs.Invalid, d.Cluster, "%d servers: nobody to join", d.Servers)
	}
	return nil
}

// DepotURI is where in a cluster's bucket its programs and the reports of its machines are.
func DepotURI(bucket string) string { return "s3://" + bucket + "/_runner" }

// JobsURI is where in a cluster's bucket its jobs are recorded.
func JobsURI(bucket string) string { return "s3://" + bucket + "/.runner" }

// FilesURI is where in a cluster's bucket its gateways keep their files.
func FilesURI(bucket string) string { return "s3://" + bucket + "/.files" }

const (
	instanceDir = "/var/lib/runner" // for all that an instance keeps
	askEvery    = 2 * time.Second
)

// Instance is a machine of EC2. It is the Source of what it is, from three places: what user-data says (Duty), the
// metadata service, and tags, by which servers find each other and are found. Secrets are parameters of SSM. It is its
// own Notices.
type Instance struct {
	*Metadata
	duty    Duty
	log     *slog.Logger
	cloud   *aws.Provider
	id      string
	address string
	region  string
	every   time.Duration // between two questions for what is not known yet
}

// metadataEnv is where the tools of AWS look for another metadata service than EC2's.
const metadataEnv = "AWS_EC2_METADATA_SERVICE_ENDPOINT"

// NewInstance asks the metadata service who this machine is, until it answers or ctx ends.
func NewInstance(ctx context.Context, d Duty, log *slog.Logger) (*Instance, error) {
	address := cmp.Or(os.Getenv(metadataEnv), "http://169.254.169.254")
	i := &Instance{Metadata: NewMetadata(address, MetadataOptions{}), duty: d, log: log, every: askEvery}
	for path, to := range map[string]*string{
		"instance-id": &i.id, "local-ipv4": &i.address, "placement/region": &i.region,
	} {
		err := i.until(ctx, "asking the metadata service for "+path, func() (err error) {
			*to, err = i.Get(ctx, "/latest/meta-data/"+path)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var err error
	i.cloud, err = aws.New(ctx, i.region)
	return i, err
}

// until repeats what fails until it works or ctx ends.
func (i *Instance) until(ctx context.Context, what string, do func() error) error {
	tick := time.NewTicker(i.every)
	defer tick.Stop()
	for {
		err := do()
		if err == nil {
			return nil
		}
		i.log.Warn(what, "error", err)
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// Machine describes the machine, but for the servers to join.
func (i *Instance) Machine(context.Context) (Machine, error) {
	d := i.duty
	return Machine{
		Cluster: d.Cluster, Name: i.id, Role: d.Role, Address: i.address, Expect: d.Servers, Dir: instanceDir,
		Bin: instanceDir + "/bin", Binaries: d.Programs, Depot: DepotURI(d.Bucket), Jobs: JobsURI(d.Bucket),
		Files: FilesURI(d.Bucket), Env: CloudEnv(i.region), Pool: "aws:" + i.region + "/" + d.Cluster, Driver: d.Driver,
	}, nil
}

// CloudEnv is what the tools of a cloud's own store need in a region. Keys are not among it: who uses the store has his
// own, and machines have a role.
func CloudEnv(region string) map[string]string {
	env := map[string]string{"AWS_REGION": region}
	if endpoint := os.Getenv(endpointEnv); endpoint != "" {
		env[endpointEnv] = endpoint
	}
	return env
}

const endpointEnv = "AWS_ENDPOINT_URL"

// Servers waits until most of the servers are there, and returns their addresses. Any two majorities have a machine in
// common, so all that know one find each other, also while some are missing.
func (i *Instance) Servers(ctx context.Context) ([]string, error) {
	var found []string
	err := i.until(ctx, "looking for servers", func() error {
		servers, err := i.cloud.Servers(ctx, i.duty.Cluster)
		if err != nil {
			return err
		}
		found = nil
		for _, m := range servers {
			found = append(found, m.Private)
		}
		if most := i.duty.Servers/2 + 1; len(found) < most {
			return errs.Errorf("nodeinit.Servers", errs.Unavailable, i.duty.Cluster, "%d of %d are there", len(found), most)
		}
		return nil
	})
	return found, err
}

// Secret reads a parameter.
func (i *Instance) Secret(ctx context.Context, name string) (string, error) {
	return i.cloud.Secret(ctx, i.duty.Cluster, name)
}

// Left lets the cloud take a worker away, where it waits for that.
func (i *Instance) Left(ctx context.Context) error {
	if i.duty.Role != Worker {
		return nil
	}
	return i.cloud.Drained(ctx, i.duty.Cluster, i.id)
}

// Stop ends the whole fleet.
func (i *Instance) Stop(ctx context.Context) error { return i.cloud.Stop(ctx, i.duty.Cluster) }
