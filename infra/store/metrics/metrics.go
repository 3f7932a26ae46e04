// Package metrics counts what a store does, for Prometheus.
//
//	store_calls_total{op, result}    calls; result is "ok" or the kind of the error
//	store_call_seconds{op}           how long they took; of listings the first item
//	store_bytes_total{direction}     "read" and "written"
//
// Reads and writes are counted in bytes, not in calls, since there are so many of them.
package metrics

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
)

// New returns st with its calls counted in reg. Several stores may be counted in one Registerer, together, or apart if
// each gets its own from prometheus.WrapRegistererWith. It fails if other metrics have these names.
func New(st store.Store, reg prometheus.Registerer) (*around.Store, error) {
	calls, err1 := register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "store_calls_total", Help: "Calls to the object store, by operation and result.",
	}, []string{"op", "result"}))
	seconds, err2 := register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "store_call_seconds", Help: "How long calls to the object store took.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10), // 0.1 ms, a file, to 26 s, a large upload on a bad day
	}, []string{"op"}))
	bytes, err3 := register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "store_bytes_total", Help: "Bytes read from and written to the object store.",
	}, []string{"direction"}))
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, errs.E("metrics.New", errs.Internal, nil, err)
	}
	var took [around.NumOps]prometheus.Observer // looked up once, as is what succeeds
	var worked [around.NumOps]prometheus.Counter
	for op := range around.NumOps {
		if counted(op) {
			took[op], worked[op] = seconds.WithLabelValues(op.String()), calls.WithLabelValues(op.String(), "ok")
		}
	}
	read, written := bytes.WithLabelValues("read"), bytes.WithLabelValues("written")

	return around.New(st, func(ctx context.Context, c around.Call, do func([]byte) (int, error)) (int, error) {
		begin := time.Now()
		n, err := do(c.Data)
		if c.Op == around.Read {
			read.Add(float64(n))
		} else if n > 0 {
			written.Add(float64(n))
		}
		switch failed := err != nil && err != io.EOF; {
		case failed:
			calls.WithLabelValues(c.Op.String(), errs.KindOf(err).String()).Inc()
		case counted(c.Op):
			worked[c.Op].Inc()
		}
		if counted(c.Op) {
			took[c.Op].Observe(time.Since(begin).Seconds())
		}
		return n, err
	}), nil
}

// counted reports whether calls of op are counted also when they succeed.
func counted(op around.Op) bool {
	switch op {
	case around.Any, around.Read, around.Write, around.Next:
		return false
	}
	return true
}

// register registers c, or returns what was registered before under its name.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) (C, error) {
	err := reg.Register(c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if old, ok := already.ExistingCollector.(C); ok {
			return old, nil
		}
	}
	return c, err
}
