package file_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/file"
	"github.com/seed3322913c/runner/infra/store/storetest"
)

// The tests of this file run the test binary again, as another process with a role to play.
const roleVar = "RUNNER_FILE_TEST_ROLE"

func TestMain(m *testing.M) {
	roles := map[string]func(context.Context, *file.Store) error{
		"race": race, "write": writeForEver, "fill limited": fillLimited, "fill tmpfs": fillTmpfs, "list": listAsNobody,
	}
	role, ok := roles[os.Getenv(roleVar)]
	if !ok {
		os.Exit(m.Run())
	}
	st, err := file.New(os.Args[1], file.Options{})
	if err == nil {
		err = role(context.Background(), st)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child makes a process that plays a role in a directory, not started yet.
func child(t *testing.T, role, dir string, args ...string) (cmd *exec.Cmd, in io.Writer, out *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), exe, append([]string{dir}, args...)...)
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	cmd.Stderr = os.Stderr
	in, err = cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return cmd, in, bufio.NewScanner(stdout)
}

const raceRounds = 300

// race waits for a line, then creates names in order, if-absent, and prints those that it won.
func race(ctx context.Context, st *file.Store) error {
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	for i := range raceRounds {
		err := store.Put(ctx, st, store.Name(fmt.Sprintf("log/%d", i)), []byte(os.Args[2]), store.IfAbsent())
		if err == nil {
			fmt.Println(i)
		} else if !errors.Is(err, errs.Exist) {
			return err
		}
	}
	return nil
}

func TestProcessesRaceIfAbsent(t *testing.T) {
	root := t.TempDir()
	type racer struct {
		name string
		cmd  *exec.Cmd
		out  *bufio.Scanner
	}
	var racers []racer
	var starts []io.Writer
	for _, name := range []string{"one", "two", "three"} {
		cmd, in, out := child(t, "race", root, name)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		racers, starts = append(racers, racer{name, cmd, out}), append(starts, in)
	}
	if _, err := io.WriteString(io.MultiWriter(starts...), "go\n"); err != nil {
		t.Fatal(err)
	}
	winner, wins := map[string]string{}, map[string]int{}
	for _, r := range racers {
		for r.out.Scan() {
			if other, twice := winner[r.out.Text()]; twice {
				t.Errorf("%s was won by %s and %s", r.out.Text(), other, r.name)
			}
			winner[r.out.Text()] = r.name
			wins[r.name]++
		}
		if err := r.cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("wins: %v", wins)
	st := open(t, root, file.Options{})
	for i := range raceRounds {
		got, err := store.Get(t.Context(), st, store.Name(fmt.Sprintf("log/%d", i)), 100)
		if want := winner[strconv.Itoa(i)]; err != nil || string(got) != want {
			t.Errorf("log/%d holds %q, %v; %q said that it won", i, got, err, want)
		}
	}
}

// content is what the object number i holds in its n-th version: anybody can tell whether it is whole.
func content(i, version int) []byte {
	body := storetest.Pattern(1000+i%7*40_000, byte(version))
	return append(fmt.Appendf(nil, "%d %d %d\n", i, version, len(body)), body...)
}

// check returns an error if data is no content of object i, and its version.
func check(i int, data []byte) (version int, err error) {
	var number, size int
	if _, err := fmt.Sscanf(string(data[:min(len(data), 60)]), "%d %d %d\n", &number, &version, &size); err != nil {
		return 0, err
	}
	if number != i || !bytes.Equal(data, content(i, version)) {
		return 0, fmt.Errorf("object %d holds %d torn bytes", i, len(data))
	}
	return version, nil
}

const writeNames = 20

// writeForEver overwrites a few objects in turn, in pieces, and prints each version after its commit.
func writeForEver(ctx context.Context, st *file.Store) error {
	first, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return err
	}
	for version := first; ; version++ {
		for i := range writeNames {
			w, err := st.Create(ctx, store.Name(fmt.Sprintf("d/%d/object", i)))
			if err != nil {
				return err
			}
			for data := content(i, version); len(data) > 0; data = data[min(len(data), 30_000):] {
				if _, err := w.Write(data[:min(len(data), 30_000)]); err != nil {
					return err
				}
			}
			if err := w.Commit(ctx); err != nil {
				return err
			}
			fmt.Println(i, version)
		}
	}
}

