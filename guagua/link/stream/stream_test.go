package stream_test

import (
	"testing"

	"github.com/seed3322913c/runner/guagua/link"
	"github.com/seed3322913c/runner/guagua/link/linktest"
	"github.com/seed3322913c/runner/guagua/link/stream"
)

func TestStream(t *testing.T) {
	linktest.Run(t, 3<<20, func(*testing.T) link.Transport { return stream.New(stream.Options{}) })
}
