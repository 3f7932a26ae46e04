package streaming

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/process"
	"github.com/seed3322913c/runner/infra/errs"
)

// channel is a way by which records leave a program: its standard output, or the pipe of a named output. All have the
// same form.
type channel struct {
	output string          // the named output; empty: standard output
	pipe   *process.Output // where it is read
	rest   []byte          // the beginning of a line or record
}

// chunk is what was read of a channel.
type chunk struct {
	of   *channel
	data []byte
}

// sideChunk is how many bytes of a named output are read at a time: there may be many of them, with little in each.
const sideChunk = 32 << 10

// variables tell a program where its named outputs are.
func variables(outputs []string) (env []string) {
	for i, name := range outputs {
		env = append(env, fmt.Sprintf("mapreduce_multipleoutputs_%s=/dev/fd/%d", name, process.FirstExtra+i))
	}
	return env
}

// channels returns those of a program that has these named outputs.
func channels(proc *process.Process, outputs []string) []*channel {
	all := []*channel{{pipe: proc.Stdout}}
	for i, name := range outputs {
		all = append(all, &channel{output: name, pipe: proc.Extra[i]})
	}
	return all
}

// reader reads a channel until the program closes it, or nobody wants it.
func (r *run) reader(ch *channel) {
	for {
		c := r.room(ch)
		n, err := ch.pipe.Read(c)
		if n > 0 {
			select {
			case r.read <- chunk{ch, c[:n]}:
			case <-r.stop:
				return
			}
		}
		if err != nil { // the end of the file, or of our patience
			return
		}
	}
}

// room returns where to read to.
func (r *run) room(ch *channel) []byte {
	if ch.output != "" {
		return make([]byte, sideChunk)
	}
	select {
	case c := <-r.free:
		return c[:cap(c)]
	default:
		return make([]byte, chunkSize)
	}
}

// take puts out a chunk; ok is false after the last.
func (p *program) take(c chunk, ok bool, out functions.Emitter) {
	if !ok {
		p.run.silent = true
		return
	}
	if p.err == nil {
		if p.err = p.emit(c.of, c.data, out); p.err != nil {
			p.run.proc.Kill() // it might go on for ever
		}
	}
	if c.of.output == "" {
		p.run.free <- c.data // there is room for all of them
	}
}

// emit puts out the lines or records of a chunk, and keeps the beginning of the last.
func (p *program) emit(ch *channel, c []byte, out functions.Emitter) error {
	if p.layouts.out.codec != text {
		return p.records(ch, c, out)
	}
	if len(ch.rest) > 0 {
		i := bytes.IndexByte(c, '\n')
		if len(ch.rest)+len(c) > maxLine {
			return errs.Errorf("streaming.Run", errs.Failed, p.opts.Command, "it put out a line of more than %d bytes", maxLine)
		}
		ch.rest = append(ch.rest, c[:i+1]...)
		if i < 0 {
			ch.rest = append(ch.rest, c...)
			return nil
		}
		c = c[i+1:]
		if err := p.lines(ch, ch.rest, out); err != nil {
			return err
		}
		ch.rest = ch.rest[:0]
	}
	whole := bytes.LastIndexByte(c, '\n') + 1
	ch.rest = append(ch.rest, c[whole:]...)
	return p.lines(ch, c[:whole], out)
}

// lines puts out whole lines.
func (p *program) lines(ch *channel, lines []byte, out functions.Emitter) error {
	main := ch.output == ""
	if text, ok := out.(functions.LineEmitter); ok && main && p.layouts.out.plain() {
		return text.EmitLines(lines)
	}
	for len(lines) > 0 {
		end := bytes.IndexByte(lines, '\n')
		line := lines[:end]
		lines = lines[end+1:]
		if p.opts.Parts && main {
			var err error
			if line, err = p.part(line, out); err != nil {
				return err
			}
		}
		key, value := p.layouts.out.cut(line)
		if err := p.record(ch, key, value, out); err != nil {
			return err
		}
	}
	return nil
}

// last puts out a line without an end. A record cannot be without.
func (p *program) last(ch *channel, out functions.Emitter) error {
	if p.layouts.out.codec != text {
		return errs.Errorf("streaming.Run", errs.Failed, p.opts.Command, "it ended within a record of %s",
			p.layouts.out.codec)
	}
	return p.lines(ch, append(ch.rest, '\n'), out)
}

// records puts out the binary records of a chunk, and keeps the beginning of the last.
func (p *program) records(ch *channel, c []byte, out functions.Emitter) error {
	form := p.layouts.out.codec
	ch.rest = append(ch.rest, c...)
	b := ch.rest
	for {
		p.scratch = p.scratch[:0]
		key, rest, scratch, ok, err := form.cut(b, p.scratch)
		var value []byte
		if ok {
			value, rest, scratch, ok, err = form.cut(rest, scratch)
		}
		p.scratch = scratch
		if err != nil {
			return errs.E("streaming.Run", errs.Failed, p.opts.Command, err)
		}
		if !ok {
			break
		}
		if err := p.record(ch, key, value, out); err != nil {
			return err
		}
		b = rest
	}
	ch.rest = append(ch.rest[:0], b...)
	return nil
}

// record puts out one record.
func (p *program) record(ch *channel, key, value []byte, out functions.Emitter) error {
	if ch.output != "" {
		return functions.EmitTo(p.env, ch.output, key, value)
	}
	if !p.int64s {
		return out.Emit(key, value)
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return errs.Errorf("streaming.Run", errs.Failed, p.opts.Command,
			"it put out %.40q for %.40q, where the job has whole numbers", value, key)
	}
	return functions.Int64Out(out).EmitInt64(key, n)
}
