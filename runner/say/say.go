// Package say turns errors into what a person is told and what a script sees: one sentence and one exit code.
//
// An error that a verb makes with Errorf is its own sentence. Any other error is a trace of operations; Sentence keeps
// what it was about and why it went wrong, and drops how the program got there:
//
//	mapreduce.Check: store.Stat file:///tmp/a: not found: ...   →   /tmp/a does not exist
package say

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/infra/nearest"
)

// Exit codes. They are part of what users type and never change their meaning.
const (
	ExitDone        = 0   // done
	ExitFailed      = 1   // the job failed, or something broke on the way
	ExitUsage       = 2   // usage, or the specification of a job
	ExitNotFound    = 3   // no such job, output or task
	ExitUnreachable = 4   // somebody needed did not answer; asking again may help
	ExitUnverified  = 5   // what is stored is not what was written
	ExitInterrupted = 130 // interrupted, as shells count SIGINT
)

// A fleet that may not be made or changed has exit codes of its own, from 10: see fleet.Rule.

// ExitCodes is the line that ends every help text.
const ExitCodes = "0 done, 1 job failed, 2 usage or spec, 3 not found, 4 unreachable, 5 verification failed, " +
	"130 interrupted"

// ExitCode is the one place where an error becomes an exit code.
func ExitCode(err error) int {
	if err == nil {
		return ExitDone
	}
	if refusal, ok := errors.AsType[*fleet.Refusal](err); ok {
		return refusal.ExitCode()
	}
	switch errs.KindOf(err) {
	case errs.Invalid, errs.Exist, errs.Permission, errs.Unsupported:
		return ExitUsage
	case errs.NotFound:
		return ExitNotFound
	case errs.Unavailable:
		return ExitUnreachable
	case errs.Corrupt:
		return ExitUnverified
	case errs.Canceled:
		return ExitInterrupted
	default: // Failed, Exhausted, Fenced, Internal, Other
		return ExitFailed
	}
}

// Errorf makes an error of which the formatted text is the whole sentence. %w works.
func Errorf(kind errs.Kind, format string, args ...any) error {
	return errs.Errorf("", kind, nil, format, args...)
}

// Usage says that err is a mistake in what was asked for, whatever kind of trouble it was met as: an input that does
// not exist is a wrong specification, not a job that cannot be found. What passes (Unavailable) or breaks stays.
func Usage(err error) error {
	if errs.KindOf(err) == errs.NotFound {
		return errs.E("", errs.Invalid, nil, errors.New(Sentence(err)))
	}
	return err
}

// absolute is the absolute name of a file, with what stands before it. A name with blanks is found as far as the first.
var absolute = regexp.MustCompile(`(^|[\s"'(])((?:file://)?/[^\s:;,"]*)`)

// Sentence returns what to tell a person, without a full stop if the error's own text has none. Names of files are
// those that a person in the working directory would type. It is never empty: of an error without words it is the kind.
func Sentence(err error) string {
	text := Shorten(sentence(err))
	if strings.TrimSpace(text) == "" {
		return errs.KindOf(err).String()
	}
	return text
}

// Shorten writes the names of files in a text as Path does.
func Shorten(text string) string {
	return absolute.ReplaceAllStringFunc(text, func(found string) string {
		parts := absolute.FindStringSubmatch(found)
		return parts[1] + Path(parts[2])
	})
}

func sentence(err error) string {
	var subject string
	for e := err; e != nil; e = errors.Unwrap(e) {
		one, ok := e.(*errs.Error)
		if !ok {
			continue
		}
		if one.Op == "" && one.Subject == "" && one.Err != nil {
			return Text(one.Err)
		}
		if one.Subject != "" {
			subject = one.Subject // the innermost says best what it was about
		}
	}
	if subject != "" {
		switch errs.KindOf(err) {
		case errs.NotFound:
			return subject + " does not exist"
		case errs.Exist:
			return subject + " exists already"
		case errs.Permission:
			return subject + " may not be touched: permission denied"
		}
	}
	return Text(err)
}

// Text returns what a chain of errors is about and why, without the operations and kinds on the way:
//
//	mapreduce.Map a.txt, record at byte 4: streaming.Run python3 map.py: failed: exited with status 1
//	              a.txt, record at byte 4:               python3 map.py:         exited with status 1
func Text(err error) string {
	one, ours := err.(*errs.Error)
	switch {
	case ours && one.Err == nil && one.Subject == "":
		return one.Kind.String()
	case ours && one.Err == nil:
		return one.Subject + ": " + one.Kind.String()
	case ours && one.Subject == "":
		return Text(one.Err)
	case ours:
		return one.Subject + ": " + Text(one.Err)
	}
	if inner, ok := errors.AsType[*errs.Error](err); ok { // wrapped: its text is a part of this one
		return strings.Replace(err.Error(), inner.Error(), Text(inner), 1)
	}
	if err == context.Canceled {
		return "interrupted" // by whom else?
	}
	return err.Error()
}

// Plain returns an error of the same kind with Text as its text, for errors that travel to people as text.
func Plain(err error) error {
	if err == nil {
		return nil
	}
	return plain{errs.KindOf(err), Text(err)}
}

type plain struct {
	kind errs.Kind
	text string
}

func (p plain) Error() string { return p.text }
func (p plain) Unwrap() error { return p.kind }

// Path shortens a file:// URI or an absolute path for a person who stands in the working directory; other URIs stay.
func Path(uri string) string {
	path, isFile := strings.CutPrefix(uri, "file://")
	if !isFile && !filepath.IsAbs(uri) {
		return uri
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return path
}

// DidYouMean returns ` Did you mean NEAREST?` with the blank in front, or "".
func DidYouMean(word string, candidates []string) string {
	if near := nearest.Of(word, candidates); near != "" {
		return fmt.Sprintf(" Did you mean %s?", near)
	}
	return ""
}
