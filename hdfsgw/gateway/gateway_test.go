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

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	coordmem "github.com/seed3322913c/runner/infra/coord/mem"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store"
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

// TestAPausedLeaderDoesNotAnswer has a leader that was fenced and has not noticed.
func TestAPausedLeaderDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		old, stop := start(t, st, Options{})
		leads(t, old)
		l := old.role.Load()
		other, err := journal.Lead(t.Context(), st, Journal, namespace.New(namespace.Options{}), journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		l.seen.Store(0) // as if it had not looked for long
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
