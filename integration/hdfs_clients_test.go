package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/infra/enginetest"
)

// Unmodified clients of HDFS use a gateway as they would a NameNode and a DataNode. docs/clients.md says which.

// startHDFS starts a gateway for both protocols.
func startHDFS(t *testing.T, args ...string) *gateway {
	t.Helper()
	args = append([]string{"--http", "127.0.0.1:0", "--rpc", "127.0.0.1:0", "--store", "file://" + t.TempDir()}, args...)
	g := startGateway(t, nil, args...)
	g.leads(t)
	return g
}

// python runs a program of testdata/hdfs as the user root, in a folder of its own, and returns what it prints.
func python(t *testing.T, dir string, stdin []byte, name string, args ...string) string {
	t.Helper()
	program, err := filepath.Abs(filepath.Join("testdata", "hdfs", name))
	if err != nil {
		t.Fatal(err)
	}
	return inPython(t, dir, stdin, nil, append([]string{program}, args...)...)
}

func inPython(t *testing.T, dir string, stdin []byte, env []string, args ...string) string {
	t.Helper()
	cmd := pythonCommand(t, args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	cmd.Env = append(cmd.Env, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, stderr.String())
	}
	return string(out)
}

func pythonCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), enginetest.Binary(t, "hdfs-clients"), args...)
	cmd.Env = append(os.Environ(), "HADOOP_USER_NAME=root", "PYTHONDONTWRITEBYTECODE=1", "TMPDIR="+t.TempDir())
	return cmd
}

// outcome is what came of a command of Hadoop's shell.
type outcome struct {
	Args     []string
	Code     int
	Out, Err string
}

