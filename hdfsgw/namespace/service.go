package namespace

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
)

// maxInFlight bounds the operations that wait for the journal at once: fewer than are remembered, so that each still
// finds its outcome.
const maxInFlight = remembered / 4

// maxOpen bounds the files that are being written at once, each of which costs its writer's lease and buffers.
const maxOpen = 65536

// Service executes operations through the journal, while this process leads it.
type Service struct {
	*Tree
	leader *journal.Leader
	clock  *steady
	blocks atomic.Uint64 // ids given out so far
	packs  atomic.Uint64
	places chan struct{}

	appended struct {
		sync.Mutex
		paths map[string]bool // closed after they grew, since the last look; some, if there are very many
	}
}

// NewService returns the service of a leader whose State is tree. clock is the leader's, which may jump; nil means
// time.Now.
func NewService(tree *Tree, leader *journal.Leader, clock func() time.Time) *Service {
	if clock == nil {
		clock = time.Now
	}
	return &Service{Tree: tree, leader: leader, clock: newSteady(clock), places: make(chan struct{}, maxInFlight)}
}

// Epoch returns the number of this leadership.
func (s *Service) Epoch() uint64 { return s.leader.Epoch() }

// Now is the time of the service's clock, in ms as everything here has it. It never jumps.
func (s *Service) Now() int64 { return s.clock.Now().UnixMilli() }

// Do executes one operation: when it returns a result or an *Error, that outcome is durable. Time is set here, and ID
// unless the caller has one of its own to ask again with. Other errors leave the outcome unknown or say that nothing
// happened, as journal.Leader.Append's do: those that an HDFS client can act on come as an *Error of class Standby
// (there is another leader) or Retriable.
func (s *Service) Do(ctx context.Context, r Request) (Result, error) {
	const op = "namespace.Do"
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-ctx.Done():
		return Result{}, errs.E(op, errs.Canceled, r.Path, ctx.Err())
	}
	if r.ID == "" {
		if result, err, known := s.foresee(&r); known {
			return result, err
		}
		r.ID = rand.Text()
	} else if result, err, known := s.Outcome(r.ID); known {
		return result, err
	}
	if (r.Op == OpCreate || r.Op == OpAppend) && !r.Close && s.Stats().Open >= maxOpen {
		return Result{}, Refuse(Retriable, "%d files are being written, more are not allowed; ask again", maxOpen)
	}
	r.Time = s.Now()
	record := r.encode()
	if len(record) > maxRequest {
		return Result{}, Refuse(HadoopIllegalArgument, "The request has %d bytes, %d are allowed", len(record), maxRequest)
	}
	if err := s.leader.Append(ctx, record); err != nil {
		return Result{}, asRefusal(ctx, err)
	}
	result, err, known := s.Outcome(r.ID)
	if !known {
		return Result{}, errs.Errorf(op, errs.Internal, r.Path, "the outcome was forgotten before it was told")
	}
	if err == nil && r.Close && (r.Op == OpAppend || r.Op == OpAddBlocks) {
		s.Note(r.Path)
	}
	return result, err
}

// maxNoted bounds what is remembered of files that have grown.
const maxNoted = 10_000

// Note has Appended return these files.
func (s *Service) Note(paths ...string) {
	s.appended.Lock()
	defer s.appended.Unlock()
	if s.appended.paths == nil {
		s.appended.paths = map[string]bool{}
	}
	for _, path := range paths[:min(len(paths), maxNoted-len(s.appended.paths))] {
		s.appended.paths[path] = true
	}
}

// Appended returns files that have grown and were closed since the last call, under the names that they had.
func (s *Service) Appended() []string {
	s.appended.Lock()
	defer s.appended.Unlock()
	paths := slices.Sorted(maps.Keys(s.appended.paths))
	clear(s.appended.paths)
	return paths
}

// asRefusal words what the journal could not do for an HDFS client. That it was canceled, and ctx was not, says that
// the leadership is given up: there will be another one.
func asRefusal(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errs.Fenced), errors.Is(err, errs.Canceled) && ctx.Err() == nil:
		return Refuse(Standby, "Operation category WRITE is not supported in state standby. Visit "+
			"https://s.apache.org/sbnn-error")
	case errors.Is(err, errs.Unavailable):
		return Refuse(Retriable, "The outcome is not known, ask again: %s", errs.Cause(err))
	}
	return err
}
