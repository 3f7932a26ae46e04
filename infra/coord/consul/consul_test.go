package consul_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/barrier"
	"github.com/seed3322913c/runner/infra/coord/consul"
	"github.com/seed3322913c/runner/infra/coord/consul/consultest"
	"github.com/seed3322913c/runner/infra/coord/coordtest"
	"github.com/seed3322913c/runner/infra/coord/election"
	"github.com/seed3322913c/runner/infra/errs"
)

func TestConsul(t *testing.T) {
	agent := consultest.Start(t)
	t.Run("contract", func(t *testing.T) { contract(t, agent) })
	t.Run("values", func(t *testing.T) { deletions(t, agent.Open(t, "deletions/")) })
	t.Run("token", func(t *testing.T) { tokens(t, agent) })
	t.Run("barrier", func(t *testing.T) { meet(t, agent) })
	t.Run("election", func(t *testing.T) { elect(t, agent) })
	t.Run("dead holder", func(t *testing.T) { deadHolder(t, agent) })
	t.Run("successor", func(t *testing.T) { successor(t, agent) })
	t.Run("restart", func(t *testing.T) { restart(t, agent) }) // last: nobody else may be at it
}

func contract(t *testing.T, agent *consultest.Agent) {
	var spaces atomic.Int32
	coordtest.Run(t, func(t *testing.T) coordtest.Space {
		prefix := fmt.Sprintf("space%d/", spaces.Add(1))
		return coordtest.Space{
			Client: func() coord.Coordinator { return agent.Open(t, prefix) },
			Lose:   func(key coord.Key) { invalidate(t, agent.Client(t), prefix, key) },
		}
	})
}

// invalidate ends the session that has a lease.
func invalidate(t *testing.T, client *api.Client, prefix string, key coord.Key) {
	t.Helper()
	pair, _, err := client.KV().Get(prefix+"lease/"+string(key), nil)
	if err != nil || pair == nil {
		t.Fatal(pair, err)
	}
	if _, err := client.Session().Destroy(pair.Session, nil); err != nil {
		t.Fatal(err)
	}
}