// TestFsShell runs commands of Hadoop's own shell over both protocols, and compares with what it says when it talks to
// Hadoop 3.4.2 on one machine.
func TestFsShell(t *testing.T) {
	commands, err := os.ReadFile(filepath.Join("testdata", "hdfs", "fsshell.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&lines, "line %d\n", i)
	}
	times := regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?`)
	addresses := regexp.MustCompile(`(web)?hdfs://127\.0\.0\.1:\d+`)
	clean := func(text string) string {
		text = addresses.ReplaceAllString(times.ReplaceAllString(text, "@TIME"), "@FS")
		return strings.ReplaceAll(text, lines.String(), "@LINES")
	}
	g := startHDFS(t)
	servers := []string{"hdfs://" + g.rpc, "webhdfs://" + g.address}
	if testing.Short() {
		servers = servers[:1]
	}
	for _, server := range servers {
		dir := t.TempDir()
		for name, text := range map[string]string{"lines.txt": lines.String(), "more.txt": "more\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got := outcomes(t, python(t, dir, commands, "fsshell.py", server))
		for i, want := range outcomes(t, string(commands)) {
			if i >= len(got) {
				t.Fatalf("%s: nothing came of %q", server, want.Args)
			}
			if want.Args[0] == "-truncate" { // here there is nothing to wait for
				want.Out = want.Out[strings.Index(want.Out, "Truncated"):]
			}
			got[i].Out, got[i].Err = clean(got[i].Out), clean(got[i].Err)
			if diff := cmp.Diff(want, got[i]); diff != "" {
				t.Errorf("%s: %q (-Hadoop +gateway)\n%s", server, want.Args, diff)
			}
		}
	}
}

func outcomes(t *testing.T, text string) (all []outcome) {
	t.Helper()
	for line := range strings.Lines(text) {
		var o outcome
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

// TestJavaStreams flushes, loses and recovers files with Hadoop's Java client, which is told of a gateway that stands
// by, too.
func TestJavaStreams(t *testing.T) {
	p := &pair{t: t, args: []string{"--store", "file://" + t.TempDir(), "--coord", t.TempDir()}, up: make([]*gateway, 2)}
	p.ports = []string{"127.0.0.1:0", "127.0.0.1:0"}
	p.start(1)
	p.up[1].leads(t)
	p.start(0)
	if out := python(t, t.TempDir(), nil, "streams.py", p.up[0].rpc, p.up[1].rpc); out != "ok\n" {
		t.Error(out)
	}
}

// TestJavaWritersGoOn breaks the connections that Hadoop's Java client writes blocks on, and starts the gateway again
// while it writes.
func TestJavaWritersGoOn(t *testing.T) {
	args := []string{"--store", "file://" + t.TempDir(), "--rpc", fmt.Sprintf("127.0.0.1:%d", enginetest.Free(t, 1)[0])}
	g := startHDFS(t, args...)
	program, err := filepath.Abs(filepath.Join("testdata", "hdfs", "broken.py"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := pythonCommand(t, program, g.rpc)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		said = lines.Text()
		if said == "restart" {
			g.end(t, syscall.SIGTERM)
			g = startHDFS(t, args...)
			fmt.Fprintln(stdin, "done") // if that fails the program says why
		}
	}
	if err := cmd.Wait(); err != nil || said != "ok" {
		t.Errorf("%q, %v\n%s", said, err, stderr.String())
	}
}

// TestDelegationToken lets Hadoop's Java client act for users of whom it has nothing but a delegation token, which a
// proxy got for it, or `runner fs token`.
func TestDelegationToken(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("secret root\nworkflow oozie\nbobs bob\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := startHDFS(t, "--tokens", tokens, "--proxy", "oozie=alice,bob")
	ask := func(method, bearer, query string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+g.address+"/webhdfs/v1/?op="+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+bearer)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(query, resp.Status, string(text), err)
		}
		return string(text)
	}
	ask("PUT", "secret", "SETPERMISSION&permission=777")
	var answer struct{ Token struct{ URLString string } }
	text := ask("GET", "workflow", "GETDELEGATIONTOKEN&renewer=yarn&doas=alice")
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatal(text, err)
	}
	file := filepath.Join(t.TempDir(), "credentials")
	cmd := exec.CommandContext(t.Context(), filepath.Join(os.Getenv(binEnv), "runner"), "fs", "token", file,
		"--fs", "webhdfs://"+g.address, "--rpc", g.rpc)
	cmd.Env = append(os.Environ(), "RUNNER_GATEWAY_TOKEN=bobs")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	owners := python(t, t.TempDir(), nil, "delegation.py", g.address, answer.Token.URLString, g.rpc, file)
	if owners != "alice\nbob\nTrue\n" {
		t.Errorf("the files belong to %q", owners)
	}
}

// TestPythonClients uses fsspec and pyarrow over WebHDFS, and the Rust client by its Python name over hdfs://.
func TestPythonClients(t *testing.T) {
	g := startHDFS(t)
	if out := python(t, t.TempDir(), nil, "python.py", g.address, g.rpc); out != "ok\n" {
		t.Error(out)
	}
}

// TestHdfsCLI runs the suite of the Python client HdfsCLI. It marks three of its tests itself as not to be run.
func TestHdfsCLI(t *testing.T) {
	g := startHDFS(t)
	bin := filepath.Dir(enginetest.Binary(t, "hdfs-clients"))
	suites, err := filepath.Glob(filepath.Join(bin, "../src/hdfs-*/test/test_client.py"))
	if err != nil || len(suites) != 1 {
		t.Fatal(suites, err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "test"), 0o755); err != nil {
		t.Fatal(err)
	}
	for to, from := range map[string]string{"__init__.py": os.DevNull, "test_client.py": suites[0],
		"util.py": filepath.Join("testdata", "hdfs", "hdfscli_util.py")} {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "test", to), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"HDFSCLI_TEST_URL=http://" + g.address}
	out := inPython(t, dir, nil, env, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test/test_client.py")
	if !strings.Contains(out, "186 passed, 3 skipped") {
		t.Error(out)
	}
}

// TestSpark writes and reads Parquet and text with Spark, with both versions of the committer.
func TestSpark(t *testing.T) {
	g := startHDFS(t)
	args := []string{"1,2", "hdfs://" + g.rpc, "webhdfs://" + g.address}
	if testing.Short() {
		args = []string{"2", "hdfs://" + g.rpc}
	}
	if out := python(t, t.TempDir(), nil, "spark.py", args...); !strings.HasSuffix(out, "ok\n") {
		t.Error(out)
	}
}

// TestGoClient runs the suite of the Go client, after its command has made what the suite reads. It marks two of its
// tests itself as not to be run.
func TestGoClient(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	g := startHDFS(t, "--superuser", me.Username) // whom the suite takes for it
	command := enginetest.Binary(t, "gohdfs")
	conf, scratch := t.TempDir(), t.TempDir()
	site := "<configuration><property><name>fs.defaultFS</name><value>hdfs://" + g.rpc +
		"</value></property></configuration>"
	if err := os.WriteFile(filepath.Join(conf, "core-site.xml"), []byte(site), 0o644); err != nil {
		t.Fatal(err)
	}
	recipe := filepath.Join("engines", "gohdfs")
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = recipe
		cmd.Env = append(os.Environ(), "HADOOP_CONF_DIR="+conf, "HADOOP_USER_NAME="+me.Username, "GOFLAGS=-mod=readonly",
			"GOWORK=off", "TMPDIR="+scratch)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	const client = "github.com/colinmarc/hdfs/v2"
	data := filepath.Join(strings.TrimSpace(run("go", "list", "-f", "{{.Dir}}", client)), "testdata")
	run(command, "mkdir", "-p", "/_test")
	run(command, "chmod", "777", "/_test")
	for _, name := range []string{"foo.txt", "mobydick.txt"} {
		run(command, "put", filepath.Join(data, name), "/_test/"+name)
	}
	// Four tests wait exactly as long as their deadline, and expect it to have passed: so it has if the server is slow.
	args := []string{"test", "-count=1", "-v", "-skip", "^TestFile(Read|Checksum|Write|Append)Deadline$"}
	if testing.Short() {
		args = append(args, "-run", "Append")
	}
	out := run("go", append(args, client)...)
	if n := strings.Count(out, "--- PASS"); n < 120 && !testing.Short() {
		t.Errorf("%d tests passed\n%s", n, out)
	}
}
