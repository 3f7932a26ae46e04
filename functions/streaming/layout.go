package streaming

import (
	"bytes"
	"strconv"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
)

// layout says how records are written, and where in a line the key ends.
type layout struct {
	codec  codec
	sep    []byte
	fields int // of the key
}

// layouts are how a program's lines are laid out. By default fields are separated by TAB and a key is one of them.
//
//	stream.map.input.field.separator      stream.reduce.input.field.separator
//	stream.map.output.field.separator     stream.reduce.output.field.separator
//	stream.num.map.output.key.fields      stream.num.reduce.output.key.fields
//	stream.map.input   stream.map.output    stream.reduce.input   stream.reduce.output     the codec
//	stream.stderr.reporter.prefix         what messages on standard error begin with; reporter:
//	stream.non.zero.exit.is.failure       false: the exit status does not matter
type layouts struct {
	in, out  layout
	reporter string
	anyExit  bool
}

// parseLayouts reads the parameters of a side, map or reduce.
func parseLayouts(side string, p functions.Params) (layouts, error) {
	get := func(name, otherwise string) string {
		if v := p[name]; v != "" {
			return v
		}
		return otherwise
	}
	l := layouts{
		in:       layout{sep: []byte(get("stream."+side+".input.field.separator", "\t")), fields: 1},
		out:      layout{sep: []byte(get("stream."+side+".output.field.separator", "\t"))},
		reporter: get("stream.stderr.reporter.prefix", "reporter:"),
		anyExit:  get("stream.non.zero.exit.is.failure", "true") == "false",
	}
	for name, to := range map[string]*codec{"input": &l.in.codec, "output": &l.out.codec} {
		c, err := parseCodec("stream."+side+"."+name, p)
		if err != nil {
			return layouts{}, err
		}
		*to = c
	}
	name := "stream.num." + side + ".output.key.fields"
	var err error
	if l.out.fields, err = strconv.Atoi(get(name, "1")); err != nil || l.out.fields < 1 {
		return layouts{}, errs.Errorf("streaming.Params", errs.Invalid, nil, "%s is %q; say a number from 1", name, p[name])
	}
	return l, nil
}

// plain reports whether lines are what text output would write of their records.
func (l layout) plain() bool { return l.codec == text && len(l.sep) == 1 && l.sep[0] == '\t' }

// cut divides a line. A line with fewer separators is a key without value, which is nil then.
func (l layout) cut(line []byte) (key, value []byte) {
	at := 0
	for range l.fields {
		i := bytes.Index(line[at:], l.sep)
		if i < 0 {
			return line, nil
		}
		at += i + len(l.sep)
	}
	return line[:at-len(l.sep)], line[at:]
}
