package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/colinmarc/hdfs/v2"

	"github.com/seed3322913c/runner/infra/enginetest"
	"github.com/seed3322913c/runner/infra/seedtest"
)

// pair is two gateways of one store: one leads, the other stands by.
type pair struct {
	t     *testing.T
	args  []string // that both have
	ports []string // for hdfs://
	up    []*gateway
	acked chan struct{} // holds a token when a file was closed since the last look
}

func (p *pair) start(i int) {
	p.up[i] = startGateway(p.t, nil, append([]string{"--http", "127.0.0.1:0", "--rpc", p.ports[i]}, p.args...)...)
}

// connect returns a client that has found the leader.
func (p *pair) connect() (*hdfs.Client, error) {
	look := time.NewTicker(20 * time.Millisecond) // nobody tells when a gateway has got the lease
	defer look.Stop()
	late := time.After(time.Minute)
	for {
		c, err := hdfs.NewClient(hdfs.ClientOptions{Addresses: p.ports, User: "root"})
		if err == nil {
			if _, err = c.Stat("/"); err == nil {
				return c, nil
			}
			c.Close()
		}
		select {
		case <-look.C:
		case <-late:
			return nil, err
		}
	}
}

// attempted is a file that was written, or begun.
type attempted struct {
	path  string
	data  []byte
	acked bool // it was closed, and the client was told so
}

// write writes files of several blocks until stop is closed. Who is left alone goes on with the next file.
func (p *pair) write(writer int, chance *rand.Rand, stop <-chan struct{}) (all []attempted, err error) {
	c, err := p.connect()
	for i := 0; err == nil; i++ {
		select {
		case <-stop:
			c.Close()
			return all, nil
		default:
		}
		a := attempted{path: fmt.Sprintf("/%d-%d", writer, i),
			data: bytes.Repeat([]byte{byte('a' + i%26)}, chance.IntN(3<<20))}
		f, e := c.CreateFile(a.path, 1, 1<<20, 0o644)
		if e == nil {
			_, e = f.Write(a.data)
		}
		if e == nil {
			e = f.Close()
		}
		a.acked = e == nil
		all = append(all, a)
		if e != nil {
			c.Close()
			c, err = p.connect()
			continue
		}
		select {
		case p.acked <- struct{}{}:
		default:
		}
	}
	return all, err
}

// TestNativeWritersAreNotLiedTo kills the leader of two gateways while Go clients write: a file that was closed is
// there, whole, and any other is absent or begins like it.
func TestNativeWritersAreNotLiedTo(t *testing.T) {
	chance := seedtest.New(t)
	p := &pair{t: t, args: []string{"--store", "file://" + t.TempDir(), "--coord", t.TempDir()}, up: make([]*gateway, 2),
		acked: make(chan struct{}, 1)}
	for _, port := range enginetest.Free(t, 2) {
		p.ports = append(p.ports, fmt.Sprintf("127.0.0.1:%d", port))
	}
	p.start(0)
	p.up[0].leads(t)
	p.start(1)
	stop := make(chan struct{})
	var mu sync.Mutex
	var all []attempted
	var failed error
	var writers sync.WaitGroup
	for w := range 3 {
		own := rand.New(rand.NewPCG(chance.Uint64(), uint64(w)))
		writers.Go(func() {
			mine, err := p.write(w, own, stop)
			mu.Lock()
			defer mu.Unlock()
			all, failed = append(all, mine...), errors.Join(failed, err)
		})
	}
	kills := 4
	if testing.Short() {
		kills = 1
	}
	ended := make(chan struct{})
	go func() {
		writers.Wait()
		close(ended)
	}()
	for i := range kills {
		select {
		case <-p.acked: // one has begun, and got through to this leader
		case <-ended:
		}
		pause := time.NewTimer(time.Duration(200+chance.IntN(800)) * time.Millisecond) // somewhere in the midst of writing
		<-pause.C
		leader := i % 2
		p.up[leader].kill(t)
		p.up[1-leader].leads(t)
		p.start(leader)
	}
	close(stop)
	<-ended
	if failed != nil {
		t.Fatal(failed)
	}
	p.check(all)
}

// check compares what there is with what the writers were told.
func (p *pair) check(all []attempted) {
	p.t.Helper()
	c, err := p.connect()
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	acked := 0
	for _, a := range all {
		got, err := c.ReadFile(a.path)
		switch {
		case a.acked && (err != nil || !bytes.Equal(got, a.data)):
			p.t.Errorf("%s was closed with %d bytes, and has %d: %v", a.path, len(a.data), len(got), err)
		case !a.acked && !errors.Is(err, fs.ErrNotExist) && (err != nil || !bytes.HasPrefix(a.data, got)):
			p.t.Errorf("%s was not closed, and has %d bytes that are not its first: %v", a.path, len(got), err)
		}
		if a.acked {
			acked++
		}
	}
	p.t.Logf("%d files, %d of them closed", len(all), acked)
	if acked == 0 {
		p.t.Error("nothing was closed at all")
	}
}
