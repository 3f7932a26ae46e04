package webhdfs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3322913c/runner/infra/store/mem"
)

// send follows the redirect of a CREATE or APPEND as clients do.
func send(t *testing.T, s *httptest.Server, method, target string, data io.Reader) (int, string) {
	t.Helper()
	resp, body := ask(t, s, method, target, nil, nil)
	if resp.StatusCode != http.StatusTemporaryRedirect {
		return resp.StatusCode, body
	}
	resp, body = ask(t, s, method, strings.TrimPrefix(resp.Header.Get("Location"), s.URL), data, nil)
	return resp.StatusCode, body
}

// fetch reads a file.
func fetch(t *testing.T, s *httptest.Server, path, query string) string {
	t.Helper()
	resp, _ := ask(t, s, "GET", prefix+path+"?op=OPEN&user.name=root"+query, nil, nil)
	resp, body := ask(t, s, "GET", strings.TrimPrefix(resp.Header.Get("Location"), s.URL), nil, nil)
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, body)
	}
	return body
}

func TestLongFilesAreStreamed(t *testing.T) {
	s := newServer(t, Options{BlockSize: 1 << 20})
	data := strings.Repeat("0123456789abcdef", 200_000) // more than three blocks
	if status, body := send(t, s, "PUT", prefix+"/f?op=CREATE&user.name=root", strings.NewReader(data)); status != 201 {
		t.Fatal(status, body)
	}
	if fetch(t, s, "/f", "") != data {
		t.Error("other bytes came back")
	}
	if got := fetch(t, s, "/f", "&offset=1048570&length=20"); got != data[1048570:1048590] {
		t.Errorf("across a block's end: %q", got)
	}
	for range 2 {
		if status, body := send(t, s, "POST", prefix+"/f?op=APPEND&user.name=root", strings.NewReader(data)); status != 200 {
			t.Fatal(status, body)
		}
	}
	if fetch(t, s, "/f", "") != data+data+data {
		t.Error("other bytes came back after appending")
	}
}

// brokenBody ends with an error after some bytes, as a client that dies does.
type brokenBody struct {
	rest *bytes.Reader
}

func (b brokenBody) Read(p []byte) (int, error) {
	if b.rest.Len() == 0 {
		return 0, fmt.Errorf("the client died")
	}
	return b.rest.Read(p)
}

// TestADeadClientLeavesNothingOrAPrefix holds HDFS's rule; the file must not stay open either.
func TestADeadClientLeavesNothingOrAPrefix(t *testing.T) {
	s := newServer(t, Options{BlockSize: 1 << 20})
	for _, size := range []int{100, 3 << 20} {
		path := fmt.Sprintf("/dead-%d", size)
		target := prefix + path + "?op=CREATE&user.name=root&namenoderpcaddress=x"
		body := brokenBody{bytes.NewReader(make([]byte, size))}
		r, err := http.NewRequestWithContext(t.Context(), "PUT", s.URL+target, body)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := s.Client().Do(r); err == nil {
			resp.Body.Close()
			t.Fatal("the client did not die:", resp.Status)
		}
	}
	// Closing waits for the handlers; a server of the same tree then shows what they left.
	s.CloseClientConnections()
	h := s.Config.Handler.(*Server)
	s.Close()
	again := httptest.NewServer(h)
	defer again.Close()
	resp, _ := ask(t, again, "GET", prefix+"/dead-100?op=GETFILESTATUS", nil, nil)
	if resp.StatusCode != http.StatusNotFound {
		t.Error("a short file:", resp.Status)
	}
	if h.tree.Stats().Open != 0 {
		t.Error("a file is still open")
	}
}

func TestTokens(t *testing.T) {
	s := newServer(t, Options{Tokens: map[string]string{"secret": "root", "other": "bob"}})
	for i, c := range []struct {
		query  string
		header string
		want   int
	}{
		{"", "", 401}, {"&user.name=root", "", 401}, {"&delegation=wrong", "", 401}, {"&delegation=secret", "", 200},
		{"", "Bearer secret", 200}, {"&user.name=root", "Bearer other", 403}, {"&doas=root", "Bearer other", 403},
	} {
		headers := map[string]string{}
		if c.header != "" {
			headers["Authorization"] = c.header
		}
		resp, body := ask(t, s, "PUT", fmt.Sprintf("%s/d%d?op=MKDIRS%s", prefix, i, c.query), nil, headers)
		if resp.StatusCode != c.want {
			t.Errorf("%+v: %s %s", c, resp.Status, body)
		}
	}
	resp, _ := ask(t, s, "PUT", prefix+"/f?op=CREATE&delegation=secret", nil, nil)
	data := strings.TrimPrefix(resp.Header.Get("Location"), s.URL)
	if resp, _ = ask(t, s, "PUT", data, strings.NewReader("x"), nil); resp.StatusCode != 201 {
		t.Error("the redirect lost the token:", resp.Status)
	}
}

