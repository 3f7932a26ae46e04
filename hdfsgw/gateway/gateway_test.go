package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/coord"
	coordmem "github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// start runs a gateway until stop is called.
func start(t *testing.T, st store.Store, o Options) (g *Gateway, stop func()) {
	t.Helper()
	g = New(st, o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	return g, func() {
		cancel()
		if err := <-done; !errors.Is(err, errs.Canceled) {
			t.Error(err)
		}
	}
}

// ask makes a request in memory.
func ask(g http.Handler, method, target, body string) (int, string) {
	w := httptest.NewRecorder()
	g.ServeHTTP(w, httptest.NewRequest(method, "http://gw:1/webhdfs/v1"+target+"&user.name=root", strings.NewReader(body)))
	all, _ := io.ReadAll(w.Body) // from memory
	return w.Code, string(all)
}

func leads(t *testing.T, g *Gateway) {
	t.Helper()
	for !g.Leads() {
		select {
		case <-g.Turns():
		case <-t.Context().Done():
			t.Fatal("nobody leads")
		}
	}
}

func TestAStandbyTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, c := mem.New(), coordmem.New()
		o := Options{Coord: c}
		one, stopOne := start(t, st, o)
		leads(t, one)
		two, stopTwo := start(t, st, o)
		if code, body := ask(one, "PUT", "/f?op=CREATE&namenoderpcaddress=x", "hello"); code != http.StatusCreated {
			t.Fatal(code, body)
		}
		code, body := ask(two, "GET", "/f?op=GETFILESTATUS", "")
		if code != 403 || !strings.Contains(body, "StandbyException") {
			t.Error(code, body)
		}
		stopOne()
		leads(t, two)
		if code, body := ask(two, "GET", "/f?op=OPEN&namenoderpcaddress=x", ""); code != http.StatusOK || body != "hello" {
			t.Error(code, body)
		}
		stopTwo()
	})
}

// TestChangesFollowEachOtherInAFolder has a gateway over a folder keep all changes in one file, and another one read
// it.
func TestChangesFollowEachOtherInAFolder(t *testing.T) {
	st, err := file.New(t.TempDir(), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/a", "/b", "/c"} {
		g, stop := start(t, st, Options{})
		leads(t, g)
		if code, body := ask(g, "PUT", dir+"?op=MKDIRS", ""); code != http.StatusOK {
			t.Fatal(code, body)
		}
		if code, body := ask(g, "GET", "/a?op=GETFILESTATUS", ""); code != http.StatusOK {
			t.Error(code, body)
		}
		stop()
	}
	objects := map[string]int{}
	for info, err := range st.List(t.Context(), string(Journal)) {
		if err != nil {
			t.Fatal(err)
		}
		objects[strings.Split(string(info.Name), "/")[1]]++
	}
	if _, grow := store.LogsOf(st); grow && (objects["log"] != 2 || objects["segment"] != 1) {
		t.Errorf("the journal is %v", objects)
	}
}

// TestAPausedLeaderDoesNotAnswer has a leader that was fenced and has not noticed.
func TestAPausedLeaderDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		old, stop := start(t, st, Options{Coord: coordmem.New()})
		leads(t, old)
		l := old.role.Load()
		other, err := journal.Lead(t.Context(), st, Journal, namespace.New(namespace.Options{}), journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		l.seen.Store(&time.Time{}) // as if it had not looked for long
		time.Sleep(old.o.TTL / 2)  // of the bubble's clock: it looks again, and nobody has told it yet that the lease is lost
		synctest.Wait()
		code, body := ask(old, "GET", "/?op=GETFILESTATUS", "")
		if code != 403 || !strings.Contains(body, "StandbyException") {
			t.Error(code, body)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		stop()
	})
}

func TestDroppedBlocksAreDeletedAfterTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		g, stop := start(t, st, Options{Grace: time.Hour})
		leads(t, g)
		ask(g, "PUT", "/f?op=CREATE&namenoderpcaddress=x", "hello")
		ask(g, "DELETE", "/f?op=DELETE", "")
		count := func() (n int) {
			for _, err := range st.List(t.Context(), "blocks/") {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			return n
		}
		time.Sleep(50 * time.Minute) // of the bubble's clock
		synctest.Wait()
		if count() != 1 {
			t.Error("deleted too early")
		}
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if n := count(); n != 0 || g.role.Load().Stats().Dropped != 0 {
			t.Error(n, "objects are left")
		}
		stop()
	})
}

