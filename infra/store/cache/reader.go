package cache

import (
	"errors"
	"io"
	"math"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// reader delivers an object piece by piece.
type reader struct {
	s      *Store
	object object
	at     int64 // of the next byte that is in neither data nor stream
	end    int64 // math.MaxInt64 if the object's is not known
	open   func(store.Range) (io.ReadCloser, error)
	stat   func() (store.Info, error)

	page   *page
	data   []byte        // in page, checked, to be delivered
	file   kept          // the piece that data is of, if it was kept; open
	offset int64         // of data in it
	stream io.ReadCloser // the wrapped store's, at a piece that is not kept; nil for none
	err    error         // what further calls return
}

// Kept reports whether nothing has to be fetched, as far as is known without looking.
func (r *reader) Kept() bool {
	if r.end == math.MaxInt64 {
		return false
	}
	for at := r.at / pieceSize; at*pieceSize < r.end; at++ {
		if !r.s.pieces.has(key{r.object, uint64(at)}) {
			return false
		}
	}
	return true
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, r.err
	}
	if err := r.next(); err != nil {
		return 0, err
	}
	n := copy(p, r.data)
	r.data, r.offset = r.data[n:], r.offset+int64(n)
	return n, nil
}

// WriteTo implements io.WriterTo. Bytes that are kept are sent from their file, after they were checked there: the
// kernel then need not have them from us.
func (r *reader) WriteTo(w io.Writer) (sent int64, err error) {
	direct, ok := w.(io.ReaderFrom)
	for {
		if err := r.next(); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return sent, err
		}
		want := int64(len(r.data))
		var n int64
		if ok && r.file.File != nil {
			if _, err = r.file.Seek(r.offset, io.SeekStart); err == nil {
				n, err = direct.ReadFrom(&io.LimitedReader{R: r.file.File, N: want})
			}
		} else {
			var m int
			m, err = w.Write(r.data)
			n = int64(m)
		}
		sent += n
		r.data, r.offset = r.data[n:], r.offset+n
		if err == nil && n < want {
			err = io.ErrShortWrite
		}
		if err != nil {
			return sent, err
		}
	}
}

// next makes sure that there is data, or returns why there is none.
func (r *reader) next() error {
	for len(r.data) == 0 && r.err == nil {
		r.closeFile()
		if r.at >= r.end {
			r.err = io.EOF
			break
		}
		r.err = r.load(key{r.object, uint64(r.at / pieceSize)})
	}
	return r.err
}

// load gets the piece that at is in, up to end.
func (r *reader) load(k key) error {
	first := int64(k.place) * pieceSize
	from, to := r.at-first, min(r.end-first, pieceSize)
	if r.stream == nil && r.loadKept(k, from, to) {
		return nil
	}
	if r.stream == nil {
		whole := store.Range{Offset: first}
		if r.end < math.MaxInt64-pieceSize {
			whole.Length = (r.end+pieceSize-1)/pieceSize*pieceSize - first
		}
		var err error
		if r.stream, err = r.open(whole); err != nil {
			return err
		}
	}
	r.freshPage()
	n, err := io.ReadFull(r.stream, r.page.buf[:])
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		r.end = min(r.end, first+int64(n))
	case err != nil:
		return err
	}
	if n > 0 {
		r.s.keep(k, r.page, n)
	}
	r.deliver(r.page.buf[min(from, int64(n)):min(to, int64(n))], from)
	if r.s.pieces.has(key{k.object, k.place + 1}) {
		return r.closeStream()
	}
	return nil
}

// loadKept takes a piece from disk, if it is there and right.
func (r *reader) loadKept(k key, from, to int64) bool {
	found, ok := r.s.pieces.find(k)
	if !ok {
		return false
	}
	r.freshPage()
	data, ok := found.read(r.page.buf[:], from, to)
	if !ok {
		found.Close() // nothing was written
		r.s.pieces.drop(k)
		return false
	}
	if found.length < pieceSize { // the object's last one
		r.end = min(r.end, int64(k.place)*pieceSize+found.length)
	}
	r.file = found
	r.deliver(data, from)
	return true
}

// freshPage changes the page, as the piece that is in it may still have to be written.
func (r *reader) freshPage() {
	r.s.release(r.page)
	r.page = r.s.take()
}

func (r *reader) deliver(data []byte, offset int64) {
	r.data, r.offset = data, offset
	r.at += int64(len(data))
}

func (r *reader) closeFile() {
	if r.file.File != nil {
		r.file.Close() // nothing was written
		r.file = kept{}
	}
}

func (r *reader) closeStream() error {
	if r.stream == nil {
		return nil
	}
	err := r.stream.Close()
	r.stream = nil
	return err
}

// Close implements io.Closer.
func (r *reader) Close() error {
	if r.page == nil {
		return nil
	}
	r.s.release(r.page)
	r.page, r.data = nil, nil
	r.err = errs.Errorf("cache.Read", errs.Invalid, nil, "the reader is closed")
	r.closeFile()
	return r.closeStream()
}

// Info implements store.Reader.
func (r *reader) Info() (store.Info, error) { return r.stat() }
