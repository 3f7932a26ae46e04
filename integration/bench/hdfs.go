package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// This file asks what hdfs:// and webhdfs:// take.

// hdfsEnv names a NameNode, with its data nodes, to compare with: hdfs://HOST:PORT, where the user root may do
// everything.
const hdfsEnv = "RUNNER_BENCH_HDFS"

// native compares a gateway with Hadoop, where there is one: the Go client's time for an operation, and for a MB.
func native(ctx context.Context, s settings) (figures, error) {
	at, err := startGateway(ctx, s, nil, "--store", "file://"+filepath.Join(s.work, "gateway", rand.Text()))
	if err != nil {
		return figures{}, err
	}
	f := figures{unit: "us", programs: []string{"runner"}}
	servers := []string{"hdfs://" + at.RPC}
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
	// What the disk has to do for it: Hadoop leaves a block in the page cache, a gateway syncs it.
	alone := instance{name: "the disk alone writes a MB", asked: []asked{disk(s, "conv=fdatasync")}}
	if len(servers) > 1 {
		alone.asked = append([]asked{disk(s, "conv=notrunc")}, alone.asked...)
	}
	f.cases = append(f.cases, alone)
	return f, nil
}

// disk writes a file with an operand of dd.
func disk(s settings, operand string) asked {
	const megabytes = 1000 << 20 / 1e6
	return asked{argv: []string{"sh", "-c", `dd if=/dev/zero of="$0" bs=1M count=1000 "$1" 2>&1; rm "$0"`,
		filepath.Join(s.work, "disk-"+rand.Text()), operand}, number: after(`copied, ([0-9.]+) s`, 1e6/megabytes)}
}

// per finds a rate per second, as after does, and returns the microseconds of one.
func per(pattern string) func([]byte) (float64, error) {
	rate := after(pattern, 1)
	return func(printed []byte) (float64, error) {
		v, err := rate(printed)
		return 1e6 / v, err
	}
}

// webEnv names the same NameNode's WebHDFS: http://HOST:PORT.
const webEnv = "RUNNER_BENCH_WEBHDFS"

// web compares a gateway with Hadoop over WebHDFS. Without a Hadoop at hand the ratios are against what Hadoop 3.4.2,
// on two cores of another machine, needed once.
func web(ctx context.Context, s settings) (figures, error) {
	at, err := startGateway(ctx, s, nil, "--store", "file://"+filepath.Join(s.work, "gateway", rand.Text()))
	if err != nil {
		return figures{}, err
	}
	hadoop := os.Getenv(webEnv)
	f := figures{unit: "us", programs: []string{"Hadoop", "runner"}}
	if hadoop == "" {
		f.programs[0] = "Hadoop, once"
	}
	add := func(name, pattern string, once float64, args ...string) {
		ask := func(server string) asked {
			return asked{argv: append([]string{filepath.Join(s.yards, "hdfsload"), "-proto", "webhdfs"}, args...),
				env: []string{"WEBHDFS_URL=" + server, "HADOOP_USER_NAME=root"}, number: per(pattern)}
		}
		peer := asked{known: 1e6 / once}
		if hadoop != "" {
			peer = ask(hadoop)
		}
		f.cases = append(f.cases, instance{name: name, asked: []asked{peer, ask("http://" + at.HTTP)}})
	}
	rates := map[int][]float64{1: {990, 472, 763, 1273}, 16: {4769, 2689, 3859, 5071}, 64: {8551, 6443, 7591, 10148}}
	for _, clients := range []int{1, 16, 64} {
		for i, op := range []string{"getfilestatus", "mkdirs", "rename", "liststatus-0"} {
			add(fmt.Sprintf("%s, %d clients", op, clients), op+` .* ([0-9.]+) op/s`, rates[clients][i], "-mode", "meta",
				"-clients", strconv.Itoa(clients), "-n", strconv.Itoa(60*clients+300))
		}
	}
	add("create of 4 KiB, 16 clients", `create-4k .* ([0-9.]+) op/s`, 106, "-mode", "small", "-clients", "16", "-n",
		"1500")
	add("write a MB", `CREATE +([0-9.]+) MB/s`, 388, "-mode", "io")
	add("read a MB", `OPEN +([0-9.]+) MB/s`, 541, "-mode", "io")
	return f, nil
}

// address is where a gateway serves.
type address struct {
	HTTP, RPC string
	Leader    bool
	pid       int
}

// startGateway starts a gateway that ends with ctx, and waits until it serves.
func startGateway(ctx context.Context, s settings, env []string, args ...string) (address, error) {
	at, more, err := s.gateway(ctx, env, args...)
	for err == nil && !at.Leader {
		at.Leader, err = more()
	}
	return at, err
}

// gateway starts a gateway that ends with ctx. It may stand by; more waits until it says whether it leads now.
func (s settings) gateway(ctx context.Context, env []string, args ...string) (at address, more func() (bool, error),
	err error) {
	args = append([]string{"gateway", "--json", "--superuser", "root", "--http", "127.0.0.1:0", "--rpc", "127.0.0.1:0"},
		args...)
	cmd := exec.CommandContext(ctx, s.runner, args...)
	cmd.Env, cmd.Stderr = append(append(os.Environ(), s.home()), env...), os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return address{}, nil, fmt.Errorf("runner gateway: %w", err)
	}
	s.servers.Go(func() { <-ctx.Done(); _ = cmd.Wait() }) // killed, as it is meant
	lines := bufio.NewScanner(out)
	next := func(to *address) error {
		if !lines.Scan() {
			return errors.New("runner gateway: it ended")
		}
		return json.Unmarshal(lines.Bytes(), to)
	}
	if err := next(&at); err != nil {
		return address{}, nil, err
	}
	at.pid = cmd.Process.Pid
	return at, func() (bool, error) {
		var turn address
		err := next(&turn)
		return turn.Leader, err
	}, nil
}
