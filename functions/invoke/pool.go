package invoke

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/functions/process"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// pool has the handlers of one version: as many as there are events for, at most the manifest's concurrency, and none
// when there has been no event for a while.
type pool struct {
	version pack.Version
	start   func(ctx context.Context, v pack.Version) (*handler, error)
	slots   chan struct{} // holds one for each event that is being worked on
	mu      struct {
		sync.Mutex
		idle   []*handler // the latest last, so that the others can go
		closed bool
	}
	ending sync.WaitGroup // handlers that are being ended
}

func newPool(v pack.Version, start func(context.Context, pack.Version) (*handler, error)) *pool {
	return &pool{version: v, start: start, slots: make(chan struct{}, v.Manifest.Concurrency)}
}

// call has an event answered by one of the handlers, when one is free. log gets what it says, and is closed then.
func (p *pool) call(
	ctx context.Context, call wire.Call, event []byte, log io.WriteCloser,
) (result []byte, took time.Duration, err error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, 0, errs.E("invoke.call", errs.Canceled, p.version, context.Cause(ctx))
	}
	began := time.Now()
	h, err := p.take(ctx)
	if err != nil {
		return nil, time.Since(began), err
	}
	h.log.point(log)
	limit := time.Duration(p.version.Manifest.Timeout)
	began = time.Now()
	call.Function, call.Deadline = p.version.Manifest.Entry, began.Add(limit)
	result, alive, err := h.call(call, event, limit)
	took = time.Since(began)
	if alive {
		p.give(h)
	}
	return result, took, err
}

// take returns a handler that waits, or else a new one.
func (p *pool) take(ctx context.Context) (*handler, error) {
	for {
		p.mu.Lock()
		n := len(p.mu.idle)
		if n == 0 {
			p.mu.Unlock()
			return p.start(ctx, p.version)
		}
		h := p.mu.idle[n-1]
		p.mu.idle = p.mu.idle[:n-1]
		p.mu.Unlock()
		h.timer.Stop()
		select {
		case <-h.proc.Gone: // it died while it had nothing to do
			h.end()
		default:
			return h, nil
		}
	}
}

// give takes a handler back.
func (p *pool) give(h *handler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		p.ending.Go(h.end)
		return
	}
	h.timer = time.AfterFunc(time.Duration(p.version.Manifest.Idle), func() { p.expire(h) })
	p.mu.idle = append(p.mu.idle, h)
}

// expire ends a handler that still waits.
func (p *pool) expire(h *handler) {
	p.mu.Lock()
	for i, other := range p.mu.idle {
		if other == h {
			p.mu.idle = append(p.mu.idle[:i:i], p.mu.idle[i+1:]...)
			p.ending.Go(h.end)
			break
		}
	}
	p.mu.Unlock()
}

// size says how many handlers there are: those that wait, and one for each event that is worked on.
func (p *pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mu.idle) + len(p.slots)
}

// close ends all handlers that wait, and those that work as soon as they have answered.
func (p *pool) close() {
	p.mu.Lock()
	p.mu.closed = true
	for _, h := range p.mu.idle {
		h.timer.Stop()
		p.ending.Go(h.end)
	}
	p.mu.idle = nil
	p.mu.Unlock()
	p.ending.Wait()
}

// starter starts handlers as children of this process.
type starter struct {
	st    store.Store
	dir   string   // for packages
	env   []string // what all handlers find in their environment
	temps *temps
}

func (s starter) packages() string { return filepath.Join(s.dir, "packages") }

// root is where this process and others have their temps.
func (s starter) root() string { return filepath.Join(s.dir, "tmp") }

// start starts a handler of a version.
func (s starter) start(ctx context.Context, v pack.Version) (*handler, error) {
	secrets, err := v.Manifest.ResolveSecrets(os.LookupEnv)
	if err != nil {
		return nil, err
	}
	folder, err := pack.Fetch(ctx, s.st, v.Package, s.packages())
	if err != nil {
		return nil, err
	}
	temp, err := s.temps.folder()
	if err != nil {
		return nil, err
	}
	env := append([]string{"TMPDIR=" + temp}, s.env...)
	h, err := startHandler(ctx, commandOf(v.Manifest, folder, env, secrets), v.Manifest.Memory)
	if err != nil {
		_ = os.RemoveAll(temp) // it goes with this process
		return nil, err
	}
	h.temp = temp
	return h, nil
}

// inherited are the variables that handlers have from the host; nothing else of its environment is theirs.
var inherited = []string{"PATH", "HOME", "USER", "LANG", "TZ"}

// commandOf says how a handler is started, in the folder of its package.
func commandOf(m pack.Manifest, folder string, env []string, secrets map[string]string) process.Command {
	all := []string{
		wire.EnvVar + "=" + wire.EnvHandle, "RUNNER_FUNCTION=" + m.Name,
		fmt.Sprintf("GOMAXPROCS=%d", m.CPU), fmt.Sprintf("GOMEMLIMIT=%d", m.Memory*9/10),
	}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			all = append(all, name+"="+value)
		}
	}
	all = append(all, env...)
	for _, vars := range []map[string]string{m.Environment, secrets} {
		for name, value := range vars {
			all = append(all, name+"="+value)
		}
	}
	return process.Command{Argv: m.Command, Dir: folder, Env: all}
}
