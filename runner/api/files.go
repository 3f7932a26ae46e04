package api

import (
	"cmp"
	"context"
	_ "embed"
	"io"
	"math"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/shell"
)

// Files is what may be looked at of gateways and buckets.
type Files struct {
	// Roots are the URIs below which everything may be looked at, as in hdfs://demo/. They end with a slash.
	Roots []string
	// Hidden are the URIs of folders below them that are nobody's business: what the system keeps for itself.
	Hidden []string
	Open   shell.Open
}

//go:embed files.json
var filesDoc []byte

var filesPage = pageSize{500, 5000}

// FilesPart lists folders, and sends files as text to look at, or as they are to keep. Files are read as who answers
// reads them, whoever asks.
func FilesPart(f Files) Part {
	return Part{Doc: filesDoc, Routes: []Route{
		{"GET /v1/files", access.Read, f.list},
		{"GET /v1/files/content", access.Read, f.content},
	}}
}

// found is a file or folder that may be looked at.
type found struct {
	shell.System
	uri  string
	path string
	namespace.Status
}

// find returns what the path of a request names.
func (f Files) find(r *http.Request) (found, error) {
	asked := r.URL.Query().Get("path")
	scheme, rest, _ := strings.Cut(asked, "://")
	authority, p, _ := strings.Cut(rest, "/")
	at := found{path: path.Clean("/" + p)}
	place := scheme + "://" + authority
	at.uri = place + at.path
	if !below(at.uri, f.Roots) || below(at.uri, f.Hidden) {
		return at, say.Errorf(errs.Permission, "%q is not among what is shown here", asked)
	}
	var err error
	if at.System, err = f.Open(r.Context(), place); err != nil {
		return at, err
	}
	at.Status, err = at.System.Status(r.Context(), at.path)
	if errs.KindOf(err) == errs.NotFound {
		return at, say.Errorf(errs.NotFound, "there is no %s", asked)
	}
	return at, err
}

// below reports whether a URI is one of some folders, or in one of them.
func below(uri string, folders []string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		folder = strings.TrimSuffix(folder, "/") + "/"
		return strings.HasPrefix(strings.TrimSuffix(uri, "/")+"/", folder)
	})
}

func (f Files) list(w http.ResponseWriter, r *http.Request) error {
	if !r.URL.Query().Has("path") {
		return writeJSON(w, client.FileList{Roots: append([]string{}, f.Roots...), Entries: []client.File{}})
	}
	at, err := f.find(r)
	if err != nil {
		return err
	}
	if !at.Dir {
		return say.Errorf(errs.Invalid, "%s is no folder", at.uri)
	}
	folder := client.FileList{Path: strings.TrimSuffix(at.uri, "/") + "/", Entries: []client.File{}}
	name := func(s namespace.Status) string {
		if below(folder.Path+s.Name, f.Hidden) {
			return ""
		}
		return s.Name
	}
	entries, next, err := pageOfSeq(r, filesPage, at.List(r.Context(), at.path), name)
	if err != nil {
		return err
	}
	for _, s := range entries {
		folder.Entries = append(folder.Entries, fileOf(s))
	}
	folder.Next = next
	return writeJSON(w, folder)
}

func fileOf(s namespace.Status) client.File {
	file := client.File{Name: s.Name, Folder: s.Dir, Owner: s.Owner}
	if !s.Dir {
		file.Bytes = s.Length
	}
	if s.Modified > 0 {
		file.Modified = time.UnixMilli(s.Modified).UTC()
	}
	return file
}

// content sends a piece of a file as text; with download=1 the whole file, to be kept.
func (f Files) content(w http.ResponseWriter, r *http.Request) error {
	offset, err := number(r, "offset", 0, math.MaxInt64)
	if err != nil {
		return err
	}
	whole, err := number(r, "download", 0, 1)
	if err != nil {
		return err
	}
	at, err := f.find(r)
	if err != nil {
		return err
	}
	if at.Dir {
		return say.Errorf(errs.Invalid, "%s is a folder", at.uri)
	}
	if whole == 1 {
		return at.download(r.Context(), w)
	}
	if offset >= at.Length {
		return writePiece(w, nil, offset)
	}
	piece := store.Range{Offset: offset, Length: min(maxPiece, at.Length-offset)}
	body, err := at.Objects().Open(r.Context(), at.name(), piece)
	if err != nil {
		return err
	}
	defer body.Close() // nothing was written
	text, err := io.ReadAll(io.LimitReader(body, maxPiece))
	if err != nil {
		return errs.E("api.Content", errs.Other, at.uri, err)
	}
	return writePiece(w, text, offset)
}

func (at found) name() store.Name { return store.Name(strings.TrimPrefix(at.path, "/")) }

// download sends a whole file, which no browser shows: it may be a page that somebody has made to do harm.
func (at found) download(ctx context.Context, w http.ResponseWriter) error {
	var body io.ReadCloser = http.NoBody
	if at.Length > 0 {
		var err error
		if body, err = at.Objects().Open(ctx, at.name(), store.Range{}); err != nil {
			return err
		}
	}
	defer body.Close() // nothing was written
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	named := mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(at.path)})
	h.Set("Content-Disposition", cmp.Or(named, "attachment")) // names may be no text
	h.Set("Content-Length", strconv.FormatInt(at.Length, 10))
	_, err := io.Copy(w, body)
	return gone(err) // it is shorter than it was said to be, so that who reads knows
}
