package deploy

import (
	"context"
	"time"

	machines "github.com/seed3322913c/runner/infra/fleet"

	"github.com/seed3322913c/runner/infra/fleet/aws"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/local"
	"github.com/seed3322913c/runner/runner/nodeinit"
)

// AWS is the name of the provider whose machines are Amazon's.
const AWS = "aws"

// Providers are the names of all providers.
func Providers() []string { return []string{local.Name, AWS} }

// place is what whoever uses fleets has to know of where their machines run; a machines.Provider is for who makes them.
type place interface {
	// programs are the servers that machines run beside the program itself.
	programs() []string
	// depot is where the machines of a fleet report how they are.
	depot(ctx context.Context, r machines.Record, open fleet.OpenStore) (nodeinit.Depot, error)
	// reach returns the addresses by which the servers of a fleet are reached from here, the better ones first, and what
	// the tools of its store need.
	reach(ctx context.Context, r machines.Record, secrets map[string]string) ([]string, map[string]string, error)
	// pause is the time between two looks at machines that boot.
	pause() time.Duration
}

// onHost is this host.
type onHost struct{ local.Provider }

func (onHost) programs() []string { return append([]string{localStore}, agents...) }

func (h onHost) depot(_ context.Context, r machines.Record, _ fleet.OpenStore) (nodeinit.Depot, error) {
	return h.Host(r.Request.Name).Depot()
}

func (onHost) reach(_ context.Context, r machines.Record, secrets map[string]string) ([]string, map[string]string,
	error) {
	env := map[string]string{
		"AWS_ACCESS_KEY_ID": nodeinit.S3User, "AWS_SECRET_ACCESS_KEY": secrets[nodeinit.SecretS3],
	}
	if r.Outputs == nil {
		return nil, env, nil
	}
	for k, v := range r.Outputs.Env {
		env[k] = v
	}
	return r.Outputs.Servers, env, nil
}

func (onHost) pause() time.Duration { return 200 * time.Millisecond }

// atAmazon is a region of AWS.
type atAmazon struct{ *aws.Provider }

func (atAmazon) programs() []string { return agents }

func (a atAmazon) depot(ctx context.Context, r machines.Record, open fleet.OpenStore) (nodeinit.Depot, error) {
	if err := (fleet.Cluster{Env: nodeinit.CloudEnv(a.Region())}).Surround(); err != nil {
		return nodeinit.Depot{}, err
	}
	st, err := open(ctx, nodeinit.DepotURI(r.Bucket))
	return nodeinit.Depot{Store: st}, err
}

// reach prefers addresses from outside where somebody outside is let in.
func (a atAmazon) reach(ctx context.Context, r machines.Record, _ map[string]string) ([]string, map[string]string,
	error) {
	private, public, err := a.Servers(ctx, r.Request.Name)
	if len(r.Request.AllowFrom) > 0 {
		private = append(public, private...)
	}
	return private, nodeinit.CloudEnv(a.Region()), err
}

func (atAmazon) pause() time.Duration { return 2 * time.Second }
