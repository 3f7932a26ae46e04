package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/client"
)

// functionSite is a host with the function that templates make for the shell, called greet.
func functionSite(t *testing.T) Functions {
	t.Helper()
	st, dir := mem.New(), t.TempDir()
	folder := filepath.Join(dir, "greet")
	if _, err := pack.Init(folder, "shell"); err != nil {
		t.Fatal(err)
	}
	handler := "handle() {\n event=$(cat)\n echo heard >&2\n [ \"$event\" != bad ] && printf " +
		"'{\"event\":%s}' \"$event\"\n}\n. ./runner.sh\n"
	more := "kind: handler\nname: greet\ncommand: sh handler.sh\nretries: {attempts: 2, first: 1ms}\n"
	for name, text := range map[string]string{"handler.sh": handler, "function.yaml": more} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := (pack.Registry{Store: st}).Push(t.Context(), folder, pack.Live, "tester"); err != nil {
		t.Fatal(err)
	}
	host, err := invoke.Open(t.Context(), st, invoke.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := host.Close(); err != nil {
			t.Error(err)
		}
	})
	return Functions{Store: st, Host: host, Dir: dir, Ledger: func(context.Context) (*invoke.Ledger, error) {
		return host.Ledger(), nil
	}}
}

func TestFunctions(t *testing.T) {
	f := functionSite(t)
	c := newClientOf(t, FunctionsPart(f))
	if got := c.ask("POST", "/v1/functions/greet/invocations", `{"a":1}`, 200, ""); string(got) != `{"event":{"a":1}}` {
		t.Errorf("the answer is %s", got)
	}
	id := parse[client.Invocation](t, c.ask("POST", "/v1/functions/greet@1/invocations?async=1", `7`, 202, "Invocation")).ID
	if got := c.ask("GET", "/v1/invocations/"+string(id)+"/result?wait=300", "", 200, ""); string(got) != `{"event":7}` {
		t.Errorf("the answer is %s", got)
	}
	if inv := parse[client.Invocation](t, c.ask("GET", "/v1/invocations/"+string(id), "", 200,
		"Invocation")); inv.State != invoke.Succeeded {
		t.Errorf("it is %+v", inv)
	}
	c.ask("GET", "/v1/invocations/"+string(id)+"/log?offset=1", "", 200, "")

	dead := c.ask("POST", "/v1/functions/greet/invocations", `bad`, 500, "Problem")
	if want := `"greet failed 2 times, the last one: the handler exited with status 1"`; !strings.Contains(string(dead),
		want) {
		t.Errorf("a dead letter is %s, want %s", dead, want)
	}
	list := parse[client.FunctionList](t, c.ask("GET", "/v1/functions", "", 200, "FunctionList"))
	if s := list.Functions[0].Stats; s.Succeeded != 2 || s.Dead != 1 || s.P50 <= 0 {
		t.Errorf("the function does %+v", s)
	}
	c.ask("GET", "/v1/functions/greet", "", 200, "FunctionView")
	page := parse[client.InvocationList](t, c.ask("GET", "/v1/functions/greet/invocations?limit=1&after=1.nobody", "", 200,
		"InvocationList"))
	if page.Total != 3 || len(page.Invocations) != 1 || page.Invocations[0].ID != id {
		t.Errorf("the page is %+v", page)
	}
	letters := parse[client.InvocationList](t, c.ask("GET", "/v1/functions/greet/invocations?state=DEAD", "", 200,
		"InvocationList"))
	if letters.Total != 1 {
		t.Errorf("the dead letters are %+v", letters)
	}
	c.ask("GET", "/v1/invocations/"+string(letters.Invocations[0].ID)+"/result", "", 500, "Problem")
	c.ask("POST", "/v1/functions/greet/redrive", `{"invocations":["`+string(letters.Invocations[0].ID)+`"]}`, 200,
		"Redriven")
	c.ask("POST", "/v1/functions/greet/redrive", `{"invocations":["nobody"]}`, 404, "Problem")
	for _, path := range []string{
		"/v1/functions/great", "/v1/functions/great/invocations", "/v1/invocations/nobody", "/v1/invocations/nobody/result",
		"/v1/invocations/nobody/log",
	} {
		c.ask("GET", path, "", 404, "Problem")
	}
	c.ask("POST", "/v1/functions/great/invocations", "{}", 404, "Problem")
	c.ask("GET", "/v1/functions/greet/invocations?state=SLEEPING", "", 400, "Problem")
}

