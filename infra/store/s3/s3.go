// Package s3 keeps objects in a bucket of Amazon S3, or of a server that speaks its protocol.
//
// The object "a/b" of a store with prefix "p" has the key "p/a/b". How bytes travel:
//
//	small objects     one PutObject
//	larger ones       parts sent several at a time as they fill (package upload), published by CompleteMultipartUpload
//	reads             ranges fetched several at a time ahead of the reader, delivered in order, all of one ETag
//
// Every body that is sent carries its CRC32C, which the server checks. Who reads a whole object checks it against the
// CRC32C that the server keeps of it, if the server keeps one; of ranges S3 has none.
//
// IfAbsent is the header If-None-Match. Each writer marks its object with a random token (metadata runner-writer), so
// that one whose first answer was lost finds its own object there rather than somebody else's. Old or simple servers
// ignore the header and would let two writers win; Open tries it out and refuses such a server.
//
// Nothing is repeated here, with one exception (see List): wrap the store in package retry. Of S3's kinds of buckets
// directory buckets won't do, since they don't list in byte order.
package s3

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/upload"
)

// Config says which bucket, and how to use it. Only Bucket is needed.
type Config struct {
	Bucket      string
	Prefix      string                  // a Name below which all objects are; "" for the whole bucket
	Region      string                  // "": from the environment and the files of the AWS tools
	Endpoint    string                  // URL of a server other than Amazon's
	PathStyle   bool                    // URLs have the bucket in their path, as most other servers want it
	Credentials aws.CredentialsProvider // nil: from the environment, the files of the AWS tools or the machine's role

	ReadSize int64 // bytes of a range that is read; 8 MiB
	PartSize int64 // bytes of a part that is written, for a start (see upload.PartSize); 16 MiB
	Parallel int   // requests at a time of one reader, and of one writer; 4. Each holds a range or a part in memory

	// NoProbe trusts the server to honour conditional writes, where another process has just seen that it does.
	NoProbe bool
}

// silence is how long a connection may deliver nothing before it counts as dead. It includes the time for sending one
// part, so slow lines need it long.
const silence = 2 * time.Minute

// idleConns is how many idle connections are kept: enough for a few readers and writers at work.
const idleConns = 64

// Store is a store.Store and a store.Multipart in a bucket.
type Store struct {
	client *s3.Client
	bucket string
	prefix string // "" or with a slash at its end
	conf   Config // with its defaults
	ranges sync.Pool
}

// Open returns the store of a bucket, after it has seen that the server can be reached and that it honours conditional
// writes. A bucket that may only be read is opened too; writing to it fails then.
func Open(ctx context.Context, conf Config) (*Store, error) {
	const op = "s3.Open"
	conf.ReadSize = cmp.Or(conf.ReadSize, 8<<20)
	conf.PartSize = cmp.Or(conf.PartSize, upload.DefaultPartSize)
	conf.Parallel = cmp.Or(conf.Parallel, 4)
	switch {
	case conf.Bucket == "":
		return nil, errs.Errorf(op, errs.Invalid, nil, "no bucket")
	case conf.PartSize < store.MinPart || conf.ReadSize < 1 || conf.Parallel < 1:
		return nil, errs.Errorf(op, errs.Invalid, conf.Bucket, "parts of %d bytes, ranges of %d, %d at a time",
			conf.PartSize, conf.ReadSize, conf.Parallel)
	}
	s := &Store{bucket: conf.Bucket, conf: conf}
	if conf.Prefix != "" {
		if err := store.Name(conf.Prefix).Check(); err != nil {
			return nil, errs.E(op, errs.Other, conf.Bucket, err)
		}
		s.prefix = conf.Prefix + "/"
	}
	if err := s.connect(ctx); err != nil {
		return nil, errs.E(op, errs.Other, conf.Bucket, err)
	}
	if !conf.NoProbe {
		if err := s.probe(ctx); err != nil {
			return nil, errs.E(op, errs.Other, conf.Bucket, err)
		}
	}
	return s, nil
}

// connect makes the client.
func (s *Store) connect(ctx context.Context) error {
	transport := awshttp.NewBuildableClient().WithReadTimeout(silence).WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = idleConns, idleConns
	})
	loaded, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(s.conf.Region),
		config.WithHTTPClient(transport),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
	)
	if err != nil {
		return errs.E("", errs.Invalid, nil, err)
	}
	if loaded.Region == "" && s.conf.Endpoint == "" {
		return errs.Errorf("", errs.Invalid, nil, "no region is set: AWS_REGION, or region in ~/.aws/config")
	}
	s.client = s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.UsePathStyle = s.conf.PathStyle
		o.Region = cmp.Or(o.Region, "us-east-1") // other servers want any in the signature
		if s.conf.Endpoint != "" {
			o.BaseEndpoint = aws.String(s.conf.Endpoint)
		}
		if s.conf.Credentials != nil {
			o.Credentials = s.conf.Credentials
		}
		if !strings.HasPrefix(s.conf.Endpoint, "http://") { // TLS and the CRC protect the body: no need to hash it, too
			o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
		}
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired // CRC32C is given where bodies are
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	return nil
}

// key returns an object's key.
func (s *Store) key(name store.Name) *string { return aws.String(s.prefix + string(name)) }

// token is the metadata that tells a writer's object from another's.
const token = "runner-writer"

// Stat implements store.Store.
func (s *Store) Stat(ctx context.Context, name store.Name) (store.Info, error) {
	info, _, err := s.head(ctx, "s3.Stat", name)
	return info, err
}

// head returns what the server says of an object, and its writer's token.
func (s *Store) head(ctx context.Context, op string, name store.Name) (store.Info, string, error) {
	if err := name.Check(); err != nil {
		return store.Info{}, "", err
	}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: s.key(name)})
	if err != nil {
		return store.Info{}, "", failed(op, name, err)
	}
	return store.Info{
		Name: name, Size: aws.ToInt64(out.ContentLength),
		Modified: aws.ToTime(out.LastModified), Version: aws.ToString(out.ETag),
	}, out.Metadata[token], nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, name store.Name) error {
	if err := name.Check(); err != nil {
		return err
	}
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: s.key(name)})
	if err = failed("s3.Delete", name, err); errs.KindOf(err) == errs.NotFound {
		return nil
	}
	return err
}
