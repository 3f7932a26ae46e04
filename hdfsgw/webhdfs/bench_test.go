package webhdfs

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/journal"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// BenchmarkRequests shows what the handler takes of a request, one after the other and without a network.
func BenchmarkRequests(b *testing.B) {
	tree, st := namespace.New(namespace.Options{}), mem.New()
	leader, err := journal.Lead(b.Context(), st, "journal", tree, journal.Options{Segments: true})
	if err != nil {
		b.Fatal(err)
	}
	defer leader.Close()
	s := New(tree, namespace.NewService(tree, leader, nil), st, Options{})
	for _, test := range []struct {
		name, method string
		url          func(i int) string
	}{
		{"mkdirs", "PUT", func(i int) string { return fmt.Sprintf("d%d?op=MKDIRS", i) }},
		{"status", "GET", func(i int) string { return fmt.Sprintf("d%d?op=GETFILESTATUS", i%1000) }},
		{"list", "GET", func(i int) string { return fmt.Sprintf("d%d?op=LISTSTATUS", i%1000) }},
		{"rename", "PUT", func(i int) string {
			return fmt.Sprintf("d%d.%d?op=RENAME&destination=/tmp/load/d%[1]d.%d", i%1000, i/1000, i/1000+1)
		}},
	} {
		if test.name == "rename" {
			for i := range 1000 {
				s.ServeHTTP(&discard{header: http.Header{}}, httptest.NewRequest("PUT",
					fmt.Sprintf("%s/tmp/load/d%d.0?op=MKDIRS&user.name=root", prefix, i), nil))
			}
		}
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				r := httptest.NewRequest(test.method, prefix+"/tmp/load/"+test.url(i)+"&user.name=root", nil)
				w := &discard{header: http.Header{}}
				s.ServeHTTP(w, r)
				if w.status != http.StatusOK {
					b.Fatal(r.URL, w.status)
				}
			}
		})
	}
}

// discard is a client that does not listen.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