// TestKeysOverHTTP: a retry gets the first result, and what is long comes whole.
func TestKeysOverHTTP(t *testing.T) {
	f := functionSite(t)
	c := newClientOf(t, FunctionsPart(f))
	long := `"` + strings.Repeat("x", 2*invoke.MaxInline) + `"`
	var ids []string
	for _, event := range []string{long, `"other"`} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", c.http.URL+"/v1/functions/greet/invocations",
			strings.NewReader(event))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(KeyHeader, "k")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.Body.Close() != nil || string(text) != `{"event":`+long+`}` {
			t.Errorf("%v: %d bytes", err, len(text))
		}
		ids = append(ids, resp.Header.Get(InvocationHeader))
	}
	if ids[0] == "" || ids[0] != ids[1] {
		t.Errorf("the invocations are %q", ids)
	}
	if data, err := store.Get(t.Context(), f.Store, store.Name("invocations/payloads/"+ids[0]+"/event"),
		1<<20); err != nil ||
		string(data) != long {
		t.Errorf("the event is not where it should be: %v", err)
	}
}

// TestForward: a server that is not the host asks it.
func TestForward(t *testing.T) {
	f := functionSite(t)
	f.Host, f.Forward = nil, func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, err := io.WriteString(w, "asked for "+r.URL.Path)
		return err
	}
	c := newClientOf(t, FunctionsPart(f))
	if got := c.ask("POST", "/v1/functions/greet/invocations", "{}", 200,
		""); string(got) != "asked for /v1/functions/greet/invocations" {
		t.Errorf("the answer is %s", got)
	}
	c.ask("GET", "/v1/functions/greet", "", 200, "FunctionView")
}

// TestLogsInTheJournal are told by everybody who reads it.
func TestLogsInTheJournal(t *testing.T) {
	ledger := new(invoke.Ledger)
	err := ledger.Restore(nil)
	for _, record := range []string{
		`{"op":"accepted","id":"i","function":"greet","version":1,"event":{"size":0}}`,
		`{"op":"succeeded","id":"i","result":{"size":0},"log":"aGVhcmQ="}`,
	} {
		err = errors.Join(err, ledger.Apply([]byte(record)))
	}
	if err != nil {
		t.Fatal(err)
	}
	f := Functions{Store: mem.New(), Ledger: func(context.Context) (*invoke.Ledger, error) { return ledger, nil }}
	c := newClientOf(t, FunctionsPart(f))
	for offset, want := range map[string]string{"0": "heard", "2": "ard", "9": ""} {
		if got := string(c.ask("GET", "/v1/invocations/i/log?offset="+offset, "", 200, "")); got != want {
			t.Errorf("from %s on the log is %q", offset, got)
		}
	}
}

// TestLogsWithoutHost: logs that are in the store are read without the host.
func TestLogsWithoutHost(t *testing.T) {
	f := functionSite(t)
	inv, err := f.Host.Invoke(t.Context(), invoke.Request{Function: "greet", Event: []byte(`1`)})
	if err != nil {
		t.Fatal(err)
	}
	f.Host, f.Dir = nil, ""
	f.Forward = func(w http.ResponseWriter, _ *http.Request) error { return writePiece(w, []byte("by its host"), 0) }
	c := newClientOf(t, FunctionsPart(f))
	log := func(offset string) string {
		return string(c.ask("GET", "/v1/invocations/"+string(inv.ID)+"/log?offset="+offset, "", 200, ""))
	}
	if got := log("0"); got != "by its host" {
		t.Errorf("the log is %q", got)
	}
	if err := store.Put(t.Context(), f.Store, invoke.LogObject(inv.ID), []byte("kept")); err != nil {
		t.Fatal(err)
	}
	for offset, want := range map[string]string{"0": "kept", "2": "pt", "9": ""} {
		if got := log(offset); got != want {
			t.Errorf("from %s on the log is %q", offset, got)
		}
	}
}
