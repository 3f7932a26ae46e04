// Package segment is the form in which map output lies on disk and travels to reducers: one data file and one index
// file per attempt.
//
// The data file is nothing but blocks (package record), partition after partition; a block belongs to one partition. So
// a run of neighbouring partitions is one range of bytes, whoever reads it.
//
//	segment.data   | block | block |   block   | block | block | block | ...
//	               |- partition 0 -|-    1    -|-          2          -| ...
//	segment.index  | "RSG1" | layout 1B | first | parts | offset | part | part | ... | crc32c 4B |
//	         part  | stored | raw | records | crc32c of the stored bytes 4B |         numbers are uvarints
//	block payload  | record | record | ...                                            never across blocks, but:
//	       record  | key length | second number | key | value |
//
// The second number of a record is the length of the value in layout Sorted; in layout Folded it is the value itself,
// an int64 as a zig-zag varint, and no bytes follow the key. Records that are too long for one block fill several: all
// but the last of them have record.MaxBlock bytes of payload, and no other block has that many.
//
// A segment exists when its index does: it is renamed into place after the data is complete. Nothing is synced to the
// disk, since a map's output can be made again; what a crash of the machine leaves in part is noticed by the checksums.
//
// A Create'd Writer makes a segment. A Receiver copies partitions of it from elsewhere, Open takes those on this
// machine; both give a Range, whose Readers verify every byte: what was altered or is missing is errs.Corrupt, never a
// wrong record.
package segment

// The two files of a segment, in the directory of its attempt.
const (
	DataName  = "segment.data"
	IndexName = "segment.index"
)
