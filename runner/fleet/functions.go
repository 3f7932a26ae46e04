package fleet

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"strings"
	"time"

	consulapi "github.com/hashicorp/consul/api"
	nomadapi "github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// FunctionsKey is the lease of the host of functions, and where it tells how it is reached.
const FunctionsKey = coord.Key("functions/host")

// functionsGroup is the group of the host of functions: one container, when there is work.
var functionsGroup = launch.GroupID{Job: "fleet-system", Role: "functions"}

// Memory in bytes.
const (
	functionsMemory = 512 << 20 // of the host
	workerMemory    = 64 << 20  // of a worker, beside that of its handler
)

// functionsRules let the host hold its lease, and tell where it is.
const functionsRules = `key "` + keyPrefix + `value/` + string(FunctionsKey) + `" { policy = "write" }
key "` + keyPrefix + `lease/` + string(FunctionsKey) + `" { policy = "write" }
key_prefix "` + keyPrefix + `lease/` + string(FunctionsKey) + `/" { policy = "write" }
session_prefix "" { policy = "write" }
`

// handlersRole is that of the groups of workers. Each has a name of its own, "handlers-<function>-<chance>": a new host
// has nothing to do with those of the one before.
const handlersRole = "handler"

// handlersJob is what the names of the groups of workers begin with.
const handlersJob = "handlers-"

// functionsMayDo lets the host start, replace and end workers, and write what they are told.
const functionsMayDo = `namespace "default" {
  capabilities = ["submit-job", "read-job", "list-jobs", "scale-job", "alloc-lifecycle"]
  variables {
    path "nomad/jobs/` + handlersJob + `*" { capabilities = ["write", "read", "destroy"] }
  }
}
node { policy = "read" }
host_volume "runner*" { policy = "write" }
`

// FunctionHost is how the host of functions is reached.
type FunctionHost struct {
	URL    string `json:"url"`
	Secret string `json:"secret"` // to be said as a bearer token
}

// AnnounceFunctions tells where the host is. Only who holds the lease calls it.
func (m *Member) AnnounceFunctions(ctx context.Context, host FunctionHost) error {
	text, err := json.Marshal(host)
	if err != nil {
		return errs.E("fleet.AnnounceFunctions", errs.Internal, nil, err)
	}
	old, err := m.Coord.Get(ctx, FunctionsKey)
	if err != nil {
		return err
	}
	_, err = m.Coord.Swap(ctx, FunctionsKey, old.Version, text)
	return err
}

// FunctionHost returns where the host of functions is, and starts it if there is none. It is for control.
func (f *Fleet) FunctionHost(ctx context.Context) (FunctionHost, error) {
	return f.hosts.get(func() (host FunctionHost, err error) {
		if err := f.startFunctions(ctx); err != nil {
			return host, err
		}
		v, err := f.coord.Get(ctx, FunctionsKey)
		if err != nil {
			return host, err
		}
		if v.Version == 0 || json.Unmarshal(v.Data, &host) != nil || host.URL == "" {
			return host, say.Errorf(errs.Unavailable, "the host of functions is being started. Try again")
		}
		return host, nil
	})
}

// LostFunctionHost says that the host does not answer where it was.
func (f *Fleet) LostFunctionHost() { f.hosts.forget() }

// startFunctions starts the host of functions, unless it runs. Two who did so at once would each revoke the tokens that the
// other has made.
func (f *Fleet) startFunctions(ctx context.Context) error {
	alive := func() (bool, error) { return f.launcher.Alive(ctx, functionsGroup) }
	return alone(ctx, f.coord, FunctionsKey+"/start", alive, func() error { return f.launchFunctions(ctx) })
}

// startTTL is how long after the end of a control another one may start what that one was about to.
const startTTL = 10 * time.Second

// alone calls start if there is nothing of what it starts, and as long as nobody else does, in whatever process.
func alone(
	ctx context.Context, c coord.Coordinator, key coord.Key, there func() (bool, error), start func() error,
) error {
	if yes, err := there(); err != nil || yes {
		return err
	}
	lease, err := c.Acquire(ctx, key, startTTL)
	if err != nil {
		return err
	}
	defer func() {
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), reply)
		defer cancel()
		_ = lease.Release(after) // it ends by itself after its time
	}()
	if yes, err := there(); err != nil || yes { // somebody else was quicker
		return err
	}
	return start()
}

// launchFunctions starts the host of functions, of which none runs.
func (f *Fleet) launchFunctions(ctx context.Context) error {
	if err := f.launcher.Stop(ctx, functionsGroup); err != nil { // what was there has ended
		return err
	}
	tokens, err := f.functionsTokens(ctx)
	if err != nil {
		return err
	}
	g := launch.Group{
		ID: functionsGroup, Command: []string{program, "fn", "serve", "--background"}, Env: environment(f.cluster.Store),
		Secrets: tokens, Count: 1, LogDir: dir,
		Resources: scheduler.Resources{CPU: 1, Memory: functionsMemory},
		Restart: launch.Restart{
			Attempts: 20, Delay: 200 * time.Millisecond, MaxDelay: 5 * time.Second, Healthy: time.Minute,
		},
	}
	g.Env[driverEnv] = string(f.cluster.Driver)
	maps.Copy(g.Secrets, f.cluster.Env)
	return f.bare.Start(ctx, g)
}

