package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/seed3322913c/runner/hdfsgw/client"
	"github.com/seed3322913c/runner/infra/enginetest"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/seedtest"
)

// asked is what a client asks for: an operation on the names of one group.
type asked struct {
	op       string // create, read, delete, rename
	group    int
	name, to int
	value    string // that create writes
}

// answered is what it was told. Who was told nothing may have got anything.
type answered struct {
	unknown bool
	kind    errs.Kind // Other: it went well
	value   string    // that read found
	done    bool      // whether delete had something to delete
}

// names is what a group has: the value of each name, "" for none.
const namesOfGroup = 3

type names [namesOfGroup]string

// model is how files behave, for porcupine: what each operation answers, and what is there afterwards.
func model() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			groups := map[int][]porcupine.Operation{}
			for _, o := range history {
				g := o.Input.(asked).group
				groups[g] = append(groups[g], o)
			}
			var all [][]porcupine.Operation
			for _, g := range groups {
				all = append(all, g)
			}
			return all
		},
		Init: func() any { return names{} },
		Step: func(state, input, output any) (bool, any) {
			before, in, out := state.(names), input.(asked), output.(answered)
			after, want := step(before, in)
			return out.unknown || out == want, after
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
	}
}

func step(n names, in asked) (names, answered) {
	switch in.op {
	case "create":
		if n[in.name] != "" {
			return n, answered{kind: errs.Exist}
		}
		n[in.name] = in.value
		return n, answered{}
	case "read":
		if n[in.name] == "" {
			return n, answered{kind: errs.NotFound}
		}
		return n, answered{value: n[in.name]}
	case "delete":
		done := n[in.name] != ""
		n[in.name] = ""
		return n, answered{done: done}
	default:
		switch {
		case n[in.name] == "":
			return n, answered{kind: errs.NotFound}
		case n[in.to] != "":
			return n, answered{kind: errs.Exist}
		}
		n[in.to], n[in.name] = n[in.name], ""
		return n, answered{}
	}
}

func (a asked) path(name int) string { return fmt.Sprintf("/group-%d/%c", a.group, 'a'+name) }

// do asks a gateway.
func (a asked) do(ctx context.Context, c *client.Client) (out answered) {
	var err error
	switch path := a.path(a.name); a.op {
	case "create":
		w := c.Create(ctx, path, client.CreateOptions{})
		_, err = io.WriteString(w, a.value)
		err = errors.Join(err, w.Close())
	case "read":
		var r *client.Reader
		if r, err = c.Open(ctx, path, 0, -1); err == nil {
			var text []byte
			text, err = io.ReadAll(r)
			out.value = string(text)
			err = errors.Join(err, r.Close())
		}
	case "delete":
		out.done, err = c.Delete(ctx, path, false)
	default:
		err = c.Rename(ctx, path, a.path(a.to), false)
	}
	if out.kind = errs.KindOf(err); err != nil && out.kind != errs.Exist && out.kind != errs.NotFound {
		return answered{unknown: true}
	}
	return out
}

// TestGatewayKilled kills the leader of two gateways at random moments while clients change the same names, and files
// of their own that take long to write. What clients were told must be explained by one order of all operations; what
// was acknowledged is there; and the standby serves soon.
func TestGatewayKilled(t *testing.T) {
	const clients, groups, opsBetween = 4, 4, 150
	chance := seedtest.New(t)
	coord, kept := t.TempDir(), "file://"+t.TempDir()
	start := func(address string) *gateway {
		return startGateway(t, nil, "--http", address, "--store", kept, "--coord", coord)
	}
	var addresses []string
	for _, port := range enginetest.Free(t, 2) { // each is started again where it was
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", port))
	}
	leader := start(addresses[0])
	leader.leads(t)
	standby := start(addresses[1])

	var history struct {
		sync.Mutex
		all []porcupine.Operation
	}
	var count atomic.Int64
	goOn := make(chan struct{}, 1) // a token when more operations are done
	begun := time.Now()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for id := range clients {
		own := rand.New(rand.NewPCG(chance.Uint64(), 0))
		c, err := client.New(addresses, client.Options{User: "root"})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				in := asked{op: []string{"create", "read", "delete", "rename"}[own.IntN(4)], group: own.IntN(groups),
					name: own.IntN(namesOfGroup)}
				in.value = fmt.Sprint("client ", id, " value ", n)
				in.to = (in.name + 1 + own.IntN(namesOfGroup-1)) % namesOfGroup
				call := time.Since(begun)
				out := in.do(context.WithoutCancel(ctx), c)
				end := time.Since(begun)
				if out.unknown {
					end = 1<<62 - 1 // it may come about at any time
				}
				history.Lock()
				history.all = append(history.all, porcupine.Operation{ClientId: id, Input: in, Call: int64(call), Output: out,
					Return: int64(end)})
				history.Unlock()
				count.Add(1)
				select {
				case goOn <- struct{}{}:
				default:
				}
			}
		})
	}
	writer, err := client.New(addresses, client.Options{User: "root"})
	if err != nil {
		t.Fatal(err)
	}
	long := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var acknowledged, broken []string
	running.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			path := fmt.Sprintf("/long/%d", n)
			w := writer.Create(context.WithoutCancel(ctx), path, client.CreateOptions{})
			_, err := w.Write(long)
			if err = errors.Join(err, w.Close()); err == nil {
				acknowledged = append(acknowledged, path)
			} else {
				broken = append(broken, path)
			}
		}
	})
	await := func(n int64) {
		for target := count.Load() + n; count.Load() < target; {
			select {
			case <-goOn:
			case <-time.After(time.Minute):
				t.Error("nothing is answered any more")
				return
			}
		}
	}
	for range rounds() {
		await(1 + chance.Int64N(opsBetween))
		at := time.Now()
		address := leader.address
		leader.kill(t)
		standby.leads(t)
		await(clients) // all of them have got through
		t.Logf("the standby served after %v", time.Since(at))
		leader, standby = standby, start(address)
	}
	await(opsBetween)
	stop()
	running.Wait()

	result, _ := porcupine.CheckOperationsVerbose(model(), history.all, time.Minute)
	if result != porcupine.Ok {
		t.Errorf("%d operations: %v", len(history.all), result)
	}
	t.Logf("%d operations, %d long files written, %d broken off", len(history.all), len(acknowledged), len(broken))
	for _, path := range acknowledged {
		if text := readAll(t, writer, path); !bytes.Equal(text, long) {
			t.Errorf("%s has %d bytes", path, len(text))
		}
	}
	for _, path := range broken {
		if _, err := writer.Status(t.Context(), path); errs.KindOf(err) == errs.NotFound {
			continue
		}
		if text := readAll(t, writer, path); !bytes.HasPrefix(long, text) {
			t.Errorf("%s has %d bytes that are no beginning", path, len(text))
		}
	}
}

func readAll(t *testing.T, c *client.Client, path string) []byte {
	t.Helper()
	r, err := c.Open(t.Context(), path, 0, -1)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return text
}
