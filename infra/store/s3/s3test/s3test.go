// Package s3test starts a real S3 server on loopback, for tests of whatever stores objects in S3.
//
//	srv := s3test.Start(t)
//	st, err := s3.Open(ctx, srv.Config(srv.NewBucket(t)))
//
// The server is versitygw over a temporary directory (package enginetest).
package s3test

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed3322913c/runner/infra/enginetest"
	"github.com/seed3322913c/runner/infra/store/s3"
)

// Server is a running S3 server.
type Server struct {
	Endpoint    string // its URL
	Region      string
	Credentials aws.CredentialsProvider
}

// startTries is how many ports are tried: another process may take one between its choice and its use.
const startTries = 5

// Start starts a server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	binary, dir, secret := enginetest.Binary(t, "versitygw"), t.TempDir(), rand.Text()
	var err error
	for range startTries {
		address := fmt.Sprintf("127.0.0.1:%d", enginetest.Free(t, 1)[0])
		cmd := exec.Command(binary, "--port", address, "--keep-alive", "--quiet", "posix", dir)
		cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=tester", "ROOT_SECRET_KEY="+secret)
		if err = enginetest.Start(t, cmd).Await(func() error { return listens(address) }); err == nil {
			return &Server{
				Endpoint: "http://" + address, Region: "us-east-1",
				Credentials: credentials.NewStaticCredentialsProvider("tester", secret, ""),
			}
		}
	}
	t.Fatal(err)
	return nil
}

// listens returns nil if somebody listens at address.
func listens(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// NewBucket makes an empty bucket.
func (s *Server) NewBucket(t testing.TB) string {
	t.Helper()
	client := awss3.New(awss3.Options{
		Region: s.Region, BaseEndpoint: &s.Endpoint, Credentials: s.Credentials, UsePathStyle: true,
	})
	bucket := "b" + strings.ToLower(rand.Text())
	if _, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	return bucket
}

// Config returns how to open a bucket of the server.
func (s *Server) Config(bucket string) s3.Config {
	return s3.Config{
		Bucket: bucket, Region: s.Region, Endpoint: s.Endpoint, PathStyle: true, Credentials: s.Credentials,
	}
}
