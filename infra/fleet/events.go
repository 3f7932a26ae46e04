package fleet

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	tfjson "github.com/hashicorp/terraform-json"

	"github.com/seed3322913c/runner/infra/errs"
)

// message is a line of Terraform's JSON output; terraform-json knows no more of it than the envelope.
type message struct {
	Level      string             `json:"@level"`
	Message    string             `json:"@message"`
	Type       string             `json:"type"`
	Diagnostic *tfjson.Diagnostic `json:"diagnostic"`
	Hook       struct {
		Resource struct {
			Address string `json:"addr"`
			Type    string `json:"resource_type"`
		} `json:"resource"`
		Action  string  `json:"action"`
		Elapsed float64 `json:"elapsed_seconds"`
	} `json:"hook"`
}

// longestMessage bounds a line: an error of the provider can hold a whole answer of its service.
const longestMessage = 4 << 20

// progress turns Terraform's output into events, and keeps what went wrong.
type progress struct {
	tell   func(Event)
	done   int
	total  int
	errors []tfjson.Diagnostic
}

// read reads messages up to the end. What is not JSON is dropped: the provider's own noise.
func (p *progress) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longestMessage)
	for lines.Scan() {
		var m message
		if json.Unmarshal(lines.Bytes(), &m) == nil {
			p.take(m)
		}
	}
	if err := lines.Err(); err != nil {
		_, drainErr := io.Copy(io.Discard, r) // or Terraform would wait for a reader for ever
		return errors.Join(err, drainErr)
	}
	return nil
}

func (p *progress) take(m message) {
	e := Event{Address: m.Hook.Resource.Address, Type: m.Hook.Resource.Type, Action: Action(m.Hook.Action),
		Elapsed: time.Duration(m.Hook.Elapsed * float64(time.Second)), Total: p.total}
	switch m.Type {
	case "apply_start":
		e.Kind = Started
	case "apply_progress":
		e.Kind = Going
	case "apply_complete":
		e.Kind = Finished
		p.done++
	case "apply_errored":
		e.Kind = Broken
	case "diagnostic":
		if m.Diagnostic == nil || m.Diagnostic.Severity != tfjson.DiagnosticSeverityError {
			return // warnings are for who writes modules
		}
		p.errors = append(p.errors, *m.Diagnostic)
		e = Event{Kind: Problem, Message: m.Diagnostic.Summary, Address: m.Diagnostic.Address, Total: p.total}
	default:
		return
	}
	e.Done = p.done
	p.tell(e)
}

// stateLock is who has locked the state, from Terraform's words.
type stateLock struct {
	ID      string
	Who     string
	Created time.Time
}

const lockSummary = "Error acquiring the state lock"

// parseLock finds the holder in the detail of a diagnostic:
//
//	Lock Info:
//	  ID:        1d2e...
//	  Who:       ann@laptop
//	  Created:   2026-11-21 10:00:00.123 +0000 UTC
func parseLock(d tfjson.Diagnostic) (l stateLock, ok bool) {
	if !strings.Contains(d.Summary, lockSummary) {
		return l, false
	}
	for line := range strings.Lines(d.Detail) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch name {
		case "ID":
			l.ID = value
		case "Who":
			l.Who = value
		case "Created":
			l.Created, _ = time.Parse("2006-01-02 15:04:05.999999999 -0700 MST", value) // else very old: not to be broken
		}
	}
	return l, l.ID != ""
}

// kinds are words of clouds, by what they mean to who asked.
var kinds = []struct {
	kind  errs.Kind
	words []string
}{
	// Who removes a fleet removes its state at last, and with it the lock of whoever looks at it at that moment.
	{errs.Fenced, []string{"Error releasing the state lock"}},
	{errs.Permission, []string{"AccessDenied", "UnauthorizedOperation", "InvalidClientTokenId", "AuthFailure",
		"ExpiredToken", "SignatureDoesNotMatch", "No valid credential sources", "not authorized", "InvalidAccessKeyId",
		"UnrecognizedClient"}},
	{errs.Exist, []string{"AlreadyExists"}},
	{errs.Exhausted, []string{"LimitExceeded", "QuotaExceeded", "InsufficientInstanceCapacity",
		"MaxSpotInstanceCountExceeded", "TooManyBuckets", "VcpuLimitExceeded"}},
	{errs.Unavailable, []string{"RequestLimitExceeded", "Throttling", "connection refused", "no such host", "timeout"}},
}

// failure makes one error with one sentence of what Terraform has said; nil if it said nothing.
func (p *progress) failure() error {
	if len(p.errors) == 0 {
		return nil
	}
	d := p.errors[0]
	text := strings.Join(strings.Fields(d.Summary+": "+d.Detail), " ")
	text = strings.TrimSuffix(strings.TrimSpace(text), ":")
	if d.Address != "" {
		text = d.Address + ": " + text
	}
	kind := KindOf(text)
	if kind == errs.Other {
		kind = errs.Failed
	}
	return errs.E("", kind, nil, errors.New(text))
}

// KindOf returns what the words of a cloud's error mean, or errs.Other.
func KindOf(text string) errs.Kind {
	for _, k := range kinds {
		for _, word := range k.words {
			if strings.Contains(text, word) {
				return k.kind
			}
		}
	}
	return errs.Other
}
