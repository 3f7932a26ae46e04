// Package journal is an ordered, fenced log of records with checkpoints, kept as objects in a store.Store.
//
// A State is whatever the records build: a namespace, a job's ledger, a queue. One process at a time leads: it
// appends records, and each is applied to its State once it is durable, in the order of the log. Others follow, or
// read. No clock is trusted and no lock is needed: a leader may pause for ever and come back, requests may arrive
// late or twice, replies may be lost, and still every acknowledged record is in the log once, at its place.
//
//	<prefix>/log/00000000000000000042          one entry: the records of a group commit, or a seal
//	<prefix>/checkpoint/00000000000000000040   the whole State up to and including entry 40
//
// With Options.Segments, entries that follow a roll lie behind each other in a log of the store (store.Logs) instead,
//
//	<prefix>/segment/00000000000000000041-MARK    the entries after number 41, which is the roll that says so
//
// each of them in a frame, whose mark is random and the segment's own (16 bytes, in its name in hex):
//
//	| mark 16B | length 4B BE | crc32c of both 4B BE | entry |
//
// An entry is one block of package record, whose payload is
//
//	| version 1B | kind 1B | seq uvarint | epoch uvarint | writer bytes | nonce 16B | record bytes | ...
//
// (bytes: a uvarint length and the bytes; the version is 2 of a roll, and of a checkpoint after which the log goes on
// in a segment, which the head then names). A checkpoint is a stream of such blocks: a head (version, seq, epoch,
// writer), what State.Snapshot wrote, and an empty block as the end mark.
//
// # Why it holds
//
// Entries are created if-absent, so of all who ever want to write number n one succeeds. Taking over means: read to
// the end, then create a seal at the next number n. An older leader's late entry either landed before the seal, and
// was read, or collides with it, and the older leader knows that it is fenced. The seal's number is the leader's
// epoch, and grows for ever.
//
// Once a checkpoint is durable, the entries it covers may be deleted by anybody, but seals never are: the next number
// of a paused leader is the seal of its successor, and must stay taken. A deleted number looks like the end of the
// log, so whoever believes to be at the end looks at the checkpoints afterwards. A candidate that took such a place
// for the end leaves a seal there before it notices; so a seal counts only for a reader that then finds no checkpoint
// at or above it.
//
// An append whose reply is lost is sent again, byte for byte; if the number is taken by an entry with our own nonce, it
// had landed. There is exactly one entry in flight, and the next one gathers records meanwhile.
//
// In a segment all of this holds by the order of appends: of the entries with number n the first counts. A writer whose
// bytes are not where it expected looks at what is between. A segment is made by the leader that leads to it and by
// nobody else, so when it has been deleted, nobody can take another one for it; seals there need not stay. A frame that
// another one begins inside of was never finished, so nobody was told that it is durable.
package journal

import (
	"crypto/rand"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/record"
	"github.com/seed3322913c/runner/infra/store"
)

// State is what a journal's records build. The journal calls one method at a time: during Lead, Read and a Follower's
// methods on the caller's goroutine, afterwards on the Leader's own. A State that is read elsewhere locks for itself.
type State interface {
	// Restore replaces everything by what an earlier Snapshot wrote, or by the empty state if snapshot is nil. It may
	// be called at any time before this process leads, whenever the journal has to start over.
	Restore(snapshot io.Reader) error

	// Apply changes the state as one record says. It must depend on nothing but the state and the record, since it is
	// repeated on every replay. An error means that the log cannot be understood, and ends the leadership or the
	// replay. The record must not be kept or changed.
	Apply(record []byte) error

	// Snapshot captures the state as it is now; the result is written out, once, while Apply goes on. So it returns
	// quickly: a small state is best marshalled at once (a *bytes.Buffer is an io.WriterTo), a large one makes a
	// copy-on-write mark.
	Snapshot() (io.WriterTo, error)
}

// Limits.
const (
	// MaxAppend is how many bytes the records of one Append may have together, and about the size an entry grows to.
	MaxAppend = 8 << 20
	// MaxWriter is the longest Options.Writer, in bytes.
	MaxWriter = 256

	maxEntry = record.MaxBlock + record.MaxHeader // of an entry's object
)

// Options say how a journal is kept. The zero Options are the defaults.
type Options struct {
	// Writer says in each entry who wrote it, for people who look: "gateway 10.0.0.7:8020". At most MaxWriter bytes.
	Writer string

	// Segments puts entries behind each other into logs of the store (store.Logs), if it keeps such: an append then takes
	// one synced write instead of a new file. A journal that has begun with it can only be led over such a store.
	Segments bool

	// CheckpointEntries and CheckpointBytes are how many entries, or bytes of entries, may follow a checkpoint before
	// the leader makes the next one by itself. 0 means 4096 entries, 131,072 in segments, and 64 MiB; below 0 means never.
	CheckpointEntries int
	CheckpointBytes   int64

	// Try is how long one call of the store may take before it counts as lost; 0 means 15 s. Writing or reading a
	// checkpoint, which may be large, has a hundred times as long.
	Try time.Duration
	// GiveUp is how long a call is repeated before the journal gives up; 0 means 2 min. A leader that gives up on an
	// entry does not know what became of it, and ends.
	GiveUp time.Duration
	// Poll is how often Follower.Run looks for new entries; 0 means 200 ms.
	Poll time.Duration

	// OnError is told when a checkpoint that the leader made by itself, or deleting what a checkpoint covers, failed.
	// Nothing is lost: the next checkpoint tries again. It must not block. nil ignores.
	OnError func(error)

	// Rand gives the nonces; nil means crypto/rand. Only tests replace it.
	Rand io.Reader
}

func (o Options) withDefaults() (Options, error) {
	const op = "journal.Options"
	if len(o.Writer) > MaxWriter {
		return o, errs.Errorf(op, errs.Invalid, o.Writer[:40]+"...", "%d bytes, %d allowed", len(o.Writer), MaxWriter)
	}
	if o.Try < 0 || o.GiveUp < 0 || o.Poll < 0 {
		return o, errs.Errorf(op, errs.Invalid, nil, "a duration below 0")
	}
	setDefault(&o.CheckpointBytes, 64<<20)
	setDefault(&o.Try, 15*time.Second)
	setDefault(&o.GiveUp, 2*time.Minute)
	setDefault(&o.Poll, 200*time.Millisecond)
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	return o, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Names. Twenty digits hold every uint64, and make byte order the order of numbers.
const (
	logPart        = "log/"
	checkpointPart = "checkpoint/"
	segmentPart    = "segment/"
)

func numbered(part string, seq uint64) string { return fmt.Sprintf("%s%020d", part, seq) }

// parseNumber is the inverse of numbered, below prefix. Names of another shape are not the journal's.
func parseNumber(name, prefix store.Name, part string) (uint64, bool) {
	lead := string(prefix.Join(part))
	if len(name) != len(lead)+20 || string(name[:len(lead)]) != lead {
		return 0, false
	}
	seq, err := strconv.ParseUint(string(name[len(lead):]), 10, 64)
	return seq, err == nil
}
