package am

import (
	"context"
	"sync"
)

// queue hands things from those who must not wait to one goroutine that may.
type queue[T any] struct {
	filled chan struct{} // holds a token when there may be something in it
	mu     struct {
		sync.Mutex
		items []T
	}
}

func newQueue[T any]() *queue[T] { return &queue[T]{filled: make(chan struct{}, 1)} }

// push adds an item. It never waits.
func (q *queue[T]) push(item T) {
	q.mu.Lock()
	q.mu.items = append(q.mu.items, item)
	q.mu.Unlock()
	select {
	case q.filled <- struct{}{}:
	default: // the token is there already
	}
}

// take waits until there is something, and takes all of it. It fails when ctx ends.
func (q *queue[T]) take(ctx context.Context) ([]T, error) {
	for {
		q.mu.Lock()
		items := q.mu.items
		q.mu.items = nil
		q.mu.Unlock()
		if len(items) > 0 {
			return items, nil
		}
		select {
		case <-q.filled:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
