package webhdfs

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// patient returns the response and the body of a request, which fail when the client takes or sends nothing for too
// long: whoever holds a place and a buffer must use it.
func (c *call) patient() (http.ResponseWriter, io.ReadCloser) {
	control := http.NewResponseController(c.w)
	return &patientWriter{c.w, control, c.o.Idle}, &patientBody{c.r.Body, control, c.o.Idle}
}

type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	idle    time.Duration
}

// Write implements io.Writer.
func (w *patientWriter) Write(p []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.idle)) // a server that can't has connections that don't hang
	return w.ResponseWriter.Write(p)
}

// ReadFrom implements io.ReaderFrom, by which the kernel sends files. What r yields must be little enough for the
// client to take it in the time of one Write.
func (w *patientWriter) ReadFrom(r io.Reader) (int64, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.idle)) // as above
	return io.Copy(w.ResponseWriter, r)
}

// Unwrap is for http.ResponseController.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type patientBody struct {
	io.ReadCloser
	control *http.ResponseController
	idle    time.Duration
}

// Read implements io.Reader. At the end there is no deadline, since the connection may wait for the next request.
func (b *patientBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.idle)) // as above
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{}) // as above
	}
	return n, err
}
