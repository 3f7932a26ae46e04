package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// This file asks what hdfs:// takes.

// hdfsEnv names a NameNode, with its data nodes, to compare with: hdfs://HOST:PORT, where the user root may do
// everything.
const hdfsEnv = "RUNNER_BENCH_HDFS"

// native compares a gateway with Hadoop, where there is one: the Go client's time for an operation, and for a MB.
func native(ctx context.Context, s settings) (figures, error) {
	address, err := startGateway(ctx, s)
	if err != nil {
		return figures{}, err
	}
	f := figures{unit: "us", programs: []string{"runner"}}
	servers := []string{"hdfs://" + address}
	if hadoop := os.Getenv(hdfsEnv); hadoop != "" {
		f.programs, servers = []string{"Hadoop", "runner"}, []string{hadoop, servers[0]}
	}
	add := func(name, pattern string, args ...string) {
		c := instance{name: name}
		for _, server := range servers {
			c.asked = append(c.asked, asked{argv: append([]string{filepath.Join(s.yards, "hdfsload"), "-proto", "hdfs"},
				args...), env: []string{"HDFS_URL=" + server, "HADOOP_USER_NAME=root"}, number: per(pattern)})
		}
		f.cases = append(f.cases, c)
	}
	for _, clients := range []int{1, 16, 64} {
		for _, op := range []string{"stat", "mkdir", "rename"} {
			add(fmt.Sprintf("%s, %d clients", op, clients), op+` .* ([0-9.]+) op/s`, "-mode", "meta", "-clients",
				strconv.Itoa(clients), "-n", strconv.Itoa(60*clients+300))
		}
	}
	add("write a MB", `write +([0-9.]+) MB/s`, "-mode", "io")
	add("read a MB", `read +([0-9.]+) MB/s`, "-mode", "io")
	return f, nil
}

// per finds a rate per second, as after does, and returns the microseconds of one.
func per(pattern string) func([]byte) (float64, error) {
	rate := after(pattern, 1)
	return func(printed []byte) (float64, error) {
		v, err := rate(printed)
		return 1e6 / v, err
	}
}

// startGateway starts a gateway that ends with ctx, and returns where it serves hdfs://.
func startGateway(ctx context.Context, s settings) (string, error) {
	cmd := exec.CommandContext(ctx, s.runner, "gateway", "--json", "--superuser", "root", "--http", "127.0.0.1:0", "--rpc",
		"127.0.0.1:0", "--store", "file://"+filepath.Join(s.work, "gateway"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return "", fmt.Errorf("runner gateway: %w", err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var turn struct {
			RPC    string
			Leader bool
		}
		if err := json.Unmarshal(lines.Bytes(), &turn); err != nil {
			return "", fmt.Errorf("runner gateway: %w", err)
		}
		if turn.Leader {
			return turn.RPC, nil
		}
	}
	return "", fmt.Errorf("runner gateway: %w", cmd.Wait())
}
