package builtin

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/infra/errs"
)

// grep puts out every match of a pattern in a line, with the number 1. As grep -o does it leaves out empty matches.
type grep struct {
	pattern *regexp.Regexp
	group   int
	prefix  []byte // begins every match; may be empty
}

func grepParams() []functions.Param {
	return []functions.Param{
		{Name: "pattern", Doc: "the regular expression to look for, in Go's syntax (RE2)", Required: true},
		{Name: "group", Doc: "the number of the parenthesised group to count instead of the whole match", Default: "0"},
	}
}

func newGrep(params functions.Params) (functions.Raw, error) {
	const op = "builtin.grep"
	re, err := regexp.Compile(params["pattern"])
	if err != nil {
		return functions.Raw{}, errs.Errorf(op, errs.Invalid, nil, "pattern %q is no regular expression: %s",
			params["pattern"], strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	group, err := strconv.Atoi(params["group"])
	if err != nil || group < 0 || group > re.NumSubexp() {
		return functions.Raw{}, errs.Errorf(op, errs.Invalid, nil,
			"group %q of a pattern that has groups 0 (all of it) to %d", params["group"], re.NumSubexp())
	}
	prefix, _ := re.LiteralPrefix()
	g := grep{re, group, []byte(prefix)}
	return functions.Raw{Mapper: func() functions.Mapper { return g }}, nil
}

func (g grep) ValueKind() functions.ValueKind { return functions.ValueInt64 }

func (g grep) Map(in functions.Record, out functions.Emitter) error {
	return g.line(in.Value, functions.Int64Out(out))
}

// MapBatch skips from one possible match to the next, which is much faster than to ask the automaton about every line.
func (g grep) MapBatch(lines []byte, out functions.Emitter) (int64, error) {
	to := functions.Int64Out(out)
	for rest := lines; ; {
		at := bytes.Index(rest, g.prefix)
		if at < 0 || len(rest) == 0 {
			break
		}
		begin, end := bytes.LastIndexByte(rest[:at], '\n')+1, len(rest)
		if i := bytes.IndexByte(rest[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		for line := range functions.Lines(rest[begin:end]) {
			if err := g.line(line, to); err != nil {
				return 0, err
			}
		}
		rest = rest[end:]
	}
	return functions.CountLines(lines), nil
}

func (g grep) line(line []byte, out functions.Int64Emitter) error {
	for _, m := range g.pattern.FindAllSubmatchIndex(line, -1) {
		from, to := m[2*g.group], m[2*g.group+1]
		if from == to { // empty, or a group that took no part in the match (-1)
			continue
		}
		if err := out.EmitInt64(line[from:to], 1); err != nil {
			return err
		}
	}
	return nil
}
