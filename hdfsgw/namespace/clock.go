package namespace

import (
	"sync"
	"time"
)

// slewing is how much slower or faster than the machine's time a steady clock may go to come in step with its wall.
const slewing = 10

// steady is a wall clock without jumps: leases and tokens end when their time has passed, whatever somebody or NTP does
// to the clock of the machine. A wall clock that jumps is followed by and by, a tenth of the way.
type steady struct {
	wall func() time.Time

	mu struct {
		sync.Mutex
		now  time.Time     // the last that was told
		base time.Time     // by the machine's own time
		read time.Duration // since base, when it was told
	}
}

func newSteady(wall func() time.Time) *steady {
	s := &steady{wall: wall}
	s.mu.now, s.mu.base = wall().Round(0), time.Now()
	return s
}

// Now returns the time. It never goes back.
func (s *steady) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	read := time.Since(s.mu.base)
	passed := read - s.mu.read
	s.mu.read = read
	ahead := s.wall().Round(0).Sub(s.mu.now) - passed
	s.mu.now = s.mu.now.Add(passed + min(max(ahead, -passed/slewing), passed/slewing))
	return s.mu.now
}
