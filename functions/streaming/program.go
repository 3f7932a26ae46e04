package streaming

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/process"
	"github.com/seed3322913c/runner/infra/errs"
)

const (
	batchSize = 256 << 10 // records are written so many bytes at a time
	chunkSize = 256 << 10 // and read
	chunks    = 4         // that wait to be taken
	maxLine   = 1 << 30   // bytes
)

// program runs a command line as often as it is needed.
type program struct {
	opts    Options
	layouts layouts
	start   func(env []string, stderr io.Writer) (*process.Process, error)
	env     functions.Env        // nil before Setup
	file    *functions.FilePiece // what a mapper reads; nil: not said
	int64s  bool                 // values are put out as int64s

	buf     []byte // what the program is to read next
	scratch []byte // what it put out as numbers, as text
	ran     bool   // at least once
	run     *run   // nil: it does not run now
	err     error  // the first error: the answer to all further calls
}

// run is one life of the program.
type run struct {
	proc     *process.Process
	channels []*channel
	write    chan []byte    // to the writer, which has nothing else to do
	written  chan struct{}  // from the writer, for each that was written or cannot be
	read     chan chunk     // from the readers; closed when all are at their ends
	free     chan []byte    // chunks of standard output to be used again
	stop     chan struct{}  // closed when nobody reads any more
	readers  sync.WaitGroup // a goroutine for each channel
	workers  sync.WaitGroup // the writer, and who closes read
	silent   bool           // read was closed
}

// written hands over what is in the buffer if that is enough.
func (p *program) written(out functions.Emitter) error {
	if len(p.buf) < batchSize {
		return p.err
	}
	return p.hand(out)
}

func (p *program) hand(out functions.Emitter) error {
	err := p.send(p.buf, out)
	p.buf = p.buf[:0]
	return err
}

// MapBatch hands lines over as they are. It returns how many there were.
func (m *Mapper) MapBatch(lines []byte, out functions.Emitter) (int64, error) {
	if len(lines) == 0 || m.layouts.in.codec != text || bytes.IndexByte(lines, '\r') >= 0 || lines[len(lines)-1] != '\n' {
		var n int64
		for line := range functions.Lines(lines) {
			n++
			if err := m.Map(functions.Record{Value: line}, out); err != nil {
				return n, err
			}
		}
		return n, nil
	}
	if err := m.hand(out); err != nil {
		return 0, err
	}
	return functions.CountLines(lines), m.send(lines, out)
}

// send writes b, and puts out what comes meanwhile. The program starts if it does not run.
func (p *program) send(b []byte, out functions.Emitter) error {
	if p.err != nil || len(b) == 0 {
		return p.err
	}
	if p.run == nil {
		if err := p.begin(); err != nil {
			return err
		}
	}
	r := p.run
	r.write <- b
	gone := r.proc.Gone
	for {
		select {
		case <-r.written:
			return p.err
		case c, ok := <-r.next():
			p.take(c, ok, out)
		case <-gone: // somebody else may hold the other end of the pipe
			_ = r.proc.Stdin.SetWriteDeadline(time.Now()) // a pipe can
			gone = nil
		}
	}
}

// next returns where chunks come from, nil after the last.
func (r *run) next() <-chan chunk {
	if r.silent {
		return nil
	}
	return r.read
}

// begin starts the program.
func (p *program) begin() error {
	env := p.opts.Env
	if p.file != nil {
		env = append(env[:len(env):len(env)], "mapreduce_map_input_file="+p.file.URI,
			fmt.Sprint("mapreduce_map_input_start=", p.file.Offset), fmt.Sprint("mapreduce_map_input_length=", p.file.Length))
	}
	env = append(env[:len(env):len(env)], variables(p.opts.Outputs)...)
	proc, err := p.start(env, &messages{prefix: p.layouts.reporter, env: p.env, log: p.opts.Stderr})
	if err != nil {
		p.err = err
		return err
	}
	r := &run{
		proc: proc, write: make(chan []byte), written: make(chan struct{}), read: make(chan chunk, chunks),
		free: make(chan []byte, chunks+2), stop: make(chan struct{}), channels: channels(proc, p.opts.Outputs),
	}
	r.workers.Go(r.writer)
	for _, ch := range r.channels {
		r.readers.Go(func() { r.reader(ch) })
	}
	r.workers.Go(func() {
		r.readers.Wait()
		close(r.read)
	})
	p.run, p.ran = r, true
	return nil
}

// writer writes until there is no more. That the program does not listen is its own affair: its exit status tells.
func (r *run) writer() {
	var err error
	for b := range r.write {
		if err == nil {
			_, err = r.proc.Stdin.Write(b)
		}
		r.written <- struct{}{}
	}
	_ = r.proc.Stdin.Close() // a pipe has nothing left to write
}

// part takes the number of a reducer off a line.
func (p *program) part(line []byte, out functions.Emitter) (rest []byte, err error) {
	number, rest, ok := bytes.Cut(line, []byte{'\t'})
	n, err := strconv.Atoi(string(number))
	parts, knows := out.(functions.PartEmitter)
	if !ok || err != nil || !knows {
		return nil, errs.Errorf("streaming.Run", errs.Failed, p.opts.Command,
			"it put out %.60q, which should begin with the number of a reducer and a TAB", line)
	}
	parts.Part(n)
	return rest, nil
}

// Flush ends the program's input and waits for it. The next record starts it again.
func (p *program) Flush(out functions.Emitter) error {
	if err := p.hand(out); err != nil || p.run == nil {
		return err
	}
	r := p.run
	close(r.write)
	gone := r.proc.Gone
	for !r.silent {
		select {
		case c, ok := <-r.read:
			p.take(c, ok, out)
		case <-gone:
			for _, ch := range r.channels {
				_ = ch.pipe.SetReadDeadline(time.Now().Add(process.Grace)) // a pipe can
			}
			gone = nil
		}
	}
	<-r.proc.Gone
	for _, ch := range r.channels {
		if p.err == nil && len(ch.rest) > 0 {
			p.err = p.last(ch, out)
		}
	}
	p.run = nil
	r.close()
	if p.err == nil && !r.proc.Success() && !p.layouts.anyExit || r.proc.Canceled() != nil {
		p.err = p.ended(r.proc)
	}
	return p.err
}

// ended says why the program is no more.
func (p *program) ended(proc *process.Process) error {
	if cause := proc.Canceled(); cause != nil {
		return errs.E("streaming.Run", errs.Canceled, proc.Name, cause)
	}
	return errs.E("streaming.Run", errs.Failed, proc.Name, proc.Ended())
}

// finish ends the program, after it has run at least once.
func (p *program) finish(out functions.Emitter) error {
	if p.err == nil && !p.ran {
		if err := p.begin(); err != nil {
			return err
		}
	}
	return p.Flush(out)
}

// Close ends the program and all that it started, and frees everything. It may be called again.
func (p *program) Close() error {
	if r := p.run; r != nil {
		p.run = nil
		r.proc.Kill()
		<-r.proc.Gone
		close(r.write)
		r.close()
	}
	return nil
}

// close ends the goroutines of a program that is gone and is told nothing more.
func (r *run) close() {
	close(r.stop)
	for _, ch := range r.channels {
		_ = ch.pipe.Close() // all that matters was read
	}
	r.workers.Wait()
}
