// Package ledger keeps what must survive every process of an iterative job: which checkpoint counts, the lines of
// metrics up to it, and whether the job is done.
//
//	<prefix>/log/...                  the journal: small records, fenced (package journal)
//	<prefix>/checkpoint/<i>-<epoch>   a checkpoint: the master result of iteration i and the master's own state
//
// A checkpoint counts once the journal names it; so what a master that was fenced still writes never counts. Its object
// is, little-endian:
//
//	0  "GGCK", version 1 and three zero bytes   8
//	8  length of result, length of state        8 each
//	24 result, state
//	   CRC32C of everything before              4
package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/seed3322913c/runner/guagua/superstep"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
)

const op = "guagua.Ledger"

// Line is what metrics.jsonl has about one iteration of the engine.
type Line struct {
	Iteration int             `json:"i"`
	Text      json.RawMessage `json:"t"`
}

// Checkpoint is what a successor needs to go on.
type Checkpoint struct {
	At     superstep.Point
	Final  bool
	Result []byte
	State  []byte
	Lines  []Line // those after the checkpoint before
}

// Ledger is a job's ledger under one epoch. Newest, Lines, Load and Save are not for use while a Save is under way; the
// other methods are for any goroutine.
type Ledger struct {
	store   store.Store
	prefix  store.Name
	state   *state
	journal *journal.Leader
	before  superstep.Point // the checkpoint before the newest: kept as long as that
}

// Open takes the ledger over: from now on whoever had it before is fenced. o is for tests; the zero value does.
func Open(ctx context.Context, st store.Store, prefix store.Name, o journal.Options) (*Ledger, error) {
	s := &state{}
	leader, err := journal.Lead(ctx, st, prefix, s, o)
	if err != nil {
		return nil, errs.E(op, errs.Other, prefix, err)
	}
	return &Ledger{store: st, prefix: prefix, state: s, journal: leader, before: s.At}, nil
}

// Close gives the ledger up; nothing is written.
func (l *Ledger) Close() error { return l.journal.Close() }

// Fenced is closed when somebody else has taken the ledger over, as far as this process knows.
func (l *Ledger) Fenced() <-chan struct{} { return l.journal.Done() }

// Epoch is above that of everybody who had the ledger before.
func (l *Ledger) Epoch() uint64 { return l.journal.Epoch() }

// Newest returns the checkpoint that counts (zero if there is none), and whether the job is done.
func (l *Ledger) Newest() superstep.Ledger {
	return superstep.Ledger{At: l.state.At, Final: l.state.Final}
}

// Lines returns all lines up to the newest checkpoint, in order of iteration.
func (l *Ledger) Lines() []Line { return l.state.Lines }

// Save writes a checkpoint and makes it count. When it returns nil, every successor will find it or a newer one. The
// kind Fenced says that there is a successor already.
func (l *Ledger) Save(ctx context.Context, c Checkpoint) error {
	if err := l.write(ctx, c); err != nil {
		return err
	}
	old := l.before
	l.before = l.state.At
	records, err := encode(c)
	if err != nil {
		return errs.E(op, errs.Internal, c.At, err)
	}
	for _, r := range records {
		if err := l.journal.Append(ctx, r); err != nil {
			return errs.E(op, errs.Other, c.At, err)
		}
	}
	if old == (superstep.Point{}) || old == l.before {
		return nil
	}
	if err := l.store.Delete(ctx, l.name(old)); err != nil {
		return errs.E(op, errs.Other, old, err)
	}
	return nil
}

func (l *Ledger) name(p superstep.Point) store.Name {
	return l.prefix.Join(fmt.Sprintf("checkpoint/%010d-%d", p.Iteration, p.Epoch))
}

const headLen = 24

