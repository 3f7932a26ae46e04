package invoke_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/invoke"
	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/functions/wire"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
)

// TestMain makes the test's own binary a handler when a host starts it.
func TestMain(m *testing.M) {
	if os.Getenv(wire.EnvVar) != "" {
		functions.Main(functions.Answer[wish, string]{Name: "grant", Handle: grant})
	}
	os.Exit(m.Run())
}

// wish is what an event of the tests asks of the handler.
type wish struct {
	Say   string // the answer
	Fail  string // the error; with Until, as long as that file is not there
	Until string
	Mark  string // a file that gets a line for each attempt
	Exit  bool
	Hang  bool
	Eat   int  // bytes of memory
	Long  int  // bytes of the answer
	Nap   int  // milliseconds
	Log   int  // bytes of a line that is said, and nothing on standard error, which may come after the answer
	Temp  bool // the answer is the name of a temporary file, with what Say says
}

func grant(ctx context.Context, w wish) (string, error) {
	in := functions.InvocationOf(ctx)
	in.Logf("attempt %d for %q", in.Attempt, in.Key)
	if w.Log > 0 {
		in.Logf("%s", strings.Repeat("x", w.Log))
	} else {
		fmt.Fprintln(os.Stderr, "also heard")
	}
	granted := false // decided before the mark, which lets tests go on
	if w.Until != "" {
		_, err := os.Stat(w.Until)
		granted = err == nil
	}
	if w.Mark != "" {
		f, err := os.OpenFile(w.Mark, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(f, os.Getpid())
		if err := f.Close(); err != nil {
			return "", err
		}
	}
	if granted {
		return w.Say, nil
	}
	time.Sleep(time.Duration(w.Nap) * time.Millisecond) // what the handler of somebody does
	if w.Temp {
		f, err := os.CreateTemp("", "")
		if err != nil {
			return "", err
		}
		defer f.Close()
		if _, err := f.WriteString(w.Say); err != nil {
			return "", err
		}
		w.Say = f.Name()
	}
	switch {
	case w.Exit:
		fmt.Fprintln(os.Stderr, "out of here")
		os.Exit(3)
	case w.Eat > 0:
		eaten := bytes.Repeat([]byte{1}, w.Eat)
		<-ctx.Done()
		return "", fmt.Errorf("%d bytes are no problem", len(eaten))
	case w.Hang:
		time.Sleep(time.Hour) // the runtime would notice that nothing can happen any more
	case w.Fail == "invalid":
		return "", errs.Errorf("", errs.Invalid, nil, "no such wish")
	case w.Fail != "":
		return "", errors.New(w.Fail)
	case w.Long > 0:
		return strings.Repeat("x", w.Long), nil
	}
	return w.Say + os.Getenv("SUFFIX"), nil
}

// site is a store with a function, and a host of it.
type site struct {
	t    *testing.T
	st   store.Store
	dir  string
	host *invoke.Host
	crew invoke.Crew // nil: handlers are children of the host
}

const manifest = `kind: handler
name: grant
command: [%s]
entry: grant
environment: {SUFFIX: "!"}
retries: {attempts: 3, first: 1ms, most: 5ms}
`

func newSite(t *testing.T, more string) *site {
	t.Helper()
	dir := t.TempDir()
	st, err := file.New(filepath.Join(dir, "store"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, st: st, dir: dir}
	s.push(more)
	s.open()
	t.Cleanup(s.close)
	return s
}

func (s *site) push(more string) {
	s.t.Helper()
	folder := s.t.TempDir()
	text := fmt.Sprintf(manifest, os.Args[0]) + more
	if err := os.WriteFile(filepath.Join(folder, "function.yaml"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if _, _, err := (pack.Registry{Store: s.st}).Push(s.t.Context(), folder, pack.Live, "tester"); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) open() {
	s.t.Helper()
	var err error
	s.host, err = invoke.Open(s.t.Context(), s.st, invoke.Options{Dir: filepath.Join(s.dir, "local"), Most: 100, Crew: s.crew,
		KeepLogs: s.crew != nil, OnError: func(err error) { s.t.Log(err) }})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) close() {
	if err := s.host.Close(); err != nil {
		s.t.Error(err)
	}
}

func (s *site) ask(r invoke.Request) (invoke.Invocation, error) {
	s.t.Helper()
	if r.Function == "" {
		r.Function = "grant"
	}
	return s.host.Invoke(s.t.Context(), r)
}

// want asks, and compares the state and the result or error.
func (s *site) want(event string, state invoke.State, answer string) invoke.Invocation {
	s.t.Helper()
	inv, err := s.ask(invoke.Request{Event: []byte(event)})
	if err != nil {
		s.t.Fatal(err)
	}
	got := inv.Error
	if inv.State == invoke.Succeeded {
		got = string(inv.Result.Inline)
	}
	if inv.State != state || got != answer {
		s.t.Errorf("%s: %s %s, want %s %s", event, inv.State, got, state, answer)
	}
	return inv
}

func (s *site) log(inv invoke.Invocation) string {
	text, err := os.ReadFile(invoke.LogFile(filepath.Join(s.dir, "local"), inv.Function, inv.ID))
	if err != nil {
		s.t.Error(err)
	}
	return string(text)
}

func TestAnswers(t *testing.T) {
	s := newSite(t, "timeout: 10s\n")
	inv := s.want(`{"Say":"hello"}`, invoke.Succeeded, `"hello!"`)
	if inv.Attempts != 1 || inv.Took <= 0 || inv.Version != 1 {
		t.Errorf("it is %+v", inv)
	}
	if got := s.log(inv); !strings.Contains(got, "attempt 1 for \"\"\n") {
		t.Errorf("its log is %q", got)
	}
	s.want(`{"Fail":"the stove is off"}`, invoke.Dead, "the stove is off")
	if inv := s.want(`{"Fail":"invalid"}`, invoke.Dead, "no such wish"); inv.Attempts != 1 {
		t.Errorf("what is invalid was tried %d times", inv.Attempts)
	}
	inv = s.want(`{"Exit":true}`, invoke.Dead, "its handler exited with status 3, after it said: also heard out of here")
	if got := s.log(inv); inv.Attempts != 3 || strings.Count(got, "out of here") != 3 ||
		!strings.Contains(got, "attempt 3") {
		t.Errorf("after %d attempts the log is %q", inv.Attempts, got)
	}
	s.want(`{"Say":"there"}`, invoke.Succeeded, `"there!"`)
	if _, err := s.ask(invoke.Request{Function: "grand"}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("an unknown function: %v", err)
	}
	if _, err := s.ask(invoke.Request{Event: make([]byte, invoke.MaxPayload+1)}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("an event that is too long: %v", err)
	}
}

func TestTimeout(t *testing.T) {
	s := newSite(t, "timeout: 50ms\nconcurrency: 1\n")
	s.push("timeout: 100ms\n")
	s.want(`{"Hang":true}`, invoke.Dead, "it took longer than its timeout of 100ms, and its handler was killed")
}

func TestMemory(t *testing.T) {
	s := newSite(t, "memory: 128MiB\n")
	inv := s.want(`{"Eat":268435456}`, invoke.Dead, "its handler used more memory than the function may, and was killed")
	if inv.Attempts != 3 {
		t.Errorf("it was tried %d times", inv.Attempts)
	}
	s.want(`{"Say":"slim"}`, invoke.Succeeded, `"slim!"`)
}

// TestTemporaryFiles: what handlers put aside is theirs alone, and goes with them, however they end.
func TestTemporaryFiles(t *testing.T) {
	s := newSite(t, "concurrency: 1\n")
	inv, err := s.ask(invoke.Request{Function: "grant", Event: []byte(`{"Temp":true,"Say":"mine"}`)})
	if err != nil || inv.State != invoke.Succeeded {
		t.Fatal(inv, err)
	}
	path, err := strconv.Unquote(string(inv.Result.Inline))
	if err != nil {
		t.Fatal(err)
	}
	path = strings.TrimSuffix(path, "!")
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("it is %q, %v", text, err)
	}
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil || folder.Mode().Perm() != 0o700 || !strings.HasPrefix(path, s.dir) {
		t.Errorf("it is in %s, %v, %v", path, folder, err)
	}
	if inv, err = s.ask(invoke.Request{Function: "grant", Event: []byte(`{"Temp":true,"Exit":true}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(path)); inv.State != invoke.Dead || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its handler is gone: %s; its files: %v", inv.Error, err)
	}
	left := filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(path))), "left")
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	s.close()
	s.open()
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the next host leaves what the one before has left: %v", err)
	}
}

// TestTemplates: what Init makes works as it is.
func TestTemplates(t *testing.T) {
	s := newSite(t, "")
	for language, want := range map[string]string{
		"go": `{"greeting":"Hello, you!"}`, "python": `{"greeting": "Hello, you!"}`, "shell": `{"event":{"name":"you"}}`,
	} {
		folder := filepath.Join(t.TempDir(), "greet-"+language)
		if _, err := pack.Init(folder, language); err != nil {
			t.Fatal(err)
		}
		m, err := pack.ReadFolder(folder)
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		if err := pack.Build(t.Context(), folder, m, &log); err != nil {
			t.Fatalf("%v\n%s", err, log.String())
		}
		if _, _, err := (pack.Registry{Store: s.st}).Push(t.Context(), folder, pack.Live, "tester"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			inv, err := s.ask(invoke.Request{Function: m.Name, Event: []byte(`{"name":"you"}`)})
			if err != nil || string(inv.Result.Inline) != want {
				t.Errorf("%s: %s %s, %v", language, inv.Result.Inline, inv.Error, err)
			}
			if said := s.log(inv); !strings.Contains(said, "greeting you") &&
				!strings.Contains(said, "an event of 14 characters") {
				t.Errorf("%s said %q", language, said)
			}
		}
		inv, err := s.ask(invoke.Request{Function: m.Name, Event: []byte(`nonsense`)})
		if err != nil || language != "shell" && (inv.State != invoke.Dead || inv.Kind != "invalid" || inv.Attempts != 1) {
			t.Errorf("%s: nonsense is %+v, %v", language, inv, err)
		}
	}
}

// TestHandlersLiveOn: events that come one after the other are answered by one process, and many at once by as many as
// the manifest allows.
func TestHandlersLiveOn(t *testing.T) {
	s := newSite(t, "concurrency: 2\nidle: 20ms\n")
	mark := filepath.Join(s.dir, "mark")
	event := fmt.Appendf(nil, `{"Mark":%q}`, mark)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if inv, err := s.ask(invoke.Request{Event: event}); err != nil || inv.State != invoke.Succeeded {
				t.Errorf("%+v, %v", inv, err)
			}
		})
	}
	all.Wait()
	pids := map[string]bool{}
	text, err := os.ReadFile(mark)
	if err != nil {
		t.Fatal(err)
	}
	for pid := range bytes.FieldsSeq(text) {
		pids[string(pid)] = true
	}
	if n := bytes.Count(text, []byte("\n")); n != 20 || len(pids) > 20 {
		t.Errorf("%d events were answered by %d processes", n, len(pids))
	}
	for s.host.Handlers()["grant"] > 0 { // until they are idle for too long
		select {
		case <-t.Context().Done():
			t.Fatal("handlers are never ended")
		case <-time.After(time.Millisecond):
		}
	}
	s.want(`{"Say":"again"}`, invoke.Succeeded, `"again!"`)
}

func TestKeys(t *testing.T) {
	s := newSite(t, "")
	mark := filepath.Join(s.dir, "mark")
	var all sync.WaitGroup
	answers := make([]invoke.Invocation, 8)
	for i := range answers {
		all.Go(func() {
			var err error
			event := fmt.Appendf(nil, `{"Mark":%q,"Say":"%d"}`, mark, i)
			if answers[i], err = s.ask(invoke.Request{Key: "k", Event: event}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	s.close()
	s.open()
	later, err := s.ask(invoke.Request{Key: "k", Event: []byte(`{"Say":"later"}`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range answers {
		if a.ID != later.ID || string(a.Result.Inline) != string(later.Result.Inline) {
			t.Errorf("%s answered %s, and %s %s", a.ID, a.Result.Inline, later.ID, later.Result.Inline)
		}
	}
	if text, err := os.ReadFile(mark); err != nil || bytes.Count(text, []byte("\n")) != 1 {
		t.Errorf("the handler ran more than once: %s, %v", text, err)
	}
}

// TestLongPayloads go by reference, and objects go with what they belong to.
func TestLongPayloads(t *testing.T) {
	s := newSite(t, "")
	event := fmt.Appendf(nil, `{"Long":%d,"Say":"%s"}`, 2*invoke.MaxInline, strings.Repeat("y", invoke.MaxInline))
	inv, err := s.ask(invoke.Request{Event: event, Key: "long"})
	if err != nil || inv.Event.Object == "" || inv.Result.Object == "" {
		t.Fatalf("%+v, %v", inv, err)
	}
	result, err := invoke.Load(t.Context(), s.st, inv.Result)
	if err != nil || len(result) != 2*invoke.MaxInline+2 {
		t.Errorf("the result has %d bytes, %v", len(result), err)
	}
	if _, err := s.ask(invoke.Request{Event: event, Key: "long"}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for range s.st.List(t.Context(), "invocations/payloads/") {
		n++
	}
	if n != 2 {
		t.Errorf("there are %d objects, want the event and the result", n)
	}
	orphan := store.Name("invocations/payloads/aaaaaaaaaaaaaaaa/event")
	if err := store.Put(t.Context(), s.st, orphan, []byte("of a host that died")); err != nil {
		t.Fatal(err)
	}
	s.close()
	s.open()
	if _, err := s.st.Stat(t.Context(), orphan); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a payload of nobody stays: %v", err)
	}
	if _, err := invoke.Load(t.Context(), s.st, inv.Result); err != nil {
		t.Error(err)
	}
}

// TestAsync: what was accepted is done by the next host if this one does not get to it.
func TestAsync(t *testing.T) {
	s := newSite(t, "")
	ok := filepath.Join(s.dir, "ok")
	var ids []invoke.ID
	for range 5 {
		inv, err := s.ask(invoke.Request{Async: true, Event: fmt.Appendf(nil, `{"Hang":true,"Until":%q,"Say":"done"}`, ok)})
		if err != nil || inv.State != invoke.Queued {
			t.Fatalf("%+v, %v", inv, err)
		}
		ids = append(ids, inv.ID)
	}
	s.close()
	if err := os.WriteFile(ok, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.open()
	for _, id := range ids {
		if inv, err := s.host.Wait(t.Context(), id); err != nil || string(inv.Result.Inline) != `"done"` {
			t.Errorf("%+v, %v", inv, err)
		}
	}
	if _, err := s.host.Wait(t.Context(), "nobody"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("an unknown id: %v", err)
	}
}

func TestRedrive(t *testing.T) {
	s := newSite(t, "")
	ok := filepath.Join(s.dir, "ok")
	event := fmt.Sprintf(`{"Fail":"not yet","Until":%q,"Say":"now"}`, ok)
	first := s.want(event, invoke.Dead, "not yet")
	second := s.want(event, invoke.Dead, "not yet")
	if err := os.WriteFile(ok, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := s.host.Redrive(t.Context(), "grant", first.ID); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if inv, err := s.host.Wait(t.Context(), first.ID); err != nil || string(inv.Result.Inline) != `"now"` {
		t.Errorf("%+v, %v", inv, err)
	}
	if n, err := s.host.Redrive(t.Context(), "grant"); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if inv, err := s.host.Wait(t.Context(), second.ID); err != nil || inv.State != invoke.Succeeded {
		t.Errorf("%+v, %v", inv, err)
	}
	if _, err := s.host.Redrive(t.Context(), "grant", first.ID); errs.KindOf(err) != errs.NotFound {
		t.Errorf("what is no dead letter: %v", err)
	}
}

// TestTooMuch is refused, not kept waiting for ever.
func TestTooMuch(t *testing.T) {
	s := newSite(t, "concurrency: 1\n")
	hang := []byte(`{"Hang":true}`)
	for range 100 {
		if _, err := s.ask(invoke.Request{Async: true, Event: hang}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.ask(invoke.Request{Event: hang}); errs.KindOf(err) != errs.Exhausted {
		t.Errorf("the 101st: %v", err)
	}
}

// TestTwoHosts: the first to lead learns that it does not any more, and answers nothing.
func TestTwoHosts(t *testing.T) {
	s := newSite(t, "")
	s.want(`{"Say":"one"}`, invoke.Succeeded, `"one!"`)
	old := s.host
	s.open()
	if _, err := old.Invoke(t.Context(), invoke.Request{Function: "grant",
		Event: []byte(`{}`)}); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("a host that was replaced says %v", err)
	}
	<-old.Done()
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	s.want(`{"Say":"two"}`, invoke.Succeeded, `"two!"`)
}
