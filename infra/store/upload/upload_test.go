package upload_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/infra/store/storetest"
	"github.com/seed3322913c/runner/infra/store/upload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// byUpload is a store all of whose objects are written by uploads.
type byUpload struct {
	*mem.Store
	opts upload.Options
}

func (s byUpload) Create(ctx context.Context, name store.Name, opts ...store.CreateOption) (store.Writer, error) {
	w, err := s.Store.Create(ctx, name, opts...) // for its checks
	if err != nil {
		return nil, err
	}
	return upload.New(ctx, s.Store, name, s.opts, opts...), w.Abort(ctx)
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		st := mem.New()
		t.Cleanup(func() {
			for u := range st.Uploads(context.WithoutCancel(t.Context()), "") {
				t.Errorf("an upload of %s is left", u.Name)
			}
		})
		return byUpload{st, upload.Options{PartSize: store.MinPart, Memory: 2 * store.MinPart}}
	})
}

func TestPartSize(t *testing.T) {
	const tib = 1 << 40
	var sum, last int64
	for n := 1; n <= store.MaxParts; n++ {
		size := upload.PartSize(upload.DefaultPartSize, n)
		if size < last || size > store.MaxPart {
			t.Fatalf("part %d has %d bytes after one of %d", n, size, last)
		}
		sum, last = sum+size, size
	}
	if sum < 5*tib {
		t.Errorf("the largest object has %d bytes, less than 5 TiB", sum)
	}
	if got := upload.PartSize(store.MinPart, 1); got != store.MinPart {
		t.Errorf("the first part has %d bytes", got)
	}
	if got := upload.PartSize(1<<30, store.MaxParts); got != store.MaxPart {
		t.Errorf("the largest part has %d bytes", got)
	}
}

// gate lets parts pass one at a time and notes how many bytes wait.
type gate struct {
	store.Multipart
	pass    chan struct{}
	mu      sync.Mutex
	waiting int64
	most    int64
}

func (g *gate) UploadPart(ctx context.Context, u store.Upload, n int, data []byte) (store.Part, error) {
	g.mu.Lock()
	g.waiting += int64(len(data))
	g.most = max(g.most, g.waiting)
	g.mu.Unlock()
	<-g.pass
	g.mu.Lock()
	g.waiting -= int64(len(data))
	g.mu.Unlock()
	return g.Multipart.UploadPart(ctx, u, n, data)
}

func TestMemoryIsBounded(t *testing.T) {
	const parts = 8
	st := mem.New()
	g := &gate{Multipart: st, pass: make(chan struct{})}
	w := upload.New(t.Context(), g, "a", upload.Options{PartSize: store.MinPart, Memory: 3 * store.MinPart})
	data := storetest.Pattern(parts*store.MinPart, 1)
	go func() {
		for range parts {
			g.pass <- struct{}{}
		}
	}()
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g.most > 3*store.MinPart {
		t.Errorf("%d bytes were sent at a time", g.most)
	}
	if got, err := store.Get(t.Context(), st, "a", 1<<30); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestPartFails(t *testing.T) {
	st := fault.New(mem.New(), 1, fault.Rule{Op: around.UploadPart, Nth: 2, Err: errs.Exhausted})
	w := upload.New(t.Context(), st, "a", upload.Options{PartSize: store.MinPart, Memory: 2 * store.MinPart})
	data := make([]byte, store.MinPart)
	var err error
	for range 100 { // the failure shows at some Write after the second, when its part has been tried
		if _, err = w.Write(data); err != nil {
			break
		}
	}
	if !errors.Is(err, errs.Exhausted) {
		t.Errorf("write: %v", err)
	}
	for range 2 {
		if err := w.Commit(t.Context()); !errors.Is(err, errs.Exhausted) {
			t.Errorf("commit: %v", err)
		}
	}
	if err := w.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	for u := range st.Uploads(t.Context(), "") {
		t.Errorf("an upload of %s is left", u.Name)
	}
}

// One writer hands over what another publishes.
func TestFinish(t *testing.T) {
	for _, size := range []int{0, 1, store.MinPart, store.MinPart + 1, 3 * store.MinPart} {
		st := mem.New()
		small := func(context.Context, []byte) (store.Writer, error) {
			t.Error("an object to be handed over was written in one go")
			return nil, errs.Internal
		}
		w := upload.New(t.Context(), st, "a", upload.Options{PartSize: store.MinPart, Small: small})
		data := storetest.Pattern(size, 1)
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		u, parts, err := w.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Stat(t.Context(), "a"); !errors.Is(err, errs.NotFound) {
			t.Errorf("handed over and visible: %v", err)
		}
		if err := st.CompleteUpload(t.Context(), u, parts, store.IfAbsent()); err != nil {
			t.Fatal(err)
		}
		if got, err := store.Get(t.Context(), st, "a", 1<<30); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes, want %d; %v", len(got), size, err)
		}
	}
}

func TestSmall(t *testing.T) {
	for size, want := range map[int][]int{0: {0}, store.MinPart: {store.MinPart}, store.MinPart + 1: nil} {
		st := mem.New()
		var sizes []int
		w := upload.New(t.Context(), st, "a", upload.Options{
			PartSize: store.MinPart,
			Small: func(ctx context.Context, data []byte) (store.Writer, error) {
				sizes = append(sizes, len(data))
				w, err := st.Create(ctx, "a")
				if err == nil {
					_, err = w.Write(data)
				}
				return w, err
			},
		})
		data := storetest.Pattern(size, 1)
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(sizes, want) {
			t.Errorf("%d bytes: written in one go %v", size, sizes)
		}
		if got, err := store.Get(t.Context(), st, "a", 1<<30); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
}
