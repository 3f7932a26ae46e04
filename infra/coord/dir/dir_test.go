//go:build unix

package dir_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/coord"
	"github.com/seed3322913c/runner/infra/coord/coordtest"
	"github.com/seed3322913c/runner/infra/coord/dir"
	"github.com/seed3322913c/runner/infra/errs"
)

// roleVariable makes this test binary play another process.
const roleVariable = "COORD_DIR_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// play is another process: it holds the lease, or counts, until it is killed, and says on stdout what it has done.
func play(role, path string) error {
	ctx := context.Background()
	c, err := dir.Open(path)
	if err != nil {
		return err
	}
	if role == "hold" {
		l, err := c.Acquire(ctx, "job/x", time.Minute)
		if err != nil {
			return err
		}
		fmt.Println(l.Token())
		<-ctx.Done()
	}
	for {
		v, err := c.Get(ctx, "n")
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(string(v.Data)) // absent is empty is 0
		_, err = c.Swap(ctx, "n", v.Version, strconv.AppendInt(nil, int64(n+1), 10))
		if errors.Is(err, errs.Exist) {
			continue
		}
		if err != nil {
			return err
		}
		fmt.Println(n + 1)
	}
}

// process is another process, whose lines are read one by one.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func start(t *testing.T, role, path string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], path)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd, bufio.NewScanner(out)}
	t.Cleanup(func() { p.kill() })
	return p
}

// number reads the next line, 0 at the end.
func (p *process) number() int {
	p.lines.Scan()
	n, _ := strconv.Atoi(p.lines.Text()) // the end is an empty text
	return n
}

// kill is SIGKILL. It returns how many lines the process had written that were not read yet.
func (p *process) kill() (lines int) {
	_ = p.cmd.Process.Kill() // fails if it is dead already
	for p.lines.Scan() {
		lines++
	}
	_ = p.cmd.Wait() // says that it was killed
	return lines
}