func TestCompactable(t *testing.T) {
	repeat := func(n int, length int64) (all []namespace.Block) {
		for range n {
			all = append(all, namespace.Block{Length: length})
		}
		return all
	}
	for i, c := range []struct {
		blocks []namespace.Block
		from   int
		ok     bool
	}{
		{repeat(7, 1), 0, false}, {repeat(8, 1), 0, true}, {nil, 0, false}, {repeat(20, 1), 0, true},
		{append(repeat(3, 1000), repeat(8, 1)...), 3, true}, {append(repeat(1, 9), repeat(8, 1)...), 1, true},
		{append(repeat(1, 8), repeat(8, 1)...), 0, true}, {append(repeat(9, 1), repeat(2, 500)...), 11, false},
	} {
		if from, ok := compactable(c.blocks, 1000); ok != c.ok || ok && from != c.from {
			t.Errorf("%d: %d, %v", i, from, ok)
		}
	}
}

// TestAppendedFilesAreCompacted appends a thousand times and counts what is copied.
func TestAppendedFilesAreCompacted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		g, stop := start(t, st, Options{Every: time.Second, Grace: time.Second})
		leads(t, g)
		ask(g, "PUT", "/f?op=CREATE&namenoderpcaddress=x", "")
		want := ""
		for i := range 1000 {
			line := strings.Repeat("x", i%7+1)
			want += line
			if code, body := ask(g, "POST", "/f?op=APPEND&namenoderpcaddress=x", line); code != http.StatusOK {
				t.Fatal(code, body)
			}
			if i%10 == 0 {
				time.Sleep(time.Second) // of the bubble's clock
				synctest.Wait()
			}
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if code, body := ask(g, "GET", "/f?op=OPEN&namenoderpcaddress=x", ""); code != http.StatusOK || body != want {
			t.Error(code, len(body))
		}
		objects := 0
		for _, err := range st.List(t.Context(), "blocks/") {
			if err != nil {
				t.Fatal(err)
			}
			objects++
		}
		if stats := g.role.Load().Stats(); stats.Blocks > 24 || objects != stats.Blocks+stats.Dropped {
			t.Errorf("%d objects, %+v", objects, stats)
		}
		stop()
	})
}

// TestCompactedBlocksStayWhereNobodyKnows loses the answer for a compaction, and with it the leadership: the file has
// the blocks.
func TestCompactedBlocksStayWhereNobodyKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := fault.New(mem.New(), 1)
		g, full := New(st, Options{Every: time.Hour}), errs.E("disk", errs.Exhausted, nil, nil)
		ended := make(chan error, 1)
		go func() { ended <- g.Run(t.Context()) }()
		leads(t, g)
		ask(g, "PUT", "/f?op=CREATE&namenoderpcaddress=x", "")
		for range 8 {
			ask(g, "POST", "/f?op=APPEND&namenoderpcaddress=x", "hello")
		}
		st.Add(fault.Rule{Op: around.Commit, Match: string(Journal), Nth: 1, Effect: fault.LoseReply, Err: full})
		if err := g.compact(t.Context(), g.role.Load(), "/f"); !errors.Is(err, errs.Exhausted) {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, errs.Exhausted) {
			t.Error(err)
		}
		next, stop := start(t, st, Options{})
		leads(t, next)
		code, body := ask(next, "GET", "/f?op=OPEN&namenoderpcaddress=x", "")
		if want := strings.Repeat("hello", 8); code != http.StatusOK || body != want || next.role.Load().Stats().Blocks != 1 {
			t.Error(code, body)
		}
		stop()
	})
}