func (l *Ledger) write(ctx context.Context, c Checkpoint) error {
	w, err := l.store.Create(ctx, l.name(c.At))
	if err != nil {
		return errs.E(op, errs.Other, c.At, err)
	}
	defer w.Abort(ctx) // no effect once committed
	head := append(make([]byte, 0, headLen), "GGCK\x01\x00\x00\x00"...)
	head = binary.LittleEndian.AppendUint64(head, uint64(len(c.Result)))
	head = binary.LittleEndian.AppendUint64(head, uint64(len(c.State)))
	sum := uint32(0)
	table := crc32.MakeTable(crc32.Castagnoli)
	for _, part := range [][]byte{head, c.Result, c.State} {
		sum = crc32.Update(sum, table, part)
		if _, err := w.Write(part); err != nil {
			return errs.E(op, errs.Other, c.At, err)
		}
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint32(nil, sum)); err != nil {
		return errs.E(op, errs.Other, c.At, err)
	}
	if err := w.Commit(ctx); err != nil {
		return errs.E(op, errs.Other, c.At, err)
	}
	return nil
}

// Load reads the newest checkpoint.
func (l *Ledger) Load(ctx context.Context) (Checkpoint, error) {
	c := Checkpoint{At: l.state.At, Final: l.state.Final}
	name := l.name(c.At)
	info, err := l.store.Stat(ctx, name)
	if err != nil {
		return c, errs.E(op, errs.Other, c.At, err)
	}
	data, err := store.Get(ctx, l.store, name, info.Size)
	if err != nil {
		return c, errs.E(op, errs.Other, c.At, err)
	}
	c.Result, c.State, err = decode(data)
	if err != nil {
		return c, errs.E(op, errs.Corrupt, name, err)
	}
	return c, nil
}

func decode(data []byte) (result, state []byte, err error) {
	body := len(data) - 4
	if body < headLen || string(data[:8]) != "GGCK\x01\x00\x00\x00" {
		return nil, nil, fmt.Errorf("this is no checkpoint of version 1")
	}
	if crc32.Checksum(data[:body], crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(data[body:]) {
		return nil, nil, fmt.Errorf("the checksum differs")
	}
	n, m := binary.LittleEndian.Uint64(data[8:]), binary.LittleEndian.Uint64(data[16:])
	if rest := uint64(body - headLen); n > rest || m != rest-n {
		return nil, nil, fmt.Errorf("lengths %d and %d in %d bytes", n, m, len(data))
	}
	return data[headLen : headLen+n : headLen+n], data[headLen+n : body], nil
}

// state is what the journal's records build.
type state struct {
	At    superstep.Point `json:"at"`
	Final bool            `json:"final,omitempty"`
	Lines []Line          `json:"lines,omitempty"`
}

// encode makes records out of a checkpoint: its lines, in pieces if they are long, then what makes it count.
func encode(c Checkpoint) ([][]byte, error) {
	const most = 1 << 20
	var out [][]byte
	var batch []Line
	size := 0
	flush := func(s state) error {
		r, err := json.Marshal(s)
		out, batch, size = append(out, r), nil, 0
		return err
	}
	for _, line := range c.Lines {
		batch = append(batch, line)
		if size += len(line.Text) + 32; size > most {
			if err := flush(state{Lines: batch}); err != nil {
				return nil, err
			}
		}
	}
	return out, flush(state{At: c.At, Final: c.Final, Lines: batch})
}

// Apply adds a record. Lines that are there already are replaced: a master that was stopped between two records leaves
// some that its successor writes again.
func (s *state) Apply(record []byte) error {
	var r state
	if err := json.Unmarshal(record, &r); err != nil {
		return errs.E(op, errs.Corrupt, nil, err)
	}
	for _, line := range r.Lines {
		at, _ := slices.BinarySearchFunc(s.Lines, line, func(a, b Line) int { return a.Iteration - b.Iteration })
		s.Lines = append(s.Lines[:at], line)
	}
	if r.At.Newer(s.At) {
		s.At, s.Final = r.At, r.Final
	}
	return nil
}

// Snapshot returns the whole state.
func (s *state) Snapshot() (io.WriterTo, error) {
	data, err := json.Marshal(s)
	return bytes.NewBuffer(data), err
}

// Restore is the inverse of Snapshot.
func (s *state) Restore(snapshot io.Reader) error {
	*s = state{}
	if snapshot == nil {
		return nil
	}
	if err := json.NewDecoder(snapshot).Decode(s); err != nil {
		return errs.E(op, errs.Corrupt, nil, err)
	}
	return nil
}
