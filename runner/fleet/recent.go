package fleet

import (
	"net/http"
	"sync"
	"time"
)

// recent is what was found out a moment ago: asking Consul takes as long as a short request to control. Its methods may
// be called by many goroutines at once.
type recent[T any] struct {
	mu    sync.Mutex
	value T
	until time.Time // it is believed
}

// trust is how long what was found out is believed, unless it turns out to be wrong before.
const trust = time.Second

// get returns what is believed, or else what find finds out.
func (r *recent[T]) get(find func() (T, error)) (T, error) {
	r.mu.Lock()
	value, fresh := r.value, time.Now().Before(r.until)
	r.mu.Unlock()
	if fresh {
		return value, nil
	}
	value, err := find() // several may at once
	if err == nil {
		r.mu.Lock()
		r.value, r.until = value, time.Now().Add(trust)
		r.mu.Unlock()
	}
	return value, err
}

// forget has it found out again.
func (r *recent[T]) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.until = time.Time{}
}

// wary is a transport that tells when whoever was asked does not answer, or can't.
type wary struct {
	*http.Transport
	lost func()
}

// RoundTrip implements http.RoundTripper.
func (w wary) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := w.Transport.RoundTrip(r)
	if err != nil || answer.StatusCode == http.StatusServiceUnavailable {
		w.lost()
	}
	return answer, err
}
