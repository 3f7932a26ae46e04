// Package consul coordinates the processes of a fleet through Consul: what ZooKeeper is to Hadoop.
//
//	<prefix>lease/job/7k2f    a lease: locked by the Consul session of its holder; never deleted
//	<prefix>value/job/7k2f    a value; its version is the key's ModifyIndex
//
// A lease is a lock of a Consul session that only this lease has. The fencing token is the key's LockIndex, which
// Consul raises with every new holder and would begin again if the key were deleted; hence it never is.
//
// Sessions carry no health check. The usual one, serfHealth, ends all sessions of a machine when gossip believes it
// dead, falsely at times and always when its agent restarts; here a lease lasts as long as its holder can renew it.
//
//	Consul's session TTL   half of what was asked for: Consul frees a lock between one and two TTLs after the last
//	                       renewal, and forgets how late it is when its leader changes. Agents whose session_ttl_min
//	                       was left alone allow no less than 10 s, so that is what they are asked for then
//	lock-delay             1 ms, the least there is: it lives in the leader's memory and protects nothing for certain;
//	                       what must not be done twice is fenced by the token or by a journal's epoch
//	the holder             renews three times per TTL, and gives up by itself when one has passed without an answer
//
// Watches are blocking queries of a prefix. Consul answers with everything below it, so a prefix is to be small, and
// watched by few.
package consul

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/errs"
)

// Options may all be left zero. What is not said is taken from the environment, as Consul's own tools do:
// CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_CACERT and so on.
type Options struct {
	Address string       // of an agent, host:port or a URL; the local agent is best
	Token   string       // an ACL token that may write keys below Prefix, and sessions
	Prefix  string       // before all keys; "runner/"
	Client  *http.Client // nil: one that trusts CONSUL_CACERT

	// Self names this process and those that ran in its place before, of which never two live at a time: a Nomad
	// allocation, say. A lease that such an earlier one holds is taken over at once, since its holder is dead; "": leases
	// always last for their time.
	Self string
}

// Coordinator is a coord.Coordinator over Consul.
type Coordinator struct {
	client *api.Client
	http   *http.Client
	prefix string
	self   string
}

// Open returns a coordinator that speaks to an agent. It does not try whether there is one. Close must be called.
func Open(o Options) (*Coordinator, error) {
	const op = "consul.Open"
	config := api.DefaultConfig()
	config.Address = cmp.Or(o.Address, config.Address)
	config.Token = cmp.Or(o.Token, config.Token)
	if o.Client != nil {
		config.HttpClient = o.Client
	} else {
		client, err := api.NewHttpClient(config.Transport, config.TLSConfig)
		if err != nil {
			return nil, errs.E(op, errs.Invalid, config.Address, err)
		}
		config.HttpClient = client
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, errs.E(op, errs.Invalid, config.Address, err)
	}
	return &Coordinator{
		client: client, http: config.HttpClient, prefix: cmp.Or(o.Prefix, "runner/"), self: o.Self,
	}, nil
}

// Close gives the connections back. Leases that are held stay held for their time.
func (c *Coordinator) Close() { c.http.CloseIdleConnections() }

func (c *Coordinator) lease(key coord.Key) string { return c.prefix + "lease/" + string(key) }
func (c *Coordinator) value(key string) string    { return c.prefix + "value/" + key }

// read is how everything is read: by a leader that has made sure that it is one.
func read(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx)
}

func write(ctx context.Context) *api.WriteOptions { return new(api.WriteOptions).WithContext(ctx) }

// fail gives an error of the client its kind.
func fail(ctx context.Context, op string, subject any, err error) error {
	kind := errs.Unavailable // the agent is restarting, its servers elect a leader
	var status api.StatusError
	switch {
	case ctx.Err() != nil:
		kind = errs.Canceled
	case errors.As(err, &status):
		switch {
		case status.Code == http.StatusForbidden || status.Code == http.StatusUnauthorized:
			kind = errs.Permission
		case status.Code >= 400 && status.Code < 500 && status.Code != http.StatusTooManyRequests:
			kind = errs.Invalid
		}
	}
	return errs.E(op, kind, subject, err)
}

// Get implements coord.Coordinator.
func (c *Coordinator) Get(ctx context.Context, key coord.Key) (coord.Value, error) {
	const op = "consul.Get"
	if err := coord.Begin(ctx, op, key); err != nil {
		return coord.Value{}, err
	}
	pair, _, err := c.client.KV().Get(c.value(string(key)), read(ctx))
	if err != nil {
		return coord.Value{}, fail(ctx, op, key, err)
	}
	return valueOf(pair), nil
}

func valueOf(pair *api.KVPair) coord.Value {
	if pair == nil {
		return coord.Value{}
	}
	return coord.Value{Data: pair.Value, Version: coord.Version(pair.ModifyIndex)}
}

// Swap implements coord.Coordinator. An error of kind Unavailable leaves open whether the value was replaced.
func (c *Coordinator) Swap(ctx context.Context, key coord.Key, old coord.Version, next []byte) (coord.Version, error) {
	const op = "consul.Swap"
	if err := coord.Begin(ctx, op, key); err != nil {
		return 0, err
	}
	if len(next) > coord.MaxValue {
		return 0, errs.Errorf(op, errs.Invalid, key, "%d bytes, %d allowed", len(next), coord.MaxValue)
	}
	ok, reply, err := c.transact(ctx, swap(c.value(string(key)), uint64(old), next))
	switch {
	case err != nil:
		return 0, fail(ctx, op, key, err)
	case !ok:
		return 0, errs.Errorf(op, errs.Exist, key, "version is no longer %d", old)
	case next == nil:
		return 0, nil
	}
	return coord.Version(reply.Results[0].ModifyIndex), nil
}

// transact carries out all of ops, or none: then ok is false. That the token forbids it is an error, though Consul puts
// it like any other reason.
func (c *Coordinator) transact(ctx context.Context, ops api.KVTxnOps) (ok bool, reply *api.KVTxnResponse, err error) {
	ok, reply, _, err = c.client.KV().Txn(ops, read(ctx))
	if err != nil || ok {
		return ok, reply, err
	}
	for _, e := range reply.Errors {
		if strings.Contains(e.What, denied) {
			return false, nil, api.StatusError{Code: http.StatusForbidden, Body: e.What}
		}
	}
	return false, reply, nil
}

// denied is how Consul says that a token does not allow something.
const denied = "Permission denied"

// swap is the transaction that replaces or deletes a key of a version. A deletion checks the version in a step of its
// own, since Consul's delete-cas takes an absent key for a success.
func swap(name string, old uint64, next []byte) api.KVTxnOps {
	switch {
	case next != nil:
		return api.KVTxnOps{{Verb: api.KVCAS, Key: name, Index: old, Value: next}}
	case old == 0:
		return api.KVTxnOps{{Verb: api.KVCheckNotExists, Key: name}}
	}
	return api.KVTxnOps{{Verb: api.KVCheckIndex, Key: name, Index: old}, {Verb: api.KVDelete, Key: name}}
}

// Sweep deletes all values below prefix (a plain string prefix) at once, whatever their versions.
func (c *Coordinator) Sweep(ctx context.Context, prefix string) error {
	if _, err := c.client.KV().DeleteTree(c.value(prefix), write(ctx)); err != nil {
		return fail(ctx, "consul.Sweep", prefix, err)
	}
	return nil
}
