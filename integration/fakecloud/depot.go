package fakecloud

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"sync"
)

// depot answers for moto what every machine fetches when it boots, since moto is slow at it: programs, whose names have
// their checksums and so never mean anything else. All other requests go on to next.
type depot struct {
	next http.Handler
	moto *url.URL
	dir  string
	mu   struct {
		sync.Mutex
		kept map[string]*download // by path
	}
}

// download is a program that is fetched once.
type download struct {
	once   sync.Once
	file   string
	header http.Header
	err    error
}

// programs is the path of one, in whichever bucket: see nodeinit.Depot.
var programs = regexp.MustCompile(`/bin/[a-z]+-[0-9a-f]{64}$`)

func newDepot(next http.Handler, moto *url.URL, dir string) *depot {
	d := &depot{next: next, moto: moto, dir: dir}
	d.mu.kept = map[string]*download{}
	return d
}

func (d *depot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.Header.Get("Range") != "" || !programs.MatchString(r.URL.Path) {
		d.next.ServeHTTP(w, r)
		return
	}
	d.mu.Lock()
	one := d.mu.kept[r.URL.Path]
	if one == nil {
		one = new(download)
		d.mu.kept[r.URL.Path] = one
	}
	d.mu.Unlock()
	one.once.Do(func() { one.err = d.fetch(one, r) })
	file, err := os.Open(one.file)
	if one.err != nil || err != nil {
		d.next.ServeHTTP(w, r)
		return
	}
	defer file.Close() // only read
	for k, v := range one.header {
		w.Header()[k] = v
	}
	_, _ = io.Copy(w, file) // machines end in the middle of what they fetch
}

// fetch asks moto for what a request wants.
func (d *depot) fetch(one *download, r *http.Request) error {
	ask, err := http.NewRequest(http.MethodGet, d.moto.JoinPath(r.URL.Path).String()+"?"+r.URL.RawQuery, nil)
	if err != nil {
		return err
	}
	ask.Header = r.Header.Clone()
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return err
	}
	defer answer.Body.Close() // read to its end, or given up
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("moto answers %s to %s", answer.Status, r.URL.Path)
	}
	file, err := os.CreateTemp(d.dir, "program")
	if err != nil {
		return err
	}
	_, err = io.Copy(file, answer.Body)
	one.file, one.header = file.Name(), answer.Header
	return errors.Join(err, file.Close())
}
