package api

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/schedules"
	"github.com/seed3322913c/runner/scheduler"
	"github.com/seed3322913c/runner/scheduler/cron"
)

// TestPagesInOrder: a list is read on behind the page before, whatever has come or gone meanwhile.
func TestPagesInOrder(t *testing.T) {
	self := func(s string) string { return s }
	read := func(all []string, query string) (part []string, next string) {
		t.Helper()
		part, next, err := pageInOrder(httptest.NewRequest("GET", "/?"+query, nil), named, all, self)
		if err != nil {
			t.Fatal(err)
		}
		return part, next
	}
	first, next := read([]string{"d", "c", "b", "a"}, "limit=2")
	if !slices.Equal(first, []string{"d", "c"}) || next == "" {
		t.Fatalf("the first page is %q, next %q", first, next)
	}
	for what, all := range map[string][]string{
		"the same": {"d", "c", "b", "a"}, "new ones": {"f", "e", "d", "c", "b", "a"}, "the last is gone": {"d", "e", "b", "a"},
		"others are gone": {"c", "b", "a"},
	} {
		if second, end := read(all, "limit=9&after="+next); !slices.Equal(second, []string{"b", "a"}) || end != "" {
			t.Errorf("%s: %q, next %q", what, second, end)
		}
	}
	if none, end := read([]string{"a"}, "after=9.z"); len(none) > 0 || end != "" {
		t.Errorf("behind the end are %q, next %q", none, end)
	}
	if none, end := read([]string{"a"}, "limit=0"); len(none) > 0 || end != "" {
		t.Errorf("none are %q, next %q", none, end)
	}
	for _, wrong := range []string{"after=x", "after=-1.a", "limit=-1", "limit=10001"} {
		if _, _, err := pageInOrder(httptest.NewRequest("GET", "/?"+wrong, nil), named, first, self); err == nil {
			t.Errorf("%s was taken", wrong)
		}
	}
}

// TestQueuePages: all who wait are told, a page at a time.
func TestQueuePages(t *testing.T) {
	a, d := newControlAsker(t)
	d.waiting = nil
	for n := range 5 {
		d.waiting = append(d.waiting, client.Queued{Job: scheduler.JobID(fmt.Sprintf("7k2%c-words", 'a'+n))})
	}
	var got []scheduler.JobID
	for next := "0"; next != ""; {
		page := parse[client.QueueList](t, a.ask("GET", "/v1/queues?limit=2&after="+url.QueryEscape(next), "", 200,
			"QueueList"))
		for _, q := range page.Jobs {
			got = append(got, q.Job)
		}
		next = page.Next
	}
	if len(got) != 5 || got[0] != "7k2a-words" || got[4] != "7k2e-words" {
		t.Errorf("those who wait are %v", got)
	}
}

// TestVersionPages: of a function with many versions the latest are shown, and the client has them all.
func TestVersionPages(t *testing.T) {
	f := functionSite(t)
	folder := t.TempDir()
	const versions = client.LatestVersions + 5
	for n := range versions {
		for name, text := range map[string]string{
			pack.ManifestFile: "kind: handler\nname: sum\ncommand: sh sum.sh\n", "sum.sh": fmt.Sprint("echo ", n),
		} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := (pack.Registry{Store: f.Store}).Push(t.Context(), folder, pack.Live, "tester"); err != nil {
			t.Fatal(err)
		}
	}
	a := newClientOf(t, FunctionsPart(f))
	short := parse[pack.Function](t, a.ask("GET", "/v1/functions/sum", "", 200, "FunctionView"))
	if len(short.Versions) != client.LatestVersions || short.Versions[0].N != versions {
		t.Errorf("shown are %d versions from %d on", len(short.Versions), short.Versions[0].N)
	}
	whole, err := client.New(client.Options{URL: a.http.URL}).Function(t.Context(), "sum")
	if err != nil || len(whole.Versions) != versions || whole.Versions[versions-1].N != 1 {
		t.Errorf("the client has %d versions, %v", len(whole.Versions), err)
	}
	a.ask("GET", "/v1/functions/nobody/versions", "", 404, "Problem")
}

// TestFiringPages: the firings of a schedule are read a page at a time, the latest first, and by the client as a whole.
func TestFiringPages(t *testing.T) {
	book := cron.Book{Store: mem.New()}
	a := newClientOf(t, SchedulesPart(book, Compiler{Spec: compileDay}))
	a.ask("PUT", "/v1/schedules/daily", `{"cron": "0 0 0 1 1 * 2099", "spec": {"kind": "mapreduce"}}`,
		200, "Schedule") // the clock shall not fire it
	const triggers = schedules.Latest + 5
	for range triggers {
		a.ask("POST", "/v1/schedules/daily/trigger", "", 200, "Trigger")
	}
	fireAll(t, book, triggers)
	first := parse[client.FiringList](t, a.ask("GET", "/v1/schedules/daily/firings?limit=3", "", 200, "FiringList"))
	if len(first.Firings) != 3 || first.Next == "" {
		t.Fatalf("the first page is %+v", first)
	}
	second := parse[client.FiringList](t, a.ask("GET", "/v1/schedules/daily/firings?limit=1000&after="+
		url.QueryEscape(first.Next), "", 200, "FiringList"))
	if len(second.Firings) != triggers-3 || second.Next != "" || second.Firings[0].Slot.After(first.Firings[2].Slot) {
		t.Errorf("the second page is %+v", second)
	}
	if short := parse[schedules.View](t, a.ask("GET", "/v1/schedules/daily", "", 200,
		"Schedule")); len(short.Firings) != schedules.Latest {
		t.Errorf("%d firings are shown", len(short.Firings))
	}
	v, err := client.New(client.Options{URL: a.http.URL}).Schedule(t.Context(), "daily")
	if err != nil || len(v.Firings) != triggers {
		t.Errorf("the client has %d firings, %v", len(v.Firings), err)
	}
	a.ask("GET", "/v1/schedules/nobody/firings", "", 404, "Problem")
}