func TestExternalURL(t *testing.T) {
	s := newServer(t, Options{External: "https://gw.example:443/"})
	resp, _ := ask(t, s, "PUT", prefix+"/f?op=CREATE&user.name=root", nil, nil)
	if got := resp.Header.Get("Location"); !strings.HasPrefix(got, "https://gw.example:443/webhdfs/v1/f?op=CREATE&") {
		t.Error(got)
	}
}

// TestEveryPrintableName holds that paths are decoded exactly once.
func TestEveryPrintableName(t *testing.T) {
	s := newServer(t, Options{})
	for b := byte(0x21); b < 0x7f; b++ {
		if b == '/' || b == ':' || b == '.' {
			continue
		}
		name := "/x" + string(rune(b)) + "%41"
		path := prefix + url.PathEscape(name[1:])
		path = prefix + "/" + path[len(prefix):]
		if status, body := send(t, s, "PUT", path+"?op=CREATE&user.name=root", strings.NewReader(name)); status != 201 {
			t.Errorf("%q: %d %s", name, status, body)
			continue
		}
		resp, body := ask(t, s, "GET", path+"?op=GETFILESTATUS", nil, nil)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%q: %s", name, body)
		}
		resp, body = ask(t, s, "DELETE", path+"?op=DELETE&user.name=root", nil, nil)
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, "true") {
			t.Errorf("%q: %s", name, body)
		}
	}
}

// TestDifferencesAreDocumented keeps docs/clients.md and the list of differences in step.
func TestDifferencesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, why := range differs {
		if !strings.Contains(string(text), "| `"+name+"` | "+why+" |") {
			t.Errorf("docs/clients.md lacks: | `%s` | %s |", name, why)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("GET", "/a/b", "op=LISTSTATUS")
	f.Add("PUT", "/a%2Fb", "op=SETACL&aclspec=default:user::rwx&user.name=root")
	f.Add("GET", "/f", "op=OPEN&offset=9223372036854775807&length=1&namenoderpcaddress=x")
	f.Add("PUT", "/f", "op=CREATE&namenoderpcaddress=x&blocksize=1&user.name=root")
	f.Add("PUT", "/f", "op=SETXATTR&xattr.name=user.a&xattr.value=0x0&flag=CREATE&user.name=root")
	f.Fuzz(func(t *testing.T, method, path, query string) {
		s := newServer(t, Options{})
		h := s.Config.Handler
		for _, target := range []string{path, "/f"} {
			u := &url.URL{Path: prefix + target, RawQuery: query}
			r := (&http.Request{Method: method, URL: u, Host: "h:1", Header: http.Header{}, RemoteAddr: "c:1",
				Body: io.NopCloser(strings.NewReader("body"))}).WithContext(context.Background())
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code >= 500 {
				t.Errorf("%s %s?%s: %d", method, path, query, w.Code)
			}
		}
	})
}

// TestIsUser holds that names are those which Hadoop's expression matches.
func TestIsUser(t *testing.T) {
	domain := regexp.MustCompile(userDomain)
	names := []string{"", "$", "a", "_", "A1", "1a", "a.b-c_d$", "a$b", "a$$", "é", "a b", "@", "[", "`", "{", ".a", "-", "z9"}
	for c := range 256 {
		names = append(names, string([]byte{byte(c)}), "a"+string([]byte{byte(c)}))
	}
	for _, name := range names {
		if got := name != "" && isUser(name); got != domain.MatchString(name) {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// pipes is a listener whose connections are in memory, so that a bubble's clock says when they are cut off.
type pipes struct {
	net.Listener // for its address
	dialed       chan net.Conn
	closed       chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case nc := <-p.dialed:
		return nc, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return p.Listener.Close()
}

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p.dialed <- there
	return here, nil
}

// TestSlowBodies has clients that stop sending, and that stop taking; both are cut off, and others are served.
func TestSlowBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{dialed: make(chan net.Conn), closed: make(chan struct{})}
		s := newServerBehind(t, mem.New(), Options{Transfers: 2}, func(inner net.Listener) net.Listener {
			l.Listener = inner
			return l
		})
		s.Client().Transport.(*http.Transport).DialContext = l.dial
		begin := func(request string) net.Conn {
			conn, err := l.dial(t.Context(), "", "")
			if err == nil {
				_, err = io.WriteString(conn, request)
			}
			if err != nil {
				t.Fatal(err)
			}
			return conn
		}
		target := prefix + "/f?op=CREATE&overwrite=true&user.name=root&namenoderpcaddress=x"
		for range 4 { // more than are served at once
			conn := begin("PUT " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this")
			answer, err := io.ReadAll(conn)
			if err != nil || !bytes.Contains(answer, []byte("403 Forbidden")) {
				t.Errorf("%q, %v", answer, err)
			}
		}
		data := strings.Repeat("0123456789abcdef", 1<<16)
		if status, body := send(t, s, "PUT", prefix+"/f?op=CREATE&overwrite=true&user.name=root",
			strings.NewReader(data)); status != 201 {
			t.Fatal(status, body)
		}
		began := time.Now()
		for range 2 {
			defer begin("GET " + prefix + "/f?op=OPEN&user.name=root&namenoderpcaddress=x HTTP/1.1\r\nHost: x\r\n\r\n").Close()
		}
		synctest.Wait() // both have their places
		for range 2 {   // these wait until the others are cut off
			if fetch(t, s, "/f", "") != data {
				t.Error("other bytes came back")
			}
		}
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("they waited for %v", waited)
		}
	})
}