func open(t *testing.T, path string) *dir.Coordinator {
	t.Helper()
	c, err := dir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestHeld: who looks sees a lease as long as its holder lives, however many look.
func TestHeld(t *testing.T) {
	path := t.TempDir()
	c := open(t, path)
	look := func() bool {
		t.Helper()
		held, err := c.Held(t.Context(), "job/x")
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	if look() {
		t.Error("held by nobody")
	}
	other := start(t, "hold", path)
	other.number() // it has it
	for range 100 {
		if !look() {
			t.Fatal("not held by another process")
		}
	}
	other.kill()
	var lookers errgroup.Group
	for range 8 {
		lookers.Go(func() error {
			for range 100 {
				if held, err := c.Held(t.Context(), "job/x"); held || err != nil {
					return fmt.Errorf("held %v by who was killed, %v", held, err)
				}
			}
			return nil
		})
	}
	if err := lookers.Wait(); err != nil {
		t.Error(err)
	}
	l, err := c.Acquire(t.Context(), "job/x", time.Minute)
	if err != nil || !look() {
		t.Fatalf("not held by this process, %v", err)
	}
	if err := l.Release(t.Context()); err != nil || look() {
		t.Errorf("held after its release, %v", err)
	}
	if _, err := c.Held(t.Context(), "../x"); !errors.Is(err, errs.Invalid) {
		t.Errorf("a key that is none: %v", err)
	}
}

func TestContract(t *testing.T) {
	coordtest.Run(t, func(t *testing.T) coordtest.Space {
		path := filepath.Join(t.TempDir(), "made", "by", "Open")
		return coordtest.Space{
			Client: func() coord.Coordinator { return open(t, path) },
			Lose: func(key coord.Key) {
				file := filepath.Join(path, "leases", strings.ReplaceAll(string(key), "/", "+"))
				token, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				// Another file of that name, and the same token in it, so that tokens go on growing.
				if err := os.WriteFile(file+".new", token, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(file+".new", file); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

// TestSweep: what is swept is gone, versions go on growing, and neighbours stay.
func TestSweep(t *testing.T) {
	c := open(t, t.TempDir())
	put := func(key coord.Key) coord.Version {
		v, err := c.Swap(t.Context(), key, 0, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	put("job/7k2f-a/secret")
	before := put("job/7k2f-a/guagua/3/up-0")
	put("job/7k2f-ab/secret")
	if err := c.Sweep(t.Context(), "job/7k2f-a/"); err != nil {
		t.Fatal(err)
	}
	for key, there := range map[coord.Key]bool{
		"job/7k2f-a/secret": false, "job/7k2f-a/guagua/3/up-0": false, "job/7k2f-ab/secret": true,
	} {
		if v, err := c.Get(t.Context(), key); err != nil || (v.Version != 0) != there {
			t.Errorf("%s has version %d, %v", key, v.Version, err)
		}
	}
	if after := put("job/7k2f-a/guagua/3/up-0"); after <= before {
		t.Errorf("version %d came after %d", after, before)
	}
}

func TestKilledHolderHandsOver(t *testing.T) {
	path := t.TempDir()
	c := open(t, path)
	holder := start(t, "hold", path)
	first := holder.number()
	second := start(t, "hold", path)
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.Acquire(short, "job/x", time.Minute); !errors.Is(err, errs.Canceled) {
		t.Fatalf("while another process holds the lease: %v", err)
	}
	holder.kill()
	token := second.number()
	if first == 0 || token <= first {
		t.Errorf("tokens %d, then %d", first, token)
	}
	second.kill()
	l, err := c.Acquire(t.Context(), "job/x", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if l.Token() <= uint64(token) {
		t.Errorf("tokens %d, then %d", token, l.Token())
	}
	if err := l.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestKilledWritersLeaveTheSpaceWhole kills counting processes in the midst of it. What one said is counted; what it
// was about to say may be.
func TestKilledWritersLeaveTheSpaceWhole(t *testing.T) {
	path := t.TempDir()
	c := open(t, path)
	said, killed := 0, 0
	for round := range 12 {
		a, b := start(t, "count", path), start(t, "count", path)
		last := 0
		for range 5 + round {
			if n := a.number(); n <= last {
				t.Fatalf("counted %d after %d", n, last)
			} else {
				last = n
			}
			said++
		}
		said += a.kill() + b.kill()
		killed += 2
	}
	v, err := c.Get(t.Context(), "n")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(string(v.Data))
	if err != nil || n < said || n > said+killed {
		t.Errorf("counted to %q; %d increments were reported, and %d processes killed", v.Data, said, killed)
	}
	if _, err := c.Swap(t.Context(), "n", v.Version, nil); err != nil {
		t.Error(err)
	}
}

func TestDamageIsTold(t *testing.T) {
	path := t.TempDir()
	c := open(t, path)
	for name, data := range map[string]string{
		"values/k": "garbage", "values/k2": "", "leases/k": "x", "version": "12\n",
	} {
		if err := os.WriteFile(filepath.Join(path, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []coord.Key{"k", "k2"} {
		if _, err := c.Get(t.Context(), key); !errors.Is(err, errs.Corrupt) {
			t.Errorf("Get %s: %v", key, err)
		}
	}
	if _, err := c.Acquire(t.Context(), "k", time.Second); !errors.Is(err, errs.Corrupt) {
		t.Errorf("Acquire: %v", err)
	}
	if _, err := c.Swap(t.Context(), "fresh", 0, []byte("x")); !errors.Is(err, errs.Corrupt) {
		t.Errorf("Swap: %v", err)
	}
}

func TestOpenSaysWhatIsInTheWay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Open(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkSwap(b *testing.B) {
	c, err := dir.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	var v coord.Version
	for b.Loop() {
		if v, err = c.Swap(b.Context(), "k", v, []byte("value")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAcquire(b *testing.B) {
	c, err := dir.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		l, err := c.Acquire(b.Context(), "k", time.Second)
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Release(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
