package fleet

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	consulapi "github.com/hashicorp/consul/api"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/launch"
)

// FunctionsKey is the lease of the host of functions, and where it tells how it is reached.
const FunctionsKey = coord.Key("functions/host")

// functionsGroup is the group of the host of functions and its handlers: one container, when there is work.
var functionsGroup = launch.GroupID{Job: "fleet-system", Role: "functions"}

// functionsMemory is what the host has with all its handlers, in bytes.
const functionsMemory = 512 << 20

// functionsRules let the host hold its lease, and tell where it is.
const functionsRules = `key "` + keyPrefix + `value/` + string(FunctionsKey) + `" { policy = "write" }
key "` + keyPrefix + `lease/` + string(FunctionsKey) + `" { policy = "write" }
key_prefix "` + keyPrefix + `lease/` + string(FunctionsKey) + `/" { policy = "write" }
session_prefix "" { policy = "write" }
`

// FunctionHost is how the host of functions is reached.
type FunctionHost struct {
	URL    string `json:"url"`
	Secret string `json:"secret"` // to be said as a bearer token
}

// functionHosts remembers where the host was a moment ago.
type functionHosts struct {
	sync.Mutex
	known FunctionHost
	at    time.Time
}

// trust is how long it is believed that the host is where it was, while it answers.
const trust = time.Second

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
	f.hosts.Lock()
	known, at := f.hosts.known, f.hosts.at
	f.hosts.Unlock()
	if known.URL != "" && time.Since(at) < trust {
		return known, nil
	}
	if err := f.startFunctions(ctx); err != nil {
		return FunctionHost{}, err
	}
	v, err := f.coord.Get(ctx, FunctionsKey)
	if err != nil {
		return FunctionHost{}, err
	}
	var host FunctionHost
	if v.Version == 0 || json.Unmarshal(v.Data, &host) != nil || host.URL == "" {
		return FunctionHost{}, say.Errorf(errs.Unavailable, "the host of functions is being started. Try again")
	}
	f.hosts.Lock()
	defer f.hosts.Unlock()
	f.hosts.known, f.hosts.at = host, time.Now()
	return host, nil
}

// LostFunctionHost says that the host does not answer where it was.
func (f *Fleet) LostFunctionHost() {
	f.hosts.Lock()
	defer f.hosts.Unlock()
	f.hosts.known = FunctionHost{}
}

// startFunctions starts the host of functions, unless it runs.
func (f *Fleet) startFunctions(ctx context.Context) error {
	alive, err := f.launcher.Alive(ctx, functionsGroup)
	if err != nil || alive {
		return err
	}
	if err := f.launcher.Stop(ctx, functionsGroup); err != nil { // what was there has ended
		return err
	}
	token, err := f.functionsToken(ctx)
	if err != nil {
		return err
	}
	g := launch.Group{
		ID: functionsGroup, Command: []string{program, "fn", "serve", "--background"}, Env: environment(f.cluster.Store),
		Secrets: map[string]string{consulToken: token}, Count: 1, LogDir: dir,
		Resources: scheduler.Resources{CPU: 1, Memory: functionsMemory},
		Restart: launch.Restart{
			Attempts: 20, Delay: 200 * time.Millisecond, MaxDelay: 5 * time.Second, Healthy: time.Minute,
		},
	}
	for k, v := range f.cluster.Env {
		g.Secrets[k] = v
	}
	return f.launcher.Start(ctx, g)
}

// functionsToken makes a token for the host, in place of that of the one before it.
func (f *Fleet) functionsToken(ctx context.Context) (string, error) {
	const op, name = "fleet.functionsToken", "runner-functions"
	w := new(consulapi.WriteOptions).WithContext(ctx)
	policy := &consulapi.ACLPolicy{Name: name, Rules: functionsRules}
	_, _, err := f.consul.ACL().PolicyCreate(policy, w)
	if err != nil && !strings.Contains(err.Error(), "already exists") {
		return "", errs.E(op, errs.Unavailable, f.cluster.Name, err)
	}
	all, _, err := f.consul.ACL().TokenList(new(consulapi.QueryOptions).WithContext(ctx))
	if err != nil {
		return "", errs.E(op, errs.Unavailable, f.cluster.Name, err)
	}
	for _, t := range all {
		if t.Description != name {
			continue
		}
		if _, err := f.consul.ACL().TokenDelete(t.AccessorID, w); err != nil && !gone(err) {
			return "", errs.E(op, errs.Unavailable, f.cluster.Name, err)
		}
	}
	token, _, err := f.consul.ACL().TokenCreate(&consulapi.ACLToken{
		Description: name, Policies: []*consulapi.ACLLink{{Name: name}},
	}, w)
	if err != nil {
		return "", errs.E(op, errs.Unavailable, f.cluster.Name, err)
	}
	return token.SecretID, nil
}

// API is how the fleet's control is reached over HTTP: where it is at the moment, with which token, and by what.
func (f *Fleet) API() (where func(context.Context) (string, error), token string, by http.RoundTripper, err error) {
	by, err = f.cluster.Anywhere()
	return f.leader, f.cluster.Control.Token, by, err
}
