package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// This file asks what a gateway leaves of the S3 server that it keeps its files in.

// bucket compares a gateway with its S3 server (versitygw over a folder): what clients of the one and of the other get.
func bucket(ctx context.Context, s settings) (figures, error) {
	endpoint, env, err := startS3(ctx, s)
	if err != nil {
		return figures{}, err
	}
	at, err := startGateway(ctx, s, env, "--store", "s3://bench/files", "--cache", "2GiB")
	if err != nil {
		return figures{}, err
	}
	f := figures{unit: "us", programs: []string{"S3 server", "runner"}}
	load := filepath.Join(s.yards, "hdfsload")
	add := func(name, server, gateway string, args ...string) {
		ask := func(proto, pattern string) asked {
			return asked{argv: append([]string{load, "-proto", proto, "-root", "/load"}, args...), number: per("(?s)" + pattern),
				env: append(env, "S3_URL="+endpoint, "WEBHDFS_URL=http://"+at.HTTP, "HADOOP_USER_NAME=root")}
		}
		f.cases = append(f.cases, instance{name: name, asked: []asked{ask("s3", server), ask("webhdfs", gateway)}})
	}
	size := []string{"-mode", "io", "-size", "268435456"}
	add("write a MB", `PUT +([0-9.]+) MB/s`, `CREATE +([0-9.]+) MB/s`, size...)
	add("read a MB", `GET +([0-9.]+) MB/s`, `OPEN +([0-9.]+) MB/s`, size...)
	add("read a MB again", `GET .*GET +([0-9.]+) MB/s`, `OPEN .*OPEN +([0-9.]+) MB/s`, size...)
	small := []string{"-mode", "small", "-clients", "16", "-n", "1000"}
	add("put of 4 KiB, 16 clients", `put-4k[^\n]* ([0-9.]+) op/s`, `create-4k[^\n]* ([0-9.]+) op/s`, small...)
	add("get of 4 KiB, 16 clients", `get-4k[^\n]* ([0-9.]+) op/s`, `open-4k[^\n]* ([0-9.]+) op/s`, small...)
	return f, nil
}

// startS3 starts an S3 server with a bucket, which ends with ctx, and returns its URL and what clients need to know.
func startS3(ctx context.Context, s settings) (endpoint string, env []string, err error) {
	binary, err := exec.CommandContext(ctx, "scripts/engines", "versitygw").Output()
	if err != nil {
		return "", nil, fmt.Errorf("scripts/engines versitygw: %w", err)
	}
	folder := filepath.Join(s.work, "s3")
	if err := os.MkdirAll(filepath.Join(folder, "bench"), 0o755); err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address, secret := l.Addr().String(), rand.Text()
	l.Close() // for the server; nobody else asks for a port meanwhile
	cmd := exec.CommandContext(ctx, strings.TrimSpace(string(binary)), "--port", address, "--keep-alive", "--quiet",
		"posix",
		folder)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=test", "ROOT_SECRET_KEY="+secret)
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	s.servers.Go(func() { _ = cmd.Wait() }) // killed, as it is meant
	endpoint = "http://" + address
	env = []string{"AWS_ENDPOINT_URL=" + endpoint, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test",
		"AWS_SECRET_ACCESS_KEY=" + secret}
	for range 100 {
		if c, err := net.Dial("tcp", address); err == nil {
			return endpoint, env, c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return "", nil, fmt.Errorf("nobody listens at %s", address)
}
