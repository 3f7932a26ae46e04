package kv_test

import (
	"testing"
	"time"

	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/link/kv"
	"github.com/seed3322913c/runner/guagua/link/linktest"
	"github.com/seed3322913c/runner/infra/coord/mem"
)

func TestPolled(t *testing.T) {
	linktest.Run(t, 1<<20, func(*testing.T) link.Transport {
		return kv.New(mem.New(), kv.Options{Job: "7k2f-sum", Workers: 8, Poll: time.Millisecond})
	})
}

func TestWatched(t *testing.T) {
	linktest.Run(t, 1<<20, func(*testing.T) link.Transport {
		return kv.New(mem.New(), kv.Options{Job: "7k2f-sum", Workers: 8})
	})
}
