package child

import (
	"errors"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/process"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
)

// sink is the rest of the world as a session sees it.
type sink struct{ records int64 }

func (s *sink) Emit(_, _ []byte) error            { s.records++; return nil }
func (s *sink) EmitInt64(_ []byte, _ int64) error { s.records++; return nil }

func (s *sink) Param(string) (string, bool) { return "", false }
func (s *sink) Count(string, string, int64) {}
func (s *sink) Status(string)               {}
func (s *sink) Logf(string, ...any)         {}
func (s *sink) Attempt() string             { return "" }

// FuzzDeliver hands any frame to a session, before and after the child was accepted.
func FuzzDeliver(f *testing.F) {
	f.Add(byte(wire.Records), []byte("\x04the\x02\x02"))
	f.Add(byte(wire.Counters), []byte(`{"group":{"name":7}}`))
	f.Add(byte(wire.Failed), []byte(`{"message":"no","kind":"fenced","record":3}`))
	f.Add(byte(wire.Status), []byte("half way \xff"))
	f.Add(byte(wire.Opening), []byte("{}"))
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		for _, values := range []functions.ValueKind{functions.ValueBytes, functions.ValueInt64} {
			for _, out := range []functions.Emitter{nil, &sink{}} {
				s := &session{
					proc: &process.Process{Name: "it"}, handled: make(chan []byte, 1),
					values: values, env: &sink{},
				}
				s.deliver(frame{kind: wire.Type(kind), payload: payload}, true, out)
				if s.err != nil && (errs.KindOf(s.err) == errs.Other || errors.Is(s.err, errs.Fenced)) {
					t.Errorf("kind of %v", s.err)
				}
				if o, ok := out.(*sink); ok && s.err == nil && o.records != s.delivered {
					t.Errorf("%d records, counted %d", o.records, s.delivered)
				}
			}
		}
	})
}
