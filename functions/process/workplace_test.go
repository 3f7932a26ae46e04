package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	t.Setenv("RUNNER_SECRET", "x")
	t.Setenv("OTHER", "y")
	env := Environment()
	if slices.Contains(env, "RUNNER_SECRET=x") || !slices.Contains(env, "OTHER=y") {
		t.Errorf("%q", env)
	}
}

func TestFurnish(t *testing.T) {
	from := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		files  map[string]string
		folder string
		want   string
	}{
		{nil, "", ""},
		{map[string]string{"x": filepath.Join(from, "a")}, "", "x=a"},
		{map[string]string{"a": filepath.Join(from, "c")}, from, "a=c b=b c=c"}, // the job's own file wins
		{nil, filepath.Join(from, "b"), "b=b"},
	} {
		dir := t.TempDir()
		if err := Furnish(dir, c.files, c.folder); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Name()+"="+string(text))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v: got %q, want %q", c, got, c.want)
		}
	}
	if err := Furnish(t.TempDir(), nil, filepath.Join(from, "none")); err == nil {
		t.Error("a package that is not there was no error")
	}
}

func TestLines(t *testing.T) {
	var got []string
	l := Lines{Logf: func(format string, args ...any) { got = append(got, fmt.Sprintf(format, args...)) }}
	for _, text := range []string{"one\ntw", "o\n", "\n", strings.Repeat("x", maxLine+1), "y"} {
		if n, err := l.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{"one", "two", "", strings.Repeat("x", maxLine+1), "y"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
