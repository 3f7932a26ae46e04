package deploy

import (
	"context"
	"maps"
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
	// reach says how a fleet is reached from here.
	reach(ctx context.Context, r machines.Record, secrets map[string]string) (reach, error)
	// pause is the time between two looks at machines that boot.
	pause() time.Duration
}

// reach is how a fleet is reached.
type reach struct {
	servers []string          // addresses that machines have among each other
	outside map[string]string // what to take instead from here, by those; nil: the same
	env     map[string]string // what the tools of its store need
}

// onHost is this host.
type onHost struct{ local.Provider }

func (onHost) programs() []string { return append([]string{localStore}, agents...) }

func (h onHost) depot(_ context.Context, r machines.Record, _ fleet.OpenStore) (nodeinit.Depot, error) {
	return h.Host(r.Request.Name).Depot()
}

func (onHost) reach(_ context.Context, r machines.Record, secrets map[string]string) (reach, error) {
	is := reach{env: map[string]string{
		"AWS_ACCESS_KEY_ID": nodeinit.S3User, "AWS_SECRET_ACCESS_KEY": secrets[nodeinit.SecretS3],
	}}
	if r.Outputs != nil {
		is.servers = r.Outputs.Servers
		maps.Copy(is.env, r.Outputs.Env)
	}
	return is, nil
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

// reach takes addresses from outside where somebody outside is let in.
func (a atAmazon) reach(ctx context.Context, r machines.Record, _ map[string]string) (reach, error) {
	servers, err := a.Servers(ctx, r.Request.Name)
	is := reach{env: nodeinit.CloudEnv(a.Region())}
	for _, m := range servers {
		is.servers = append(is.servers, m.Private)
		if len(r.Request.AllowFrom) > 0 && m.Public != "" {
			if is.outside == nil {
				is.outside = map[string]string{}
			}
			is.outside[m.Private] = m.Public
		}
	}
	return is, err
}

func (atAmazon) pause() time.Duration { return 2 * time.Second }