// A process that is killed while it writes leaves, of every object, a whole version: at least the one whose commit it
// told.
func TestKilledWriter(t *testing.T) {
	root := t.TempDir()
	st := open(t, root, file.Options{})
	told := map[int]int{} // the newest version of each object whose commit returned
	next := 1
	for round := range 12 {
		cmd, _, out := child(t, "write", root, strconv.Itoa(next))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for left := 5 + rand.IntN(60); out.Scan(); left-- {
			if left == 0 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			var i, version int
			if _, err := fmt.Sscan(out.Text(), &i, &version); err != nil {
				t.Fatalf("the child says %q: %v", out.Text(), err)
			}
			told[i], next = version, max(next, version+2) // it may have written one more than it told
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("round %d: the child was to be killed, and ended with %v", round, err)
		}
		for i := range writeNames {
			data, err := store.Get(t.Context(), st, store.Name(fmt.Sprintf("d/%d/object", i)), 1<<20)
			if errors.Is(err, errs.NotFound) && told[i] == 0 {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if version, err := check(i, data); err != nil || version < told[i] {
				t.Fatalf("round %d: object %d has version %d, told was %d; %v", round, i, version, told[i], err)
			}
		}
	}
	for _, name := range list(t, st, "") {
		if !strings.HasSuffix(name, "/object") {
			t.Errorf("a killed writer left %q to be seen", name)
		}
	}
	if err := st.Sweep(t.Context(), "", 0); err != nil {
		t.Fatal(err)
	}
	for _, path := range walk(t, root) {
		if strings.Contains(path, ".runner-tmp-") {
			t.Errorf("not swept: %s", path)
		}
	}
}

// fill writes more than there is room for, and says how that went.
func fill(ctx context.Context, st *file.Store) error {
	if err := store.Put(ctx, st, "before", []byte("fits")); err != nil {
		return err
	}
	err := store.Put(ctx, st, "big", make([]byte, 8<<20))
	if !errors.Is(err, errs.Exhausted) {
		return fmt.Errorf("an object that does not fit: %w", err)
	}
	for info, err := range st.List(ctx, "") {
		if err != nil || info.Name != "before" {
			return fmt.Errorf("afterwards there is %q, %w", info.Name, err)
		}
	}
	if err := store.Put(ctx, st, "after", []byte("fits again")); err != nil {
		return fmt.Errorf("the room of what failed was not given back: %w", err)
	}
	_, err = fmt.Println("as promised")
	return err
}

// fillLimited fills under a limit on the size of files, and fillTmpfs fills a small file system of its own.
func fillLimited(ctx context.Context, st *file.Store) error {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4 << 20, Max: 4 << 20}); err != nil {
		return err
	}
	return fill(ctx, st)
}

func fillTmpfs(ctx context.Context, st *file.Store) error {
	err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	if err == nil {
		err = syscall.Mount("tmpfs", os.Args[1], "tmpfs", 0, "size=4m")
	}
	if err != nil {
		return err
	}
	return fill(ctx, st)
}

// wantFilled runs a child that fills what it has.
func wantFilled(t *testing.T, cmd *exec.Cmd, out *bufio.Scanner) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Skipf("this machine gives no namespace of mounts to a test: %v", err)
	}
	if !out.Scan() || out.Text() != "as promised" {
		t.Errorf("the child says %q", out.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestDiskFull(t *testing.T) {
	t.Run("limit on the size of files", func(t *testing.T) {
		cmd, _, out := child(t, "fill limited", t.TempDir())
		wantFilled(t, cmd, out)
	})
	t.Run("small file system", func(t *testing.T) {
		cmd, _, out := child(t, "fill tmpfs", t.TempDir())
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS} // its mounts vanish with it
		if os.Getuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		}
		wantFilled(t, cmd, out)
	})
}

// listAsNobody lists as a user for whom permissions count, which they don't for root.
func listAsNobody(ctx context.Context, st *file.Store) error {
	if os.Getuid() == 0 {
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	for info, err := range st.List(ctx, "") {
		if err != nil {
			fmt.Println(errs.KindOf(err), err)
			return nil
		}
		fmt.Println(info.Name)
	}
	return nil
}

func TestUnreadableDirectory(t *testing.T) {
	root := t.TempDir()
	put(t, open(t, root, file.Options{}), "a/readable", "x")
	put(t, open(t, root, file.Options{}), "b/secret/object", "x")
	secret := filepath.Join(root, "b", "secret")
	if err := errors.Join(os.Chmod(filepath.Dir(root), 0o755), os.Chmod(secret, 0)); err != nil {
		t.Fatal(err)
	}
	cmd, _, out := child(t, "list", root)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for out.Scan() {
		got = append(got, out.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if len(got) != 2 || got[0] != "a/readable" || !strings.HasPrefix(got[1], errs.Permission.String()) ||
		!strings.Contains(got[1], secret) {
		t.Errorf("listed %q", got)
	}
	if err := os.Chmod(secret, 0o755); err != nil { // so that it can be removed
		t.Error(err)
	}
}
