package shell

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/mem"
)

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 1023: "1023", 1024: "1 K", 1536: "1.5 K", 1<<20 - 1: "1.0 M", 3072000: "2.9 M", 1 << 60: "1 E",
		1<<60 - 1: "1.0 E",
	} {
		if got := size(n, true); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestBraces(t *testing.T) {
	for in, want := range map[string]string{
		"a": "a", "{a,b}c": "ac bc", "x{a,{b,c}d}{,e}": "xa xae xbd xbde xcd xcde", "{a": "{a", "a}": "a}", "{}": "",
	} {
		if got := strings.Join(braces(in), " "); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	if n := len(braces(strings.Repeat("{a,b,c,d,e,f,g,h}", 40))); n > 2*maxAlternatives {
		t.Error(n, "alternatives")
	}
}

func TestChangeMode(t *testing.T) {
	for _, c := range []struct {
		perm uint16
		dir  bool
		mode string
		want uint16
	}{
		{0o644, false, "755", 0o755}, {0o644, false, "u+x", 0o744}, {0o777, false, "go-w", 0o755},
		{0o600, false, "a=r", 0o444},
		{0o644, false, "+X", 0o644}, {0o644, true, "+X", 0o755}, {0o755, true, "+t", 0o1755},
		{0o1777, true, "u=rwx,g=,o=,-t", 0o700},
	} {
		if got, err := changeMode(c.perm, c.dir, c.mode); got != c.want || err != nil {
			t.Errorf("%o %s: %o, %v, want %o", c.perm, c.mode, got, err, c.want)
		}
	}
	for _, mode := range []string{"", "8", "17777", "u", "z+x", "u+z", "u+x,"} {
		if _, err := changeMode(0, false, mode); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", mode, err)
		}
	}
}

// TestBucket holds what the commands do where there are no directories.
func TestBucket(t *testing.T) {
	st := mem.New()
	for _, name := range []store.Name{"logs/a.txt", "logs/deep/b.txt", "logs/deep/c.txt", "logs0"} {
		if err := store.Put(t.Context(), st, name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	sh := New(func(_ context.Context, place string) (System, error) { return Objects(st, place), nil },
		Options{Out: &out, Err: &out, Default: "s3://b", Quiet: true})
	answer := func(err error) string {
		t.Helper()
		defer out.Reset()
		if err != nil {
			return errs.KindOf(err).String()
		}
		return strings.Join(strings.Fields(out.String()), " ")
	}
	ctx, paths := t.Context(), ListOptions{PathsOnly: true}
	for i, c := range []struct{ got, want string }{
		{answer(sh.List(ctx, []string{"/"}, paths)), "/logs /logs0"},
		{answer(sh.List(ctx, []string{"s3://b/logs"}, paths)), "s3://b/logs/a.txt s3://b/logs/deep"},
		{answer(sh.List(ctx, []string{"/logs/*/[bx].txt"}, paths)), "/logs/deep/b.txt"},
		{answer(sh.List(ctx, []string{"/log"}, paths)), "not found"},
		{answer(sh.DiskUsage(ctx, []string{"/logs"}, DiskUsageOptions{})), "10 10 /logs/a.txt 30 30 /logs/deep"},
		{answer(sh.Cat(ctx, []string{"/logs/a.txt", "/logs0"})), "logs/a.txtlogs0"},
		{answer(sh.Cat(ctx, []string{"/logs"})), "invalid"},
		{answer(sh.Mkdir(ctx, []string{"/new"}, false)), "not supported"},
		{answer(sh.Move(ctx, []string{"/logs0", "/x"})), "not supported"},
		{answer(sh.Chown(ctx, "me", []string{"/logs0"}, false)), "not supported"},
		{answer(sh.DiskFree(ctx, nil, false)), "not supported"},
		{answer(sh.Copy(ctx, []string{"/logs", "/copy"}, CopyOptions{})), ""},
		{answer(sh.Copy(ctx, []string{"/logs", "/logs/in"}, CopyOptions{})), "invalid"},
		{answer(sh.Copy(ctx, []string{"/logs0", "/copy/a.txt"}, CopyOptions{})), "exists already"},
		{answer(sh.Copy(ctx, []string{"/logs0", "/one/"}, CopyOptions{})), ""},
		{answer(sh.Copy(ctx, []string{"/logs0", "/logs/a.txt", "s3://b/two/"}, CopyOptions{})), ""},
		{answer(sh.Copy(ctx, []string{"/logs0", "/logs/a.txt", "/three"}, CopyOptions{})), "invalid"},
		{answer(sh.Copy(ctx, []string{"/copy", "/four/"}, CopyOptions{})), ""},
		{answer(sh.Remove(ctx, []string{"/logs"}, RemoveOptions{})), "invalid"},
		{answer(sh.Remove(ctx, []string{"/logs"}, RemoveOptions{Recursive: true})), "Deleted /logs"},
		{answer(sh.List(ctx, []string{"/"}, ListOptions{PathsOnly: true, Recursive: true})),
			"/copy /copy/a.txt /copy/deep /copy/deep/b.txt /copy/deep/c.txt /four /four/a.txt /four/deep /four/deep/b.txt " +
				"/four/deep/c.txt /logs0 /one /one/logs0 /two /two/a.txt /two/logs0"},
	} {
		if c.got != c.want {
			t.Errorf("%d: %q, want %q", i, c.got, c.want)
		}
	}
}
