package child

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"sync"

	"github.com/seed3322913c/runner/infra/errs"
)

// Bounds of a message, in bytes.
const (
	maxHeader = 64 << 20
	maxData   = 8 << 30
)

// header is what a message is about.
type header struct {
	Call   uint64          `json:"call"`
	Answer bool            `json:"answer,omitempty"`
	Op     string          `json:"op,omitempty"`   // of a question
	Args   json.RawMessage `json:"args,omitempty"` // of a question, or the result
	Error  string          `json:"error,omitempty"`
	Kind   string          `json:"kind,omitempty"` // of the error
}

type message struct {
	header
	data []byte
}

// handler answers a question. Handlers of several questions run at once.
type handler func(ctx context.Context, op string, args json.RawMessage, data []byte) (result any, out []byte, err error)

// peer is one end of the conversation.
type peer struct {
	in     io.Reader
	handle handler

	out struct {
		sync.Mutex
		io.Writer
	}
	mu struct {
		sync.Mutex
		next  uint64
		calls map[uint64]chan message // nil: the conversation is over
		err   error                   // why
	}
}

func newPeer(in io.Reader, out io.Writer, handle handler) *peer {
	p := &peer{in: in, handle: handle}
	p.out.Writer = out
	p.mu.calls = map[uint64]chan message{}
	return p
}

// run reads what the other end says, until that ends. All calls fail then.
func (p *peer) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	for {
		m, err := read(p.in)
		if err != nil {
			p.hangUp(err)
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if !m.Answer {
			work.Go(func() { p.answer(ctx, m) })
			continue
		}
		p.mu.Lock()
		waiting := p.mu.calls[m.Call]
		delete(p.mu.calls, m.Call)
		p.mu.Unlock()
		if waiting != nil {
			waiting <- m
		}
	}
}

func (p *peer) hangUp(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, waiting := range p.mu.calls {
		close(waiting)
	}
	p.mu.calls, p.mu.err = nil, err
}

func (p *peer) answer(ctx context.Context, q message) {
	p.written()
	a := header{Call: q.Call, Answer: true}
	result, data, err := p.handle(ctx, q.Op, q.Args, q.data)
	if err == nil && result != nil {
		a.Args, err = json.Marshal(result)
	}
	if err != nil {
		a.Error, a.Kind, data = err.Error(), errs.KindOf(err).String(), nil
	}
	_ = p.write(a, data) // if nobody listens any more, reading ends, too
}

// errGone is in the error of a call that was not answered since the conversation is over.
var errGone = errors.New("the other end has gone")

// call asks the other end and waits for the answer.
func (p *peer) call(ctx context.Context, op string, args any, data []byte, result any) ([]byte, error) {
	const in = "child.Call"
	q := header{Op: op}
	var err error
	if q.Args, err = json.Marshal(args); err != nil {
		return nil, errs.E(in, errs.Internal, op, err)
	}
	waiting := make(chan message, 1)
	p.mu.Lock()
	if p.mu.calls == nil {
		defer p.mu.Unlock()
		return nil, errs.Errorf(in, errs.Unavailable, op, "%w: %w", errGone, p.mu.err)
	}
	p.mu.next++
	q.Call = p.mu.next
	p.mu.calls[q.Call] = waiting
	p.mu.Unlock()
	if err := p.write(q, data); err != nil {
		return nil, errs.Errorf(in, errs.Unavailable, op, "%w: %w", errGone, err)
	}
	select {
	case a, ok := <-waiting:
		if !ok {
			return nil, errs.E(in, errs.Unavailable, op, errGone)
		}
		if a.Error != "" {
			return nil, errs.Errorf("", errs.ParseKind(a.Kind), nil, "%s", a.Error)
		}
		if result != nil {
			err = json.Unmarshal(a.Args, result)
		}
		return a.data, err
	case <-ctx.Done():
		return nil, errs.E(in, errs.Canceled, op, context.Cause(ctx))
	}
}

// written waits until what is being said is said. The other end may have heard an answer, and ask again, before its
// write has returned here; programs use the memory of their answers again.
func (p *peer) written() {
	p.out.Lock()
	defer p.out.Unlock()
}

func (p *peer) write(h header, data []byte) error {
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	buf := binary.LittleEndian.AppendUint32(make([]byte, 0, len(head)+12), uint32(len(head)))
	buf = binary.LittleEndian.AppendUint64(append(buf, head...), uint64(len(data)))
	p.out.Lock()
	defer p.out.Unlock()
	if _, err := p.out.Write(buf); err != nil {
		return err
	}
	_, err = p.out.Write(data)
	return err
}

// read reads a message. Memory is taken as data comes, not as it is promised.
func read(r io.Reader) (m message, err error) {
	const in = "child.Read"
	var n [8]byte
	if _, err := io.ReadFull(r, n[:4]); err != nil {
		return m, err
	}
	head, err := readBytes(r, uint64(binary.LittleEndian.Uint32(n[:4])), maxHeader)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(head, &m.header); err != nil {
		return m, errs.E(in, errs.Corrupt, nil, err)
	}
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return m, err
	}
	m.data, err = readBytes(r, binary.LittleEndian.Uint64(n[:]), maxData)
	return m, err
}

func readBytes(r io.Reader, n, most uint64) ([]byte, error) {
	const in, trusted = "child.Read", 64 << 20
	if n > most {
		return nil, errs.Errorf(in, errs.Corrupt, nil, "%d bytes, %d allowed", n, most)
	}
	if n <= trusted {
		b := make([]byte, n)
		_, err := io.ReadFull(r, b)
		return b, err
	}
	var b bytes.Buffer
	if got, err := io.CopyN(&b, r, int64(n)); err != nil {
		return nil, errs.Errorf(in, errs.Corrupt, nil, "%d of %d bytes: %w", got, n, err)
	}
	return b.Bytes(), nil
}