// TestAHugeDirectoryIsListedWhole lists more entries than there are in a page, and what lies between two pages.
func TestAHugeDirectoryIsListedWhole(t *testing.T) {
	for n, limit := range map[int]int{0: 3, 3: 3, 4: 3, 100: 7, 99: 99} {
		s := newServer(t, Options{ListLimit: limit})
		var want []string
		for i := range n {
			want = append(want, fmt.Sprintf("f\"%03d<&é", i))
			path := prefix + "/d/" + url.PathEscape(want[i])
			if resp, body := ask(t, s, "PUT", path+"?op=MKDIRS&user.name=root", nil, nil); resp.StatusCode != 200 {
				t.Fatal(resp.Status, body)
			}
		}
		ask(t, s, "PUT", prefix+"/d?op=MKDIRS&user.name=root", nil, nil)
		resp, body := ask(t, s, "GET", prefix+"/d?op=LISTSTATUS", nil, nil)
		var doc struct {
			FileStatuses struct {
				FileStatus []struct{ PathSuffix, Type string }
			}
		}
		if err := json.Unmarshal([]byte(body), &doc); err != nil || resp.Header.Get("Content-Type") != "application/json" {
			t.Fatal(n, limit, err, resp.Header)
		}
		var got []string
		for _, f := range doc.FileStatuses.FileStatus {
			got = append(got, f.PathSuffix)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d entries, %d on a page: %q", n, limit, got)
		}
	}
}

// TestUmaskAndDefaultACL holds that below a default ACL the mode counts that was asked for before the umask.
func TestUmaskAndDefaultACL(t *testing.T) {
	s := newServer(t, Options{})
	for _, request := range []string{"/d?op=MKDIRS", "/d?op=SETACL&aclspec=user::rwx,group::r-x,other::r-x," +
		"default:user::rwx,default:group::rwx,default:other::r-x", "/d/sub/deep?op=MKDIRS&permission=700&unmaskedpermission=777",
		"/e?op=MKDIRS&permission=700&unmaskedpermission=777"} {
		if resp, body := ask(t, s, "PUT", prefix+request+"&user.name=root", nil, nil); resp.StatusCode != 200 {
			t.Fatal(request, resp.Status, body)
		}
	}
	target := prefix + "/d/f?op=CREATE&permission=600&unmaskedpermission=666&user.name=root"
	if status, body := send(t, s, "PUT", target, strings.NewReader("x")); status != 201 {
		t.Fatal(status, body)
	}
	for path, want := range map[string]string{"/d/sub": "775", "/d/sub/deep": "775", "/e": "700", "/d/f": "664"} {
		_, body := ask(t, s, "GET", prefix+path+"?op=GETFILESTATUS", nil, nil)
		if !strings.Contains(body, `"permission":"`+want+`"`) {
			t.Errorf("%s: not %s: %s", path, want, body)
		}
	}
}