// TestWhoGivesUpHoldsNoLease ends a standby just when it gets the lease.
func TestWhoGivesUpHoldsNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, got, goOn := coordmem.New(), make(chan struct{}), make(chan struct{})
		late := lateLease{c, got, goOn}
		g := New(mem.New(), Options{Coord: late})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()
		<-got
		cancel()
		synctest.Wait()
		close(goOn)
		if err := <-ended; !errors.Is(err, errs.Canceled) {
			t.Error(err)
		}
		l, err := c.Client().Acquire(t.Context(), "gateway", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// lateLease gives a lease, and tells of it later.
type lateLease struct {
	coord.Coordinator
	got, goOn chan struct{}
}

func (c lateLease) Acquire(ctx context.Context, key coord.Key, ttl time.Duration) (coord.Lease, error) {
	l, err := c.Coordinator.Acquire(ctx, key, ttl)
	close(c.got)
	<-c.goOn
	return l, err
}

// TestFlushedFilesAreCompacted flushes a file often, as clients of hdfs:// do, and closes it when the gateway has kept
// house in between.
func TestFlushedFilesAreCompacted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		g, stop := start(t, st, Options{Every: time.Second})
		leads(t, g)
		l := g.role.Load()
		do := func(r namespace.Request) {
			t.Helper()
			r.Caller, r.Path, r.Holder = super(), "/f", "writer"
			if _, err := l.Do(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		do(namespace.Request{Op: namespace.OpCreate, BlockSize: 1 << 20, Replication: 1})
		for range 20 {
			blocks, err := block.Copy(t.Context(), st, strings.NewReader("hello"), 1<<20, l.NewBlock)
			if err != nil {
				t.Fatal(err)
			}
			do(namespace.Request{Op: namespace.OpAddBlocks, Blocks: blocks})
		}
		time.Sleep(2 * time.Second) // of the bubble's clock
		do(namespace.Request{Op: namespace.OpAddBlocks, Close: true})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		code, body := ask(g, "GET", "/f?op=OPEN&namenoderpcaddress=x", "")
		if n := l.Stats().Blocks; code != http.StatusOK || body != strings.Repeat("hello", 20) || n != 1 {
			t.Errorf("%d, %d bytes in %d blocks", code, len(body), n)
		}
		stop()
	})
}

// TestOneThatCannotBeCompactedIsInNobodysWay damages a block of the first of two files.
func TestOneThatCannotBeCompactedIsInNobodysWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		var told []error
		g, stop := start(t, st, Options{Every: time.Second, OnError: func(err error) { told = append(told, err) }})
		leads(t, g)
		for _, path := range []string{"/a", "/b"} {
			ask(g, "PUT", path+"?op=CREATE&namenoderpcaddress=x", "")
			for range 10 {
				ask(g, "POST", path+"?op=APPEND&namenoderpcaddress=x", "hello")
			}
		}
		l := g.role.Load()
		_, blocks, err := l.Blocks(super(), "/a")
		if err == nil {
			err = store.Put(t.Context(), st, block.ObjectName(blocks[5].ID), []byte("HELLO"))
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second) // of the bubble's clock
		synctest.Wait()
		if len(told) != 1 || !errors.Is(told[0], errs.Corrupt) {
			t.Errorf("told %v", told)
		}
		if n := l.Stats().Blocks; n != 11 {
			t.Errorf("there are %d blocks", n)
		}
		stop()
	})
}

// TestTheTrashIsEmptied holds that what is in the trash stays for its time, and goes.
func TestTheTrashIsEmptied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{}
		o.Web.Trash = time.Hour
		g, stop := start(t, mem.New(), o)
		leads(t, g)
		if _, body := ask(g, "GET", "/?op=GETSERVERDEFAULTS", ""); !strings.Contains(body, `"trashInterval":60`) {
			t.Error(body)
		}
		ask(g, "PUT", "/user/root/.Trash/Current/f?op=CREATE&namenoderpcaddress=x", "hello")
		ask(g, "PUT", "/user/root/.Trash/mine?op=MKDIRS", "")
		ask(g, "PUT", "/user/bob?op=MKDIRS", "")
		list := func() string {
			_, body := ask(g, "GET", "/user/root/.Trash?op=LISTSTATUS", "")
			return body
		}
		time.Sleep(59 * time.Minute) // of the bubble's clock
		synctest.Wait()
		if !strings.Contains(list(), "Current") {
			t.Error("closed too early:", list())
		}
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if text := list(); strings.Contains(text, "Current") || !strings.Contains(text, `"pathSuffix":"000101`) {
			t.Error("not closed:", text)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if text := list(); strings.Contains(text, "000101") || !strings.Contains(text, "mine") {
			t.Error("not as it should be:", text)
		}
		stop()
	})
}
