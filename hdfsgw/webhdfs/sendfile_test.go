package webhdfs

import (
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seed3322913c/runner/infra/store/cache"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// fileListener counts the bytes that its connections are told to take from files: TCP connections let the kernel send
// those.
type fileListener struct {
	net.Listener
	sent atomic.Int64
}

func (l *fileListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	return &fileConn{nc, &l.sent}, err
}

type fileConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c *fileConn) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		if _, ok := limited.R.(*os.File); ok {
			c.sent.Add(limited.N) // before it is done, for then the client may have looked already
		}
	}
	return c.Conn.(io.ReaderFrom).ReadFrom(r)
}

// TestKernelSendsWhatIsOnDisk reads a file twice: the second time its bytes go from the cache's files to the
// connection, through no buffer of the gateway.
func TestKernelSendsWhatIsOnDisk(t *testing.T) {
	st := mem.New()
	kept, err := cache.New(st, t.TempDir(), cache.Options{Prefix: "blocks/"})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	var l *fileListener
	s := newServerBehind(t, st, Options{Blocks: kept, BlockSize: 2 << 20}, func(inner net.Listener) net.Listener {
		l = &fileListener{Listener: inner}
		return l
	})
	data := strings.Repeat("0123456789abcdef", 300_000)
	if status, body := send(t, s, "PUT", prefix+"/f?op=CREATE&user.name=root", strings.NewReader(data)); status != 201 {
		t.Fatal(status, body)
	}
	for _, test := range []struct {
		when string
		want int64
	}{{"from the store", 0}, {"from the disk", int64(len(data))}} {
		l.sent.Store(0)
		if got := fetch(t, s, "/f", ""); got != data {
			t.Errorf("%s: other bytes, %d of %d", test.when, len(got), len(data))
		}
		if n := l.sent.Load(); n < test.want*9/10 || test.want == 0 && n > 0 {
			t.Errorf("%s: %d of %d bytes go from files", test.when, n, len(data))
		}
		kept.Flush()
	}
}
