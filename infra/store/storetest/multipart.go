package storetest

import (
	"slices"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// runMultipart tests the ability to take uploads, of stores that have it.
func runMultipart(t *testing.T, open func(t *testing.T) store.Store) {
	if _, ok := store.MultipartOf(open(t)); !ok {
		return
	}
	for _, c := range []struct {
		name string
		test func(*testing.T, store.Store, store.Multipart)
	}{
		{"Complete", testUploadComplete},
		{"CompleteTwice", testUploadTwice},
		{"IfAbsent", testUploadIfAbsent},
		{"Abort", testUploadAbort},
		{"Empty", testUploadEmpty},
		{"BadParts", testUploadBadParts},
		{"List", testUploadList},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := open(t)
			m, ok := store.MultipartOf(st)
			if !ok {
				t.Fatal("some of these stores take uploads, and this one does not")
			}
			c.test(t, st, m)
		})
	}
}

func begin(t *testing.T, m store.Multipart, name store.Name) store.Upload {
	t.Helper()
	u, err := m.BeginUpload(t.Context(), name)
	if err != nil || u.Name != name || u.ID == "" || u.Token == "" {
		t.Fatalf("begin %q: %+v, %v", name, u, err)
	}
	return u
}

func part(t *testing.T, m store.Multipart, u store.Upload, number int, data []byte) store.Part {
	t.Helper()
	p, err := m.UploadPart(t.Context(), u, number, data)
	if err != nil || p.Number != number || p.Size != int64(len(data)) {
		t.Fatalf("part %d of %q: %+v, %v", number, u.Name, p, err)
	}
	return p
}

func testUploadComplete(t *testing.T, st store.Store, m store.Multipart) {
	data := Pattern(2*store.MinPart+777, 5)
	u := begin(t, m, "up/a")
	third := part(t, m, u, 3, data[2*store.MinPart:])
	part(t, m, u, 1, Pattern(store.MinPart, 99)) // replaced below
	second := part(t, m, u, 2, data[store.MinPart:2*store.MinPart])
	first := part(t, m, u, 1, data[:store.MinPart])
	wantAbsent(t, st, "up/a")
	if err := m.CompleteUpload(t.Context(), u, []store.Part{first, second, third}); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "up/a", []byte(get(t, st, "up/a")), data)
}

// A successor completes again what a predecessor may have completed.
func testUploadTwice(t *testing.T, st store.Store, m store.Multipart) {
	u := begin(t, m, "a")
	parts := []store.Part{part(t, m, u, 1, []byte("all"))}
	for range 2 {
		if err := m.CompleteUpload(t.Context(), u, parts, store.IfAbsent()); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.AbortUpload(t.Context(), u); err != nil {
		t.Errorf("abort after completion: %v", err)
	}
	if got := get(t, st, "a"); got != "all" {
		t.Errorf("got %q", got)
	}
	again := func() {
		t.Helper()
		if err := m.CompleteUpload(t.Context(), u, parts); err != nil {
			wantKind(t, err, errs.NotFound)
		}
	}
	put(t, st, "a", "theirs")
	again()
	if got := get(t, st, "a"); got != "theirs" {
		t.Errorf("completed again, over %q", got)
	}
	if err := st.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	again()
	wantAbsent(t, st, "a")
}

func testUploadIfAbsent(t *testing.T, st store.Store, m store.Multipart) {
	one, two := begin(t, m, "a"), begin(t, m, "a")
	ones := []store.Part{part(t, m, one, 1, []byte("same bytes"))}
	twos := []store.Part{part(t, m, two, 1, []byte("same bytes"))}
	if err := m.CompleteUpload(t.Context(), two, twos, store.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	wantKind(t, m.CompleteUpload(t.Context(), one, ones, store.IfAbsent()), errs.Exist)
	if err := m.CompleteUpload(t.Context(), one, ones); err != nil {
		t.Errorf("unconditionally: %v", err)
	}
	if got := get(t, st, "a"); got != "same bytes" {
		t.Errorf("got %q", got)
	}
}

func testUploadAbort(t *testing.T, st store.Store, m store.Multipart) {
	u := begin(t, m, "a")
	parts := []store.Part{part(t, m, u, 1, []byte("x"))}
	for range 2 {
		if err := m.AbortUpload(t.Context(), u); err != nil {
			t.Errorf("abort: %v", err)
		}
	}
	_, err := m.UploadPart(t.Context(), u, 2, []byte("y"))
	wantKind(t, err, errs.NotFound)
	wantKind(t, m.CompleteUpload(t.Context(), u, parts), errs.NotFound)
	wantAbsent(t, st, "a")
}

func testUploadEmpty(t *testing.T, st store.Store, m store.Multipart) {
	u := begin(t, m, "a")
	parts := []store.Part{part(t, m, u, 1, nil)}
	if err := m.CompleteUpload(t.Context(), u, parts); err != nil {
		t.Fatal(err)
	}
	if got := get(t, st, "a"); got != "" {
		t.Errorf("got %q", got)
	}
}

func testUploadBadParts(t *testing.T, st store.Store, m store.Multipart) {
	u := begin(t, m, "a")
	one, two := part(t, m, u, 1, []byte("small")), part(t, m, u, 2, []byte("small"))
	gone := one
	gone.CRC32C, gone.ETag = one.CRC32C+1, `"00000000000000000000000000000000"`
	for what, parts := range map[string][]store.Part{
		"none": nil, "a gap": {two}, "out of order": {two, one}, "small in the middle": {one, two}, "another": {gone},
	} {
		err := m.CompleteUpload(t.Context(), u, parts)
		if errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, n := range []int{0, -1, store.MaxParts + 1} {
		_, err := m.UploadPart(t.Context(), u, n, []byte("x"))
		wantKind(t, err, errs.Invalid)
	}
	_, err := m.BeginUpload(t.Context(), "a//b")
	wantKind(t, err, errs.Invalid)
	wantAbsent(t, st, "a")
	if err := m.AbortUpload(t.Context(), u); err != nil {
		t.Error(err)
	}
}

func testUploadList(t *testing.T, _ store.Store, m store.Multipart) {
	ids := func(prefix string) (all []string) {
		for u, err := range m.Uploads(t.Context(), prefix) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(u.Name)+" "+u.ID)
		}
		slices.Sort(all)
		return all
	}
	a, b, c := begin(t, m, "job/a"), begin(t, m, "job/b"), begin(t, m, "other")
	if err := m.CompleteUpload(t.Context(), a, []store.Part{part(t, m, a, 1, []byte("x"))}); err != nil {
		t.Fatal(err)
	}
	if got, want := ids("job/"), []string{"job/b " + b.ID}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := ids(""), []string{"job/b " + b.ID, "other " + c.ID}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, u := range []store.Upload{b, c} {
		if err := m.AbortUpload(t.Context(), u); err != nil {
			t.Error(err)
		}
	}
	if got := ids(""); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
}
