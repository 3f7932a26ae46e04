package store

import "context"

// Logs is the ability of a Store to keep objects that grow: whoever has one open appends to it, and all appends, of
// whatever processes, are one after the other. To others a log is an object: Open reads what is there at that moment,
// List and Stat show it, Delete removes it. All methods may be called by many goroutines at once.
type Logs interface {
	// CreateLog makes an empty log, durably. It fails with errs.Exist if there is an object of that name, and with
	// errs.Unsupported where appends could get mixed up, as on network file systems.
	CreateLog(ctx context.Context, name Name) (Log, error)

	// OpenLog opens a log that was made, or fails with errs.NotFound.
	OpenLog(ctx context.Context, name Name) (Log, error)
}

// Log is an open log. It is used by one goroutine.
type Log interface {
	// Append adds p at the end, whatever others have appended meanwhile, and returns at which byte p begins. When it
	// returns nil, p and all before it are durable, in a log that was deleted meanwhile as long as that is open. After
	// an error, or if the process ends meanwhile, nothing, all, or a beginning of p is there; what others append comes
	// after that.
	Append(p []byte) (at int64, err error)

	Close() error
}

// LogsOf returns st's ability to keep logs, if it has it. Wrappers don't pass it on, since they would not see the
// appends.
func LogsOf(st Store) (Logs, bool) {
	l, ok := st.(Logs)
	return l, ok
}