// functionsTokens makes the tokens of the host, in place of those of the one before it.
func (f *Fleet) functionsTokens(ctx context.Context) (map[string]string, error) {
	const op, name = "fleet.functionsTokens", "runner-functions"
	failed := func(err error) error { return errs.E(op, errs.Unavailable, f.cluster.Name, err) }
	w := new(consulapi.WriteOptions).WithContext(ctx)
	policy := &consulapi.ACLPolicy{Name: name, Rules: functionsRules}
	_, _, err := f.consul.ACL().PolicyCreate(policy, w)
	if err != nil && !strings.Contains(err.Error(), "already exists") {
		return nil, failed(err)
	}
	if err := f.revoke(ctx, name); err != nil {
		return nil, failed(err)
	}
	forConsul, _, err := f.consul.ACL().TokenCreate(&consulapi.ACLToken{
		Description: name, Policies: []*consulapi.ACLLink{{Name: name}},
	}, w)
	if err != nil {
		return nil, failed(err)
	}
	n := new(nomadapi.WriteOptions).WithContext(ctx)
	if _, err := f.nomad.ACLPolicies().Upsert(&nomadapi.ACLPolicy{Name: name, Rules: functionsMayDo}, n); err != nil {
		return nil, failed(err)
	}
	forNomad, _, err := f.nomad.ACLTokens().Create(&nomadapi.ACLToken{
		Name: name, Type: "client", Policies: []string{name},
	}, n)
	if err != nil {
		return nil, failed(err)
	}
	return map[string]string{consulToken: forConsul.SecretID, nomadToken: forNomad.SecretID}, nil
}

// revoke makes the tokens of a name worthless.
func (f *Fleet) revoke(ctx context.Context, name string) error {
	ofConsul, _, err := f.consul.ACL().TokenList(new(consulapi.QueryOptions).WithContext(ctx))
	if err != nil {
		return err
	}
	for _, t := range ofConsul {
		if t.Description != name {
			continue
		}
		_, err := f.consul.ACL().TokenDelete(t.AccessorID, new(consulapi.WriteOptions).WithContext(ctx))
		if err != nil && !gone(err) {
			return err
		}
	}
	ofNomad, _, err := f.nomad.ACLTokens().List(new(nomadapi.QueryOptions).WithContext(ctx))
	if err != nil {
		return err
	}
	for _, t := range ofNomad {
		if t.Name != name {
			continue
		}
		_, err := f.nomad.ACLTokens().Delete(t.AccessorID, new(nomadapi.WriteOptions).WithContext(ctx))
		if err != nil && !gone(err) {
			return err
		}
	}
	return nil
}

// Workers says how those are started that take the events of a function, one at a time each: with so many cores, and so
// much memory for a handler. They get what the store needs, and the secrets that were kept for the function.
func (m *Member) Workers(ctx context.Context, function string, cpu int, memory int64) (launch.Group, error) {
	kept, err := m.Launcher.Kept(ctx, keptFor(function))
	if err != nil {
		return launch.Group{}, err
	}
	chance := scheduler.JobID(strings.ToLower(rand.Text()[:6]))
	g := launch.Group{
		ID:      launch.GroupID{Job: keptFor(function).Job + "-" + chance, Role: handlersRole},
		Command: []string{program, "fn", "work"}, Env: environment(os.Getenv(storeEnv)), Secrets: map[string]string{},
		LogDir: dir + "/logs/" + handlersJob + function, Grace: workerGrace,
		Resources: scheduler.Resources{CPU: cpu, Memory: memory + workerMemory},
		Restart: launch.Restart{
			Attempts: 50, Delay: 200 * time.Millisecond, MaxDelay: 2 * time.Second, Healthy: time.Minute,
		},
	}
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			g.Secrets[name] = value
		}
	}
	maps.Copy(g.Secrets, kept)
	return g, nil
}

// workerGrace is how long a worker that is to end may go on with its event.
const workerGrace = 10 * time.Second

// keptFor is where secrets of a function are kept.
func keptFor(function string) launch.GroupID {
	return launch.GroupID{Job: scheduler.JobID(handlersJob + function), Role: handlersRole}
}

// KeepSecrets keeps the variables that the handlers of a function find from now on. It is for control.
func (f *Fleet) KeepSecrets(ctx context.Context, function string, vars map[string]string) error {
	return f.launcher.Keep(ctx, keptFor(function), vars)
}

// ForgetSecrets removes what was kept for a function.
func (f *Fleet) ForgetSecrets(ctx context.Context, function string) error {
	id := keptFor(function)
	return f.launcher.Forget(ctx, id.Job, id.Role)
}

// ForgetWorkers removes the workers of earlier hosts, and what they have left in Nomad.
func (m *Member) ForgetWorkers(ctx context.Context) error {
	for groups, err := range m.Launcher.WatchRole(ctx, handlersRole) {
		if err != nil {
			return err
		}
		for id := range groups {
			if err := m.Launcher.Forget(ctx, id.Job, id.Role); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// API is how the fleet's control is reached over HTTP: where it is at the moment, with which token, and by what.
func (f *Fleet) API() (where func(context.Context) (string, error), token string, by http.RoundTripper, err error) {
	anywhere, err := f.cluster.Anywhere()
	return f.leader, f.cluster.Control.Token, wary{anywhere, f.leading.forget}, err
}