// deletions of a version that is not there change nothing, also where Consul's own delete-cas would call it a success.
func deletions(t *testing.T, c *consul.Coordinator) {
	ctx := t.Context()
	if _, err := c.Swap(ctx, "absent", 7, nil); !errors.Is(err, errs.Exist) {
		t.Errorf("deleting version 7 of what is absent: %v", err)
	}
	if _, err := c.Swap(ctx, "absent", 0, nil); err != nil {
		t.Errorf("deleting what is absent: %v", err)
	}
	for _, key := range []coord.Key{"job/a/1", "job/a/2", "job/ab"} {
		if _, err := c.Swap(ctx, key, 0, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Sweep(ctx, "job/a/"); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[coord.Key]bool{"job/a/1": false, "job/a/2": false, "job/ab": true} {
		if v, err := c.Get(ctx, key); err != nil || (v.Version != 0) != want {
			t.Errorf("after the sweep %s is %+v, %v", key, v, err)
		}
	}
}

// tokens of Consul bound what a coordinator may touch: another prefix is refused, for good.
func tokens(t *testing.T, agent *consultest.Agent) {
	client := agent.Client(t)
	_, _, err := client.ACL().PolicyCreate(&api.ACLPolicy{
		Name: "job-a", Rules: `key_prefix "mine/" { policy = "write" } session_prefix "" { policy = "write" }`,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := client.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{Name: "job-a"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	open := func(prefix string) *consul.Coordinator {
		c, err := consul.Open(consul.Options{Address: agent.Address, Token: token.SecretID, Prefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	ctx, mine, other := t.Context(), open("mine/"), open("other/")
	lease, err := mine.Acquire(ctx, "k", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.Release(ctx); err != nil {
		t.Error(err)
	}
	if _, err := agent.Open(t, "other/").Swap(ctx, "k", 0, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Swap(ctx, "k2", 0, []byte("x")); !errors.Is(err, errs.Permission) {
		t.Errorf("Swap: %v", err)
	}
	if v, err := other.Get(ctx, "k"); err == nil && v.Version != 0 {
		t.Errorf("Get: %+v", v)
	}
	if _, err := other.Acquire(ctx, "k", time.Second); !errors.Is(err, errs.Permission) {
		t.Errorf("Acquire: %v", err)
	}
}

// meet lets participants begin and end together, and fails by name when one is missing.
func meet(t *testing.T, agent *consultest.Agent) {
	const n = 16
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := agent.Open(t, "barrier/")
	b := barrier.New(c, "b", 1)
	var names []string
	var inside atomic.Int32
	var all sync.WaitGroup
	for i := range n {
		name := fmt.Sprintf("worker-%d", i)
		names = append(names, name)
		all.Go(func() {
			if err := b.Enter(ctx, name); err != nil {
				t.Error(err)
			}
			inside.Add(1)
			if err := b.Leave(ctx, name); err != nil {
				t.Error(err)
			}
			if got := inside.Load(); got != n {
				t.Errorf("%s left when %d of %d were inside", name, got, n)
			}
		})
	}
	if err := errors.Join(b.AwaitEnter(ctx, names), b.AwaitLeave(ctx, names)); err != nil {
		t.Error(err)
	}
	all.Wait()
	late, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	next := barrier.New(c, "b", 2)
	waiting := make(chan error, 1)
	go func() { waiting <- next.Enter(ctx, "alive") }()
	err := next.AwaitEnter(late, []string{"alive", "dead"})
	if !errors.Is(err, errs.Unavailable) {
		t.Errorf("without one: %v", err)
	}
	if err := <-waiting; !errors.Is(err, errs.Unavailable) {
		t.Errorf("who waited: %v", err)
	}
}

// elect lets two candidates stand; when the leader's session is ended behind its back, the other leads.
func elect(t *testing.T, agent *consultest.Agent) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	elected := make(chan string)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for _, name := range []string{"a", "b"} {
		c := agent.Open(t, "election/")
		all.Go(func() {
			_ = election.Run(ctx, c, election.Campaign{Key: "leader", TTL: 2 * time.Second, Address: name},
				func(leading context.Context, _ uint64) error {
					select {
					case elected <- name:
					case <-leading.Done():
					}
					<-leading.Done()
					return leading.Err()
				}) // ended by ctx
		})
	}
	c := agent.Open(t, "election/")
	var last uint64
	for range 3 {
		name := <-elected
		leader, err := election.Current(ctx, c, "leader")
		if err != nil || leader.Address != name || leader.Token <= last {
			t.Fatalf("%+v, %v, after token %d; elected is %s", leader, err, last, name)
		}
		last = leader.Token
		invalidate(t, agent.Client(t), "election/", "leader")
	}
}

// deadHolder leaves a lease as a killed process does: its time ends it, twice the session's at most.
func deadHolder(t *testing.T, agent *consultest.Agent) {
	client, c := agent.Client(t), agent.Open(t, "dead/")
	session, _, err := client.Session().CreateNoChecks(&api.SessionEntry{
		TTL: consultest.MinTTL.String(), LockDelay: time.Millisecond,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, err := client.KV().Acquire(&api.KVPair{Key: "dead/lease/k", Session: session}, nil); err != nil || !ok {
		t.Fatal(ok, err)
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l, err := c.Acquire(ctx, "k", 2*consultest.MinTTL)
	if err != nil {
		t.Fatal(err)
	}
	if l.Token() != 2 {
		t.Errorf("token %d of the second holder", l.Token())
	}
	t.Logf("the lease was free after %v", time.Since(begun))
	if err := l.Release(ctx); err != nil {
		t.Error(err)
	}
}

// TestUsualAgent asks an agent that allows no session of less than 10 s, as Consul is installed, for a lease of 4 s.
func TestUsualAgent(t *testing.T) {
	agent := consultest.Start(t, map[string]any{"session_ttl_min": "10s"})
	l, err := agent.Open(t, "usual/").Acquire(t.Context(), "k", 4*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	sessions, _, err := agent.Client(t).Session().List(nil)
	if err != nil || len(sessions) != 1 || sessions[0].TTL != "10s" {
		t.Errorf("sessions %v, %v", sessions, err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// successor takes the lease of a process that ran in its place before; nobody else does.
func successor(t *testing.T, agent *consultest.Agent) {
	open := func(self string) *consul.Coordinator {
		c, err := consul.Open(consul.Options{
			Address: agent.Address, Token: agent.Token, Prefix: "successor/", Self: self,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	ctx := t.Context()
	first, err := open("allocation 1").Acquire(ctx, "k", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := open("allocation 2").Acquire(short, "k", time.Hour); !errors.Is(err, errs.Canceled) {
		t.Errorf("another one got it: %v", err)
	}
	second, err := open("allocation 1").Acquire(ctx, "k", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	<-first.Done()
	if second.Token() <= first.Token() {
		t.Errorf("token %d after %d", second.Token(), first.Token())
	}
	if err := errors.Join(first.Release(ctx), second.Release(ctx)); err != nil {
		t.Error(err)
	}
}

// restart kills the agent: leases and values outlive it, tokens go on growing, and calls fail for a passing reason.
func restart(t *testing.T, agent *consultest.Agent) {
	ctx, c := t.Context(), agent.Open(t, "restart/")
	l, err := c.Acquire(ctx, "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	version, err := c.Swap(ctx, "v", 0, []byte("kept"))
	if err != nil {
		t.Fatal(err)
	}
	watched := make(chan error, 1)
	go func() {
		for _, err := range c.Watch(ctx, "v") {
			if err != nil {
				watched <- err
				return
			}
		}
	}()
	agent.Restart(t)
	if err := <-watched; !errors.Is(err, errs.Unavailable) {
		t.Errorf("a watch over the restart: %v", err)
	}
	if v, err := c.Get(ctx, "v"); err != nil || v.Version != version || string(v.Data) != "kept" {
		t.Errorf("%+v, %v", v, err)
	}
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := c.Acquire(short, "k", time.Minute); !errors.Is(err, errs.Canceled) {
		t.Errorf("the lease did not outlive the restart: %v", err)
	}
	select {
	case <-l.Done():
		t.Error("the holder has given up")
	default:
	}
	if err := l.Release(ctx); err != nil {
		t.Fatal(err)
	}
	next, err := c.Acquire(ctx, "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if next.Token() <= l.Token() {
		t.Errorf("token %d after %d", next.Token(), l.Token())
	}
	if err := next.Release(ctx); err != nil {
		t.Error(err)
	}
}
