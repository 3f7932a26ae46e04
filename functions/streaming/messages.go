package streaming

import (
	"bytes"
	"io"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/functions"
)

// messages takes what a program prints on standard error: counters and status go to env, the rest to log.
type messages struct {
	prefix string
	env    functions.Env // may be nil
	log    io.Writer     // may be nil
	rest   []byte        // the beginning of a line
}

// maxMessage is where a line is cut, in bytes.
const maxMessage = 64 << 10

func (m *messages) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		m.rest = append(m.rest, line...)
		if whole || len(m.rest) >= maxMessage {
			m.line()
		}
		p = rest
	}
	return n, nil
}

// line handles a line.
func (m *messages) line() {
	text := strings.ToValidUTF8(string(m.rest), "?")
	m.rest = m.rest[:0]
	if message, ok := strings.CutPrefix(text, m.prefix); ok && m.env != nil && m.take(message) {
		return
	}
	if m.log != nil {
		_, _ = io.WriteString(m.log, text+"\n") // a log that is lost loses no records
	}
}

// take reports whether it understood a message.
func (m *messages) take(message string) bool {
	if status, ok := strings.CutPrefix(message, "status:"); ok {
		m.env.Status(strings.TrimSpace(status))
		return true
	}
	counter, ok := strings.CutPrefix(message, "counter:")
	if !ok {
		return false
	}
	fields := strings.Split(counter, ",") // as in Hadoop exactly three
	if len(fields) != 3 {
		return false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(fields[2]), 10, 64)
	if err != nil {
		return false
	}
	m.env.Count(fields[0], fields[1], n)
	return true
}
