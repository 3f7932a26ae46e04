package fleet

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/infra/coord/consul"
	"github.com/seed3322913c/runner/infra/errs"
)

func TestRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recent[int]
		asked := 0
		find := func() (int, error) { asked++; return asked, nil }
		want := func(n int) {
			t.Helper()
			if got, err := r.get(find); got != n || err != nil {
				t.Errorf("%d, %v; want %d", got, err, n)
			}
		}
		if _, err := r.get(func() (int, error) { return 7, errs.E("find", errs.Unavailable, nil, nil) }); err == nil {
			t.Error("an error was lost")
		}
		want(1) // what failed is not remembered
		time.Sleep(trust - time.Nanosecond)
		want(1)
		time.Sleep(time.Nanosecond)
		want(2)
		r.forget()
		want(3)
	})
}

// TestLeaderIsRemembered: requests that follow each other closely need not ask Consul who leads.
func TestLeaderIsRemembered(t *testing.T) {
	var asked atomic.Int64
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		value := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"address":"https://control-%d"}`, asked.Add(1)))
		fmt.Fprintf(w, `[{"Key":"runner/control","Value":"%s","ModifyIndex":1}]`, value)
	}))
	defer agent.Close()
	at, err := consul.Open(consul.Options{Address: agent.URL, Prefix: keyPrefix, Client: agent.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	f := &Fleet{coord: at}
	want := func(want string) {
		t.Helper()
		if got, err := f.leader(t.Context()); got != want || err != nil {
			t.Errorf("the leader is %s, %v; want %s", got, err, want)
		}
	}
	want("https://control-1")
	f.leading.until = time.Now().Add(time.Hour) // however slow this machine is
	want("https://control-1")
	f.leading.forget()
	want("https://control-2")
}

func TestWary(t *testing.T) {
	var busy atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if busy.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	lost := 0
	client := http.Client{Transport: wary{&http.Transport{}, func() { lost++ }}}
	ask := func(want int) {
		t.Helper()
		if answer, err := client.Get(server.URL); err == nil {
			_ = answer.Body.Close() // it is empty
		}
		if lost != want {
			t.Errorf("lost %d times, want %d", lost, want)
		}
	}
	ask(0)
	busy.Store(true)
	ask(1)
	client.CloseIdleConnections()
	server.Close()
	ask(2)
}
