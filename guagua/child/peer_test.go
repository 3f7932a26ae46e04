package child

import (
	"bytes"
	"testing"
)

// FuzzRead: whatever comes is a message or an error, and no more memory is taken than came.
func FuzzRead(f *testing.F) {
	var out bytes.Buffer
	p := newPeer(nil, &out, nil)
	if err := p.write(header{Call: 7, Op: "load", Args: []byte(`{"index":1}`)}, []byte("data")); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add([]byte{2, 0, 0, 0, '{', '}', 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 'x'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := read(bytes.NewReader(data))
		if err == nil && len(m.data) > len(data) {
			t.Fatalf("%d bytes out of %d", len(m.data), len(data))
		}
	})
}
