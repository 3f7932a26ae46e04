// Package say turns errors into what a person is told and what a script sees: one sentence and one exit code.
//
// An error that a verb makes with Errorf is its own sentence. Any other error is a trace of operations; Sentence keeps
// what it was about and why it went wrong, and drops how the program got there:
//
//	mapreduce.Check: store.Stat file:///tmp/a: not found: ...   →   /tmp/a does not exist
package say

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/seed3322913c/runner/infra/errs"
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

// ExitCodes is the line that ends every help text.
const ExitCodes = "0 done, 1 job failed, 2 usage or spec, 3 not found, 4 unreachable, 5 verification failed, 130 interrupted"

// ExitCode is the one place where an error becomes an exit code.
func ExitCode(err error) int {
	if err == nil {
		return ExitDone
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

// local is a file's absolute name, with what stands before it. A name with blanks in it is found as far as the first.
var local = regexp.MustCompile(`(^|[\s"'(])((?:file://)?/[^\s:;,"]*)`)

// Sentence returns what to tell a person, without a full stop if the error's own text has none. Names of files are
// those that a person in the working directory would type.
func Sentence(err error) string {
	return local.ReplaceAllStringFunc(sentence(err), func(found string) string {
		parts := local.FindStringSubmatch(found)
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
			return one.Err.Error()
		}
		if one.Subject != "" {
			subject = Path(one.Subject) // the innermost says best what it was about
		}
	}
	return about(subject, errs.KindOf(err), reason(err))
}

func about(subject string, kind errs.Kind, reason string) string {
	switch {
	case subject == "":
		return reason
	case kind == errs.NotFound:
		return subject + " does not exist"
	case kind == errs.Exist:
		return subject + " exists already"
	case kind == errs.Permission:
		return subject + " may not be touched: permission denied"
	case reason == "" || strings.Contains(reason, subject):
		return reason
	}
	return subject + ": " + reason
}

// reason is the innermost text of a chain, without the trace in front of it.
func reason(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			break
		}
		if _, ours := err.(*errs.Error); !ours {
			if _, more := errors.AsType[*errs.Error](next); !more {
				break // a wrapped library error tells more than its bare cause
			}
		}
		err = next
	}
	if e, ok := err.(*errs.Error); ok {
		return e.Kind.String()
	}
	return err.Error()
}

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

// Nearest returns the candidate that word was probably meant to be, or "": at most half of its letters may be wrong. Of
// two as near the longer is taken, since it shares more letters.
func Nearest(word string, candidates []string) string {
	best, least := "", max(2, len(word)/2)
	for _, c := range candidates {
		d := levenshtein.ComputeDistance(word, c)
		if d < len(c) && (d < least || d == least && len(c) > len(best)) {
			best, least = c, d
		}
	}
	return best
}

// DidYouMean returns ` Did you mean NEAREST?` with the blank in front, or "".
func DidYouMean(word string, candidates []string) string {
	if near := Nearest(word, candidates); near != "" {
		return fmt.Sprintf(" Did you mean %s?", near)
	}
	return ""
}
