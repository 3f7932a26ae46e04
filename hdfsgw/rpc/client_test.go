package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/colinmarc/hdfs/v2"
)

// write makes a file of blocks of 1 MiB with a Go client.
func write(t *testing.T, c *hdfs.Client, path string, data []byte) {
	t.Helper()
	f, err := c.CreateFile(path, 3, 1<<20, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, c *hdfs.Client, path string) []byte {
	t.Helper()
	data, err := c.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestBytesComeBack(t *testing.T) {
	c := newCluster(t, Options{})
	cl := c.client(t, "root")
	for _, n := range []int{0, 1, 511, 512, 70_000, 1 << 20, 3<<20 + 77} {
		data := text(n)
		write(t, cl, "/f", data)
		if !bytes.Equal(read(t, cl, "/f"), data) {
			t.Errorf("%d bytes came back as others", n)
		}
		f, err := cl.Open("/f")
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []int{0, n / 3, n - 1} {
			if at < 0 {
				continue
			}
			part := make([]byte, min(1000, n-at))
			_, err := f.ReadAt(part, int64(at))
			if err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(part, data[at:at+len(part)]) {
				t.Errorf("%d of %d: %v", at, n, err)
			}
		}
		if err := errors.Join(f.Close(), cl.Remove("/f")); err != nil {
			t.Error(err)
		}
	}
}

func TestAppendsAndTruncates(t *testing.T) {
	c := newCluster(t, Options{})
	cl := c.client(t, "root")
	all := text(1_500_000)
	write(t, cl, "/f", all)
	for range 3 {
		f, err := cl.Append("/f")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("more")); err != nil {
			t.Fatal(err)
		}
		if err := f.Flush(); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(all[:100_000]); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		all = append(append(all, "more"...), all[:100_000]...)
	}
	if !bytes.Equal(read(t, cl, "/f"), all) {
		t.Error("other bytes after appending")
	}
	if done, err := cl.Truncate("/f", 1_000_001); !done || err != nil {
		t.Error(done, err)
	}
	if !bytes.Equal(read(t, cl, "/f"), all[:1_000_001]) {
		t.Error("other bytes after truncating")
	}
}

func TestNamesAndAttributes(t *testing.T) {
	c := newCluster(t, Options{ListLimit: 3})
	cl := c.client(t, "root")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	check(cl.MkdirAll("/a/b", 0o755))
	if err := cl.Mkdir("/x/y", 0o755); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a parent: %v", err)
	}
	for _, name := range []string{"5", "1", "ü", "3 4", "%2f"} {
		check(cl.CreateEmptyFile("/a/b/" + name))
	}
	list, err := cl.ReadDir("/a/b")
	check(err)
	var names []string
	for _, i := range list {
		names = append(names, i.Name())
	}
	if want := []string{"%2f", "1", "3 4", "5", "ü"}; !slices.Equal(names, want) {
		t.Errorf("%q", names)
	}
	write(t, cl, "/a/f", []byte("hello"))
	check(cl.Chmod("/a/f", 0o600))
	check(cl.Chown("/a/f", "bob", "staff"))
	at := time.UnixMilli(1_700_000_000_000)
	check(cl.Chtimes("/a/f", at, at))
	check(cl.SetXAttr("/a/f", "user.k", "v"))
	attrs, err := cl.ListXAttrs("/a/f")
	if err != nil || attrs["user.k"] != "v" {
		t.Error(attrs, err)
	}
	check(cl.Rename("/a/f", "/a/g"))
	s, err := cl.Stat("/a/g")
	check(err)
	status := s.(*hdfs.FileInfo)
	if s.Size() != 5 || s.Mode() != 0o600 || status.Owner() != "bob" || status.OwnerGroup() != "staff" ||
		!s.ModTime().Equal(at) {
		t.Error(s.Size(), s.Mode(), status.Owner(), status.OwnerGroup(), s.ModTime())
	}
	sum, err := cl.GetContentSummary("/a")
	if err != nil || sum.FileCount() != 6 || sum.DirectoryCount() != 2 || sum.Size() != 5 ||
		sum.SizeAfterReplication() != 15 {
		t.Error(sum, err)
	}
	if _, err := cl.StatFs(); err != nil {
		t.Error(err)
	}
	if err := cl.Remove("/a"); err == nil {
		t.Error("a full directory was removed")
	}
	check(cl.RemoveAll("/a"))
	if _, err := cl.Stat("/a"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestPermissionsHold(t *testing.T) {
	c := newCluster(t, Options{})
	root, eve := c.client(t, "root"), c.client(t, "eve@EXAMPLE.COM")
	write(t, root, "/secret", []byte("x")) // mode 640
	if _, err := eve.ReadFile("/secret"); err == nil || !strings.Contains(err.Error(), "AccessControlException") {
		t.Error(err)
	}
	if err := eve.Mkdir("/mine", 0o755); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	if err := eve.Chmod("/secret", 0o777); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
}

func TestOneWriterAtATime(t *testing.T) {
	c := newCluster(t, Options{})
	one, two := c.client(t, "root"), c.client(t, "root")
	f, err := one.Create("/f")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.Append("/f"); err == nil || !strings.Contains(err.Error(), "AlreadyBeingCreatedException") {
		t.Error(err)
	}
	if _, err := two.Create("/f"); err == nil {
		t.Error("it was created twice")
	}
	if _, err := f.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err == nil {
		t.Error("a file that is closed was closed again by somebody who has no lease")
	}
}

// TestSnapshots also shows that what a snapshot holds can be read when the file has gone.
func TestSnapshots(t *testing.T) {
	c := newCluster(t, Options{})
	cl := c.client(t, "root")
	if err := cl.Mkdir("/d", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, cl, "/d/f", []byte("before"))
	if err := cl.AllowSnapshots("/d"); err != nil {
		t.Fatal(err)
	}
	path, err := cl.CreateSnapshot("/d", "s")
	if err != nil || path != "/d/.snapshot/s" {
		t.Fatal(path, err)
	}
	if err := cl.Remove("/d/f"); err != nil {
		t.Fatal(err)
	}
	if string(read(t, cl, path+"/f")) != "before" {
		t.Error("the snapshot has other bytes")
	}
	if err := errors.Join(cl.DeleteSnapshot("/d", "s"), cl.DisallowSnapshots("/d")); err != nil {
		t.Error(err)
	}
}

// TestAWriterFollowsItsFile moves a file while it is written.
func TestAWriterFollowsItsFile(t *testing.T) {
	c := newCluster(t, Options{})
	cl := c.client(t, "root")
	if err := cl.Mkdir("/old", 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := cl.CreateFile("/old/f", 1, 1<<20, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	data := text(3 << 20)
	_, err = f.Write(data[:1<<20])
	err = errors.Join(err, cl.Rename("/old", "/new"), cl.Mkdir("/old", 0o755))
	write(t, cl, "/old/f", []byte("another"))
	if err == nil {
		_, err = f.Write(data[1<<20:])
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, cl, "/new/f"), data) || string(read(t, cl, "/old/f")) != "another" {
		t.Error("the bytes went elsewhere")
	}
}

// TestAClientGoesToTheLeader connects to a gateway that stands by, and to one that leads.
func TestAClientGoesToTheLeader(t *testing.T) {
	c := newCluster(t, Options{})
	standby, leader := c.serve(t, true), c.serve(t, false)
	cl, err := hdfs.NewClient(hdfs.ClientOptions{Addresses: []string{standby, leader}, User: "root"})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	write(t, cl, "/f", []byte("hello"))
	if string(read(t, cl, "/f")) != "hello" {
		t.Error("other bytes")
	}
}

// TestNoBytesAreLostInSilence ends a file at another gateway than the one that has its last bytes, or goes on with it
// there, as if the first had died after it acknowledged them.
func TestNoBytesAreLostInSilence(t *testing.T) {
	for name, more := range map[string]int{"closed": 0, "gone on with": 2 << 20} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, Options{})
			one, two := c.serve(t, false), c.serve(t, false)
			var first net.Conn
			dial := func(ctx context.Context, network, address string) (net.Conn, error) {
				nc, err := new(net.Dialer).DialContext(ctx, network, address)
				if first == nil {
					first = nc
				}
				return nc, err
			}
			cl, err := hdfs.NewClient(hdfs.ClientOptions{Addresses: []string{one, two}, User: "root", NamenodeDialFunc: dial})
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			f, err := cl.CreateFile("/f", 1, 1<<20, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			const packets = 2 << 16 // whole ones: behind a shorter one the gateway waits a moment, and may take it for a flush
			if _, err := f.Write(text(packets)); err != nil {
				t.Fatal(err)
			}
			first.Close()
			if _, err = f.Write(text(more)); err == nil {
				err = f.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "java.io.IOException") {
				t.Errorf("it was %s without its bytes: %v", name, err)
			}
			if s, err := cl.Stat("/f"); err != nil || s.Size() != 0 {
				t.Error(s, err)
			}
		})
	}
}
