package webhdfs

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/plainhttp"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// golden is a request and what a NameNode and a DataNode answered.
type golden struct {
	Name    string
	Method  string
	URL     string
	Sent    *string
	Headers map[string]string `json:"sent_headers"`
	Replies []struct {
		Status  int
		Headers map[string]string
		Body    string
	}
}

// differs are the cases in which the gateway does not answer as Hadoop does. docs/clients.md tells why.
var differs = map[string]string{
	"truncate_mid_block": "blocks may end anywhere, so it is done at once and the answer is true",
	"wrong_prefix":       "404 too, with another page of HTML",
	"snap_get_list":      "a snapshot's status has its own count of children, not the present directory's",
	"trash_roots":        "the reply has a time in it",
	"options":            "Allow is the same; there is no WADL document",
	"ec_policies":        "there is no erasure coding, so the list is empty",
	"ec_codecs":          "there is no erasure coding, so the list is empty",
}

// newServer serves an empty tree.
func newServer(t *testing.T, o Options) *httptest.Server {
	t.Helper()
	return newServerOf(t, mem.New(), o)
}

// newServerOf serves what is in a store.
func newServerOf(t *testing.T, st store.Store, o Options) *httptest.Server {
	t.Helper()
	return newServerBehind(t, st, o, func(l net.Listener) net.Listener { return l })
}

// newServerBehind is newServerOf with something in front of the connections.
func newServerBehind(
	t *testing.T, st store.Store, o Options, front func(net.Listener) net.Listener,
) *httptest.Server {
	t.Helper()
	tree := namespace.New(namespace.Options{})
	leader, err := journal.Lead(t.Context(), st, "journal", tree, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(New(tree, namespace.NewService(tree, leader, nil), st, o))
	s.Listener = plainhttp.New(front(s.Listener), s.Config.Handler, Short)
	s.Start()
	t.Cleanup(func() {
		s.Close()
		if err := leader.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask makes one request, with the URL as it is written, and does not follow.
func ask(t *testing.T, s *httptest.Server, method, target string, body io.Reader,
	headers map[string]string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	path, query, _ := strings.Cut(target, "?")
	plain, err := url.PathUnescape(path)
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Path, r.URL.RawPath, r.URL.RawQuery = plain, path, query
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	client := http.Client{
		Transport:     s.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(all)
}

// body makes a reader of what a golden sends.
func (g *golden) body() io.Reader {
	if g.Sent == nil {
		return nil
	}
	return strings.NewReader(*g.Sent)
}

// same compares JSON values; a string that begins with @ in want stands for anything.
func same(want, got any) bool {
	switch w := want.(type) {
	case string:
		g, isText := got.(string)
		return strings.HasPrefix(w, "@") || isText && match(w, g)
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for k, v := range w {
			if other, has := g[k]; !has || !same(v, other) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range w {
			if !same(w[i], g[i]) {
				return false
			}
		}
		return true
	}
	return cmp.Equal(want, got)
}

// match compares texts in which @ADDR stands for any address.
func match(want, got string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(want), "@ADDR", `[0-9.a-z]+:[0-9]+`)
	ok, err := regexp.MatchString("(?s)^"+pattern+"$", got)
	return ok && err == nil
}

func sameBody(want, got string) bool {
	var w, g any
	if json.Unmarshal([]byte(want), &w) == nil && json.Unmarshal([]byte(got), &g) == nil {
		return same(w, g)
	}
	return match(want, got)
}

// TestGoldens replays what was asked of a real NameNode, in order, from an empty namespace.
func TestGoldens(t *testing.T) {
	f, err := os.Open("testdata/webhdfs.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := newServer(t, Options{})
	// What the NameNode had before: an open root with four more directories, one of them a trash.
	for _, target := range []string{"/tmp", "/user/root/.Trash", "/mr", "/system"} {
		ask(t, s, "PUT", prefix+target+"?op=MKDIRS&user.name=root", nil, nil)
	}
	ask(t, s, "PUT", prefix+"/?op=SETPERMISSION&permission=777&user.name=root", nil, nil)
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	n := 0
	for ; lines.Scan(); n++ {
		var g golden
		if err := json.Unmarshal(lines.Bytes(), &g); err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprintf("%03d_%s", n, g.Name), func(t *testing.T) { replay(t, s, &g) })
	}
	if n != 234 {
		t.Errorf("%d goldens", n)
	}
}

func replay(t *testing.T, s *httptest.Server, g *golden) {
	target := g.URL
	var why []string
	for i, want := range g.Replies {
		resp, body := ask(t, s, g.Method, target, g.body(), g.Headers)
		if resp.StatusCode != want.Status {
			why = append(why, fmt.Sprintf("reply %d: status %d, want %d: %s", i, resp.StatusCode, want.Status, body))
			break
		}
		for _, header := range []string{"Content-Type", "Location", "Cache-Control"} {
			if w, got := want.Headers[strings.ToLower(header)], resp.Header.Get(header); !match(w, got) {
				why = append(why, fmt.Sprintf("reply %d: %s: %q, want %q", i, header, got, w))
			}
		}
		if !sameBody(want.Body, body) {
			why = append(why, fmt.Sprintf("reply %d: got  %s\nwant %s", i, body, want.Body))
		}
		target = strings.TrimPrefix(resp.Header.Get("Location"), s.URL)
	}
	_, may := differs[g.Name]
	switch {
	case len(why) > 0 && !may:
		t.Error(strings.Join(why, "\n"))
	case len(why) == 0 && may:
		t.Error("it is the same now: take it off the list")
	}
}
