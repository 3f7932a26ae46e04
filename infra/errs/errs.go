// Package errs is the one shape of an error in this project: an operation, what it was done to, a kind out of a short
// closed list, and the cause.
//
// Code builds errors with E and decides with KindOf or errors.Is(err, errs.NotFound); nobody compares strings. A chain
// reads like a trace from the outside in:
//
//	shuffle.Fetch m00003.0: corrupt data: segment.Open: block 7 at byte 81220: checksum differs
//
// Three things stay apart, because people treat them differently: a mistake of the user (Invalid, NotFound, Exist,
// Permission, Unsupported), trouble of the world (Unavailable, Exhausted, Corrupt, Fenced, Canceled), and a bug of ours
// (Internal).
package errs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// Kind says what sort of trouble an error is; callers switch on it and nothing else. A Kind is itself an error, so that
// errors.Is(err, errs.NotFound) works.
type Kind uint8

// The kinds. The order is of no meaning and may change; the names are stable.
const (
	Other       Kind = iota // not classified: an error from a library, told as it is
	Invalid                 // the request or the specification is wrong: asking again will not help
	NotFound                // the subject does not exist
	Exist                   // the subject exists already and must not
	Permission              // the subject exists and this caller may not touch it
	Unsupported             // a well-formed wish that this version, driver or platform cannot grant
	Unavailable             // passing trouble (network, throttling, server restart): worth another try
	Exhausted               // a disk, quota, memory or attempt limit is used up
	Corrupt                 // stored or received bytes are not what was written
	Fenced                  // somebody with a higher epoch has taken over: stop for ever
	Canceled                // the caller gave up, or was told to
	Failed                  // the user's own code said no
	Internal                // a bug in this program
)

var kindText = [...]string{
	Other: "error", Invalid: "invalid", NotFound: "not found", Exist: "exists already", Permission: "permission denied",
	Unsupported: "not supported", Unavailable: "unavailable", Exhausted: "exhausted", Corrupt: "corrupt data",
	Fenced: "fenced", Canceled: "canceled", Failed: "failed", Internal: "internal error",
}

// String returns the kind as people read it.
func (k Kind) String() string {
	if int(k) < len(kindText) {
		return kindText[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Error makes a Kind usable as a target of errors.Is.
func (k Kind) Error() string { return k.String() }

// ParseKind is the inverse of Kind.String, for kinds that travelled over a wire; an unknown text is Other.
func ParseKind(text string) Kind {
	for k, t := range kindText {
		if t == text {
			return Kind(k)
		}
	}
	return Other
}

// Error is an operation that did not work. Any field but Kind may be empty.
type Error struct {
	Op      string // package.Operation, as in "store.Open"
	Subject string // what it was done to: a name, an id, a place
	Kind    Kind
	Err     error // the cause
}

// E builds an error. The subject is printed with fmt.Sprint and may be nil. If kind is Other, the kind of the cause is
// inherited, so wrapping never loses it. E returns an error even when err is nil: then kind alone is the cause.
func E(op string, kind Kind, subject any, err error) error {
	if kind == Other {
		kind = KindOf(err)
	}
	e := &Error{Op: op, Kind: kind, Err: err}
	if subject != nil {
		e.Subject = fmt.Sprint(subject)
	}
	return e
}

// Errorf is E with a cause made on the spot; %w works.
func Errorf(op string, kind Kind, subject any, format string, args ...any) error {
	return E(op, kind, subject, fmt.Errorf(format, args...))
}

// Error writes "op subject: kind: cause". The kind is said once in a chain, at the innermost place that knows it.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Subject != "" {
		if e.Op != "" {
			b.WriteByte(' ')
		}
		b.WriteString(e.Subject)
	}
	var inner *Error
	if e.Kind != Other && (!errors.As(e.Err, &inner) || inner.Kind != e.Kind) {
		sep(&b)
		b.WriteString(e.Kind.String())
	}
	if e.Err != nil {
		sep(&b)
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

func sep(b *strings.Builder) {
	if b.Len() > 0 {
		b.WriteString(": ")
	}
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the kind of this error.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && e.Kind == k
}

// KindOf returns the kind of the outermost Error in err's chain that has one. Errors of the standard library are
// mapped: a missing file is NotFound, a full disk Exhausted, an ended context Canceled, and so on.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case err == nil:
		return Other
	case errors.As(err, &e) && e.Kind != Other:
		return e.Kind
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Canceled
	case errors.Is(err, fs.ErrNotExist):
		return NotFound
	case errors.Is(err, fs.ErrExist):
		return Exist
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return Permission
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG),
		errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
		return Exhausted
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Unavailable
	}
	var k Kind
	if errors.As(err, &k) {
		return k
	}
	return Other
}

// Retryable reports whether the same call may succeed later without anybody changing anything.
func Retryable(err error) bool { return KindOf(err) == Unavailable }

// Cause returns the innermost error's text: what to tell a person after saying in one's own words what was tried.
func Cause(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}
