// Package segment is the form in which map output lies on disk and travels to reducers: one data file and one index
// file per attempt.
package segment

import (
	"io"

	"github.com/seed3322913c/runner/mapreduce/arena"
)

// Layout says what the records of a segment look like.
type Layout uint8

// The layouts.
const (
	Folded Layout = 1 // key and int64, in no order, a key perhaps many times
	Sorted Layout = 2 // key and value bytes, each partition in the order of the job's comparator
)

// Part says where one partition lies in a data file and what is in it.
type Part struct {
	Offset  int64  // of its first byte
	Stored  int64  // bytes in the file
	Raw     int64  // bytes of the records, before compression and framing
	Records int64  // how many
	Sum     uint32 // CRC32C of the stored bytes
}

// Index describes a data file: one Part for each partition, in order, without gaps.
type Index struct {
	Layout Layout
	First  int // number of the first partition: 0 unless the index was cut
	Parts  []Part
}

// The two files of a segment, in the directory of its attempt. A segment exists when its index does.
const (
	DataName  = "segment.data"
	IndexName = "segment.index"
)

// Cut returns the index of the partitions lo to hi-1 alone (numbered as in the whole segment). Offsets stay those of
// the data file.
func (x Index) Cut(lo, hi int) Index { return Index{} }

// Span returns where the bytes of all parts lie in the data file.
func (x Index) Span() (offset, length int64) { return 0, 0 }

// Records returns how many records all parts have.
func (x Index) Records() int64 { return 0 }

// Append encodes the index: the content of an index file, with version and CRC.
func (x Index) Append(b []byte) []byte { return b }

// Parse is the inverse of Append. It fails with errs.Corrupt.
func Parse(b []byte) (Index, error) { return Index{}, notYet("segment.Parse") }

// ReadIndex reads the index of the segment in dir. It fails with errs.NotFound or errs.Corrupt.
func ReadIndex(dir string) (Index, error) { return Index{}, notYet("segment.ReadIndex") }

// Range is a run of partitions of one segment that is readable on this machine, in memory or in a file. Its parts may
// be read by several goroutines at once.
type Range struct{}

// Open returns the partitions lo to hi-1 of the segment in dir, read from its files.
func Open(dir string, lo, hi int) (*Range, error) { return nil, notYet("segment.Open") }

// Index returns what the range holds.
func (r *Range) Index() Index { return Index{} }

// Close frees the memory or the file of the range.
func (r *Range) Close() error { return nil }

// ReceiveOptions tune a Receiver.
type ReceiveOptions struct {
	Budget *arena.Budget // the copy is kept in memory if this has room
	Dir    string        // else in a file here
}

// Receiver makes a Range of bytes that arrive from elsewhere. It is used by one goroutine.
//
//	rc, err := segment.NewReceiver(index.Cut(lo, hi), opts)
//	defer rc.Abort()                            // no effect once finished
//	for { io.Copy(rc, body from Span's offset + rc.Received()) }   // again and again until all is there
//	r, err := rc.Finish()
type Receiver struct{}

var _ io.Writer = (*Receiver)(nil)

// NewReceiver prepares for the span of want, a cut index.
func NewReceiver(want Index, opts ReceiveOptions) (*Receiver, error) {
	return nil, notYet("segment.NewReceiver")
}

// Write takes the next bytes. Each partition's checksum is compared as soon as its last byte is there: errs.Corrupt
// means that the source is not what its index says, or was altered on its way; more bytes than expected likewise. A full
// disk is errs.Exhausted.
func (rc *Receiver) Write(p []byte) (int, error) { return 0, notYet("segment.Write") }

// Received returns how many bytes have been taken: after a broken connection go on from there.
func (rc *Receiver) Received() int64 { return 0 }

// Rewind drops what came since the last partition that was whole, after a Corrupt; Received tells where to go on.
func (rc *Receiver) Rewind() {}

// Finish returns the Range. It fails with errs.Corrupt if bytes are missing.
func (rc *Receiver) Finish() (*Range, error) { return nil, notYet("segment.Finish") }

// Abort frees what was received; after Finish it does nothing.
func (rc *Receiver) Abort() {}
