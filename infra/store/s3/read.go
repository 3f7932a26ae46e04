package s3

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeCRC writes a CRC32C as S3's headers have it.
func encodeCRC(sum uint32) *string {
	return aws.String(base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum)))
}

// Open implements store.Store. It makes the first request; further ones start with the first Read.
//
//	first response    |=========|                           read as it streams in
//	ranges ahead                 |=====|=====|=====|        of ReadSize, in buffers that are used again
//
// Nothing is read ahead for who looks at a few bytes and goes elsewhere: the first range is fetched when an eighth of
// one was read, and as many more as were read to their ends double that, up to Config.Parallel.
func (s *Store) Open(ctx context.Context, name store.Name, r store.Range) (io.ReadCloser, error) {
	const op = "s3.Open"
	if err := cmp.Or(name.Check(), r.Check(name)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	rd := &reader{s: s, name: name, cancel: cancel}
	rd.stat = func() (store.Info, error) { return s.Stat(ctx, name) }
	var err error
	if r == (store.Range{}) {
		err = rd.openWhole(ctx)
	} else {
		err = rd.openRange(ctx, r)
	}
	if err != nil {
		cancel()
		return nil, failed(op, name, err)
	}
	rd.fetch = func(begin, end int64) *fetch {
		f := &fetch{done: make(chan struct{})}
		f.buf, _ = s.ranges.Get().(*[]byte)
		if f.buf == nil {
			f.buf = new(make([]byte, s.conf.ReadSize))
		}
		f.data = (*f.buf)[:end-begin]
		rd.running.Go(func() {
			defer close(f.done)
			f.err = s.fetch(ctx, rd.info, begin, f.data)
		})
		return f
	}
	return rd, nil
}

// reader delivers the bytes of one version of an object, in order.
type reader struct {
	s      *Store
	name   store.Name
	info   store.Info                    // of the version that is read; without a Version if the range was beyond it
	stat   func() (store.Info, error)    // with the context of Open, as is the next
	fetch  func(begin, end int64) *fetch // starts to fetch a range
	cancel context.CancelFunc            // ends all requests
	body   io.ReadCloser                 // the first response, nil once read
	left   int64                         // bytes of it to be read
	ahead  []*fetch                      // ranges that come next, in order
	next   int64                         // where the range after them begins
	read   int64                         // bytes delivered
	window int                           // how many ranges may be ahead
	end    int64                         // where reading ends
	sum    uint32                        // CRC32C of what was delivered
	want   string                        // what it must be at the end, "" if the server did not say
	err    error                         // what further Reads return

	running sync.WaitGroup
}

// fetch is a range on its way.
type fetch struct {
	buf  *[]byte // what data is in, from the pool
	data []byte  // what is not yet delivered
	err  error   // valid, as is data, once done is closed
	done chan struct{}
}

// openWhole asks for the whole object, whose CRC then comes along. Of a large one only the beginning is taken from
// this response.
func (r *reader) openWhole(ctx context.Context) error {
	in := &s3.GetObjectInput{Bucket: &r.s.bucket, Key: r.s.key(r.name)}
	out, err := r.s.client.GetObject(ctx, in, s3.WithAPIOptions(
		smithyhttp.SetHeaderValue("X-Amz-Checksum-Mode", "ENABLED"), // the SDK's own way makes it check, too
	))
	if err != nil {
		return err
	}
	if out.ContentLength == nil {
		return errors.Join(strange(r.name, "without a length"), out.Body.Close())
	}
	size := *out.ContentLength
	r.begin(out, size, 0, size)
	if r.left > 2*r.s.conf.ReadSize {
		r.left = r.s.conf.ReadSize
	}
	r.next = r.left
	if sum := aws.ToString(out.ChecksumCRC32C); !strings.Contains(sum, "-") { // else it is one over the parts' CRCs
		r.want = sum
	}
	return nil
}

// openRange asks for the first piece of a range.
func (r *reader) openRange(ctx context.Context, rng store.Range) error {
	begin, end := rng.Bounds(1<<63 - 1)
	end = min(end, begin+r.s.conf.ReadSize)
	if begin >= end { // at the end of the numbers
		_, err := r.stat()
		return err
	}
	out, size, err := r.s.getRange(ctx, store.Info{Name: r.name}, begin, end)
	if _, status := answer(err); status == http.StatusRequestedRangeNotSatisfiable {
		return nil // it begins at or beyond the end
	}
	if err != nil {
		return err
	}
	_, last := rng.Bounds(size)
	r.begin(out, size, begin, last)
	r.left = min(r.left, end-begin)
	r.next = begin + r.left
	return nil
}

// begin takes over the first response, for reading from begin to end.
func (r *reader) begin(out *s3.GetObjectOutput, size, begin, end int64) {
	r.body, r.left, r.end = out.Body, end-begin, end
	r.info = store.Info{
		Name: r.name, Size: size, Modified: aws.ToTime(out.LastModified), Version: aws.ToString(out.ETag),
	}
}

// getRange asks for the bytes from begin to end of an object, in the version that info names if it names one. It
// returns the size of the whole object, too.
func (s *Store) getRange(
	ctx context.Context, info store.Info, begin, end int64,
) (out *s3.GetObjectOutput, size int64, err error) {
	in := &s3.GetObjectInput{
		Bucket: &s.bucket, Key: s.key(info.Name), Range: aws.String(fmt.Sprintf("bytes=%d-%d", begin, end-1)),
	}
	if info.Version != "" {
		in.IfMatch = &info.Version
	}
	if out, err = s.client.GetObject(ctx, in); err != nil {
		return nil, 0, err
	}
	got, total, _ := strings.Cut(aws.ToString(out.ContentRange), "/")
	size, err = strconv.ParseInt(total, 10, 64)
	if err != nil || !strings.HasPrefix(got, fmt.Sprintf("bytes %d-", begin)) { // it would be other bytes
		return nil, 0, errors.Join(strange(info.Name, *in.Range+" with "+got), out.Body.Close())
	}
	return out, size, nil
}

// strange is the error of an answer that S3 would not give.
func strange(name store.Name, what string) error {
	return errs.Errorf("s3.Read", errs.Unsupported, name, "this server answers %q", what)
}

// fetch fills data from an object at an offset.
func (s *Store) fetch(ctx context.Context, info store.Info, begin int64, data []byte) error {
	const op = "s3.Read"
	out, _, err := s.getRange(ctx, info, begin, begin+int64(len(data)))
	if _, status := answer(err); status == http.StatusPreconditionFailed {
		return errs.Errorf(op, errs.Unavailable, info.Name, "it was replaced while it was read")
	}
	if err != nil {
		return failed(op, info.Name, err)
	}
	defer out.Body.Close()
	if _, err := io.ReadFull(out.Body, data); err != nil {
		return broken(info.Name, err)
	}
	return nil
}

// broken is the error of a response that did not arrive whole.
func broken(name store.Name, err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return failed("s3.Read", name, err)
}

func (r *reader) Read(p []byte) (n int, err error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	if r.window == 0 && (r.left == 0 || r.read >= r.s.conf.ReadSize/8) {
		r.window = 1
	}
	for len(r.ahead) < r.window && r.next < r.end {
		end := min(r.next+r.s.conf.ReadSize, r.end)
		r.ahead = append(r.ahead, r.fetch(r.next, end))
		r.next = end
	}
	switch {
	case r.left > 0:
		n, r.err = r.readBody(p)
	case len(r.ahead) > 0:
		n, r.err = r.readAhead(p)
	default:
		r.err = io.EOF
		if got := *encodeCRC(r.sum); r.want != "" && got != r.want {
			r.err = errs.Errorf("s3.Read", errs.Corrupt, r.name, "its CRC32C is %s, and the server says %s", got, r.want)
		}
	}
	r.sum = crc32.Update(r.sum, castagnoli, p[:n])
	r.read += int64(n)
	if n > 0 {
		return n, nil
	}
	return n, r.err
}

// readBody reads from the first response.
func (r *reader) readBody(p []byte) (int, error) {
	n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
	if r.left -= int64(n); r.left == 0 {
		r.body.Close() // all that is wanted of it has arrived
		r.body = nil
		return n, nil
	}
	if err != nil {
		return n, broken(r.name, err)
	}
	return n, nil
}

// readAhead reads from the first of the ranges.
func (r *reader) readAhead(p []byte) (int, error) {
	f := r.ahead[0]
	<-f.done // ends with the context of Open, if not before
	if f.err != nil {
		return 0, f.err
	}
	n := copy(p, f.data)
	if f.data = f.data[n:]; len(f.data) == 0 {
		r.s.ranges.Put(f.buf)
		r.ahead = r.ahead[1:]
		r.window = min(2*r.window, r.s.conf.Parallel)
	}
	return n, nil
}

// Close ends the requests under way.
func (r *reader) Close() error {
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	r.cancel, r.err = nil, errs.E("s3.Read", errs.Invalid, r.name, errors.New("the reader is closed"))
	if r.body != nil {
		r.body.Close() // nothing was written
	}
	r.running.Wait()
	for _, f := range r.ahead {
		r.s.ranges.Put(f.buf)
	}
	r.ahead = nil
	return nil
}

// Info implements store.Reader.
func (r *reader) Info() (store.Info, error) {
	if r.info.Version == "" {
		return r.stat()
	}
	return r.info, nil
}
