package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"hash/crc32"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/upload"
)

// Create implements store.Store. The server hears of the object when the first part is full, or at Commit.
func (s *Store) Create(ctx context.Context, name store.Name, opts ...store.CreateOption) (store.Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, errs.E("s3.Create", errs.Canceled, name, err)
	}
	if err := name.Check(); err != nil {
		return nil, err
	}
	small := func(_ context.Context, data []byte) (store.Writer, error) {
		return &small{s: s, name: name, data: data, token: rand.Text(), opts: store.Collect(opts)}, nil
	}
	return upload.New(ctx, s, name, upload.Options{
		PartSize: s.conf.PartSize, Memory: int64(s.conf.Parallel) * s.conf.PartSize, Small: small,
	}, opts...), nil
}

// small commits an object by a single request. Package upload, which has its bytes, never writes to it.
type small struct {
	store.Writer
	s     *Store
	name  store.Name
	data  []byte
	token string
	opts  store.CreateOptions
}

func (w *small) Abort(context.Context) error { return nil }

func (w *small) Commit(ctx context.Context) error {
	in := &s3.PutObjectInput{
		Bucket: &w.s.bucket, Key: w.s.key(w.name), Body: bytes.NewReader(w.data),
		ChecksumCRC32C: encodeCRC(crc32.Checksum(w.data, castagnoli)),
		Metadata:       map[string]string{token: w.token},
		IfNoneMatch:    ifNoneMatch(w.opts),
	}
	_, err := w.s.client.PutObject(ctx, in)
	return w.s.settle(ctx, "s3.Commit", store.Upload{Name: w.name, Token: w.token}, int64(len(w.data)), err)
}

func ifNoneMatch(opts store.CreateOptions) *string {
	if opts.IfAbsent {
		return aws.String("*")
	}
	return nil
}

// settle finds out what became of an object whose publication ended with err. An answer that speaks of another object,
// or of no upload, may mean the one that an earlier request of the same writer made and whose answer was lost.
func (s *Store) settle(ctx context.Context, op string, u store.Upload, size int64, err error) error {
	code, _ := answer(err)
	err = failed(op, u.Name, err)
	kind := errs.KindOf(err)
	if err == nil || kind != errs.Exist && kind != errs.NotFound && code != conflict {
		return err
	}
	info, writer, headErr := s.head(ctx, op, u.Name)
	switch {
	case headErr == nil && writer == u.Token && info.Size == size:
		return nil
	case headErr == nil && writer == u.Token:
		return errs.Errorf(op, errs.Corrupt, u.Name, "it has %d bytes, and %d were written", info.Size, size)
	case headErr == nil && code == conflict:
		return errs.E(op, errs.Exist, u.Name, err)
	case headErr != nil && errs.KindOf(headErr) != errs.NotFound:
		return headErr
	}
	return err
}

// BeginUpload implements store.Multipart.
func (s *Store) BeginUpload(ctx context.Context, name store.Name) (store.Upload, error) {
	const op = "s3.BeginUpload"
	if err := name.Check(); err != nil {
		return store.Upload{}, err
	}
	u := store.Upload{Name: name, Token: rand.Text()}
	out, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &s.bucket, Key: s.key(name), Metadata: map[string]string{token: u.Token},
		// One CRC over the whole object, so that a reader can check it without knowing the parts.
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c, ChecksumType: types.ChecksumTypeFullObject,
	})
	if err != nil {
		return store.Upload{}, failed(op, name, err)
	}
	u.ID = aws.ToString(out.UploadId)
	return u, nil
}

// UploadPart implements store.Multipart.
func (s *Store) UploadPart(ctx context.Context, u store.Upload, number int, data []byte) (store.Part, error) {
	const op = "s3.UploadPart"
	if number < 1 || number > store.MaxParts {
		return store.Part{}, errs.Errorf(op, errs.Invalid, u.Name, "part %d", number)
	}
	p := store.Part{Number: number, Size: int64(len(data)), CRC32C: crc32.Checksum(data, castagnoli)}
	out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &s.bucket, Key: s.key(u.Name), UploadId: &u.ID, PartNumber: aws.Int32(int32(number)),
		Body: bytes.NewReader(data), ChecksumCRC32C: encodeCRC(p.CRC32C),
	})
	if err != nil {
		return store.Part{}, failed(op, u.Name, err)
	}
	p.ETag = aws.ToString(out.ETag)
	return p, nil
}

// CompleteUpload implements store.Multipart.
func (s *Store) CompleteUpload(
	ctx context.Context, u store.Upload, parts []store.Part, opts ...store.CreateOption,
) error {
	size, err := store.CheckParts(u, parts)
	if err != nil {
		return err
	}
	list := make([]types.CompletedPart, len(parts))
	for i, p := range parts {
		list[i] = types.CompletedPart{
			PartNumber: aws.Int32(int32(p.Number)), ETag: aws.String(p.ETag), ChecksumCRC32C: encodeCRC(p.CRC32C),
		}
	}
	_, err = s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &s.bucket, Key: s.key(u.Name), UploadId: &u.ID, ChecksumType: types.ChecksumTypeFullObject,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: list}, MpuObjectSize: &size,
		IfNoneMatch: ifNoneMatch(store.Collect(opts)),
	})
	return s.settle(ctx, "s3.CompleteUpload", u, size, err)
}

// AbortUpload implements store.Multipart.
func (s *Store) AbortUpload(ctx context.Context, u store.Upload) error {
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &s.bucket, Key: s.key(u.Name), UploadId: &u.ID,
	})
	if err = failed("s3.AbortUpload", u.Name, err); errs.KindOf(err) == errs.NotFound {
		return nil
	}
	return err
}
