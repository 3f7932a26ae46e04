// Package s3test starts a real S3 server on loopback, for tests of whatever stores objects in S3.
//
//	srv := s3test.Start(t)
//	st, err := s3.Open(ctx, srv.Config(srv.NewBucket(t)))
//
// The server is versitygw over a temporary directory, built by scripts/engines. Where it can't be built a test is
// skipped, and fails if CI=true or RUNNER_REQUIRE_ENGINES=1 says that nothing may be.
package s3test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

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
	binary := engine(t)
	dir := t.TempDir()
	secret := rand.Text()
	var err error
	for range startTries {
		var address string
		if address, err = launch(t, binary, dir, secret); err == nil {
			return &Server{
				Endpoint: "http://" + address, Region: "us-east-1",
				Credentials: credentials.NewStaticCredentialsProvider("tester", secret, ""),
			}
		}
	}
	t.Fatalf("versitygw does not start: %v", err)
	return nil
}

// engine returns the path of the server's binary.
func engine(t testing.TB) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(here), "../../../../scripts/engines")
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), script, "versitygw")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		return strings.TrimSpace(string(out))
	}
	message := fmt.Sprintf("no S3 server to test against: scripts/engines versitygw: %v\n%s", err, stderr.String())
	if os.Getenv("CI") == "true" || os.Getenv("RUNNER_REQUIRE_ENGINES") == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
	return ""
}

// launch starts the binary on a free port and waits until it answers.
func launch(t testing.TB, binary, dir, secret string) (string, error) {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	address := probe.Addr().String()
	if err := probe.Close(); err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // t's own ends before the last requests do
	cmd := exec.CommandContext(ctx, binary, "--port", address, "--keep-alive", "--quiet", "posix", dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=tester", "ROOT_SECRET_KEY="+secret)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = dieWithParent()
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		cancel()
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := answers(address, ended); err != nil {
		cancel()
		return "", fmt.Errorf("%w\n%s", err, output.String())
	}
	t.Cleanup(func() {
		cancel()
		<-ended // how it ended means nothing: it was told to
	})
	return address, nil
}

// answers waits until a server listens at address or its process has ended.
func answers(address string, ended <-chan error) error {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	late := time.After(20 * time.Second)
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			return conn.Close()
		}
		select {
		case <-again.C:
		case err := <-ended:
			return fmt.Errorf("it ended at once: %w", errors.Join(err, errors.New("before it listened")))
		case <-late:
			return errors.New("it does not listen")
		}
	}
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
