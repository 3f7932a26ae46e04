package plainhttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/plainhttp"
)

// byNetHTTP reports whether net/http has read a request.
func byNetHTTP(r *http.Request) bool { return r.Context().Value(http.ServerContextKey) != nil }

// serve answers what is below /short as plain requests.
func serve(t *testing.T, h http.HandlerFunc) (s *httptest.Server, plain *plainhttp.Listener) {
	t.Helper()
	s = httptest.NewUnstartedServer(h)
	plain = plainhttp.New(s.Listener, h, func(target string) bool { return strings.HasPrefix(target, "/short") })
	s.Listener = plain
	s.Start()
	t.Cleanup(func() {
		s.Close()
		if err := plain.Drain(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s, plain
}

func dial(t *testing.T, s *httptest.Server) (net.Conn, *bufio.Reader) {
	t.Helper()
	nc, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc, bufio.NewReader(nc)
}

// answer reads one answer.
func answer(t *testing.T, in *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// TestWhoAnswers sends requests as they are on the wire, and each once more on its connection.
func TestWhoAnswers(t *testing.T) {
	s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%v %s %s %s%s %v", byNetHTTP(r), r.Method, r.Host, r.RequestURI, body, err)
	})
	long, longer := "X-Long: "+strings.Repeat("a", 2000)+"\r\n", "X-Long: "+strings.Repeat("a", 5000)+"\r\n"
	for _, test := range []struct{ request, want string }{
		{"GET /short?a=%20b HTTP/1.1\r\nHost: h\r\n\r\n", "false GET h /short?a=%20b <nil>"},
		{"PUT /short HTTP/1.1\r\nhost: h\r\ncontent-length:  0 \r\n\r\n", "false PUT h /short <nil>"},
		{"DELETE /short HTTP/1.1\r\nHost: h\r\n\r\n", "false DELETE h /short <nil>"},
		{"PUT /short HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody", "true PUT h /shortbody <nil>"},
		{"PUT /short HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n", "true PUT h /shortb <nil>"},
		{"PUT /short HTTP/1.1\r\nHost: h\nContent-Length: 4\r\n\r\nbody", "true PUT h /shortbody <nil>"},
		{"GET /long HTTP/1.1\r\nHost: h\r\n\r\n", "true GET h /long <nil>"},
		{"OPTIONS /short HTTP/1.1\r\nHost: h\r\n\r\n", "true OPTIONS h /short <nil>"},
		{"GET /short HTTP/1.1\r\nHost: h\r\n" + long + "\r\n", "false GET h /short <nil>"},
		{"GET /short HTTP/1.1\r\nHost: h\r\n" + longer + "\r\n", "true GET h /short <nil>"},
		{"GET /short HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", "true GET h /short <nil>"},
		{"GET /short HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n", "true GET h /short <nil>"},
		{"GET /short HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", "400 Bad Request"},
		{"GET /short HTTP/1.1\r\n\r\n", "400 Bad Request: missing required Host header"},
		{"GET /short HTTP/1.1\r\nHost: h\r\nno field\r\n\r\n", "400 Bad Request"},
		{"GET /short%zz HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request"},
	} {
		nc, in := dial(t, s)
		for range 2 {
			io.WriteString(nc, test.request)
			resp, got := answer(t, in, "GET")
			if got != test.want {
				t.Errorf("%.80q: %s, want %s", test.request, got, test.want)
			}
			if resp.Close {
				break
			}
		}
	}
}

// TestAnswersAreThoseOfNetHTTP compares what clients get.
func TestAnswersAreThoseOfNetHTTP(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"text":    func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") },
		"refused": func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusForbidden) },
		"moved": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://elsewhere/\r\nX-Injected: yes")
			w.Header().Set("Content-Length", "0")
			w.WriteHeader(http.StatusTemporaryRedirect)
		},
		"a page": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "25000")
			io.WriteString(w, strings.Repeat("hello", 5000))
		},
		"no content": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"long": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "a/b")
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour))
			for i := range 10_000 {
				fmt.Fprintf(w, "line %d\n", i)
			}
		},
	}
	s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answers[r.URL.Query().Get("want")](w, r)
	})
	for name := range answers {
		var got [2]http.Response
		var body [2]string
		for i, path := range []string{"short", "long"} {
			nc, in := dial(t, s)
			for range 2 { // the second tells that the first ended where it should
				fmt.Fprintf(nc, "GET /%s?want=%s HTTP/1.1\r\nHost: h\r\n\r\n", path, strings.ReplaceAll(name, " ", "+"))
				resp, text := answer(t, in, "GET")
				if _, err := http.ParseTime(resp.Header.Get("Date")); err != nil {
					t.Error(name, err)
				}
				resp.Header.Del("Date")
				got[i], body[i] = *resp, text
			}
		}
		if got[0].Status != got[1].Status || got[0].ContentLength != got[1].ContentLength || body[0] != body[1] ||
			!cmp.Equal(got[0].Header, got[1].Header) {
			t.Errorf("%s: %v, net/http answers %v", name, got[0], got[1])
		}
	}
}

// TestPipelined has two plain requests and a long one arrive at once.
func TestPipelined(t *testing.T) {
	s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path, byNetHTTP(r)) })
	nc, in := dial(t, s)
	for _, path := range []string{"short/1", "short/2", "long", "short/3"} {
		fmt.Fprintf(nc, "GET /%s HTTP/1.1\r\nHost: h\r\n\r\n", path)
	}
	for _, want := range []string{"/short/1false", "/short/2false", "/longtrue", "/short/3true"} {
		if _, got := answer(t, in, "GET"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestAPanicClosesTheConnection(t *testing.T) {
	s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("half of it", 10_000))
		panic(http.ErrAbortHandler)
	})
	resp, err := http.Get(s.URL + "/short")
	if err == nil {
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if resp, err := http.Get(s.URL + "/nowhere"); err == nil {
		resp.Body.Close()
	}
}

// TestClose has one connection wait for a request and another for its answer.
func TestClose(t *testing.T) {
	asked, answered := make(chan bool), make(chan bool)
	s, plain := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/short/slow" {
			asked <- true
			<-answered
		}
		io.WriteString(w, "done")
	})
	idle, idleIn := dial(t, s)
	io.WriteString(idle, "GET /short HTTP/1.1\r\nHost: h\r\n\r\n")
	answer(t, idleIn, "GET")
	busy, busyIn := dial(t, s)
	io.WriteString(busy, "GET /short/slow HTTP/1.1\r\nHost: h\r\n\r\n")
	<-asked
	if err := plain.Close(); err != nil {
		t.Error(err)
	}
	if _, err := idleIn.ReadByte(); !errors.Is(err, io.EOF) {
		t.Error("an idle connection:", err)
	}
	at, cancel := context.WithCancel(t.Context())
	cancel()
	if err := plain.Drain(at); !errors.Is(err, errs.Canceled) {
		t.Error("drained under way:", err)
	}
	close(answered)
	if _, got := answer(t, busyIn, "GET"); got != "done" {
		t.Error(got)
	}
	if _, err := busyIn.ReadByte(); !errors.Is(err, io.EOF) {
		t.Error("after the last answer:", err)
	}
	if err := plain.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}
