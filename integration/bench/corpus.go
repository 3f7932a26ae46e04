package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// build makes the product and the yardsticks from this checkout.
func build(ctx context.Context, s *settings) error {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	dir := strings.TrimSpace(string(root))
	s.runner, s.yards = filepath.Join(s.work, "runner"), filepath.Join(s.work, "yardsticks")
	s.superstep = filepath.Join(s.work, "superstep")
	if err := os.Mkdir(s.yards, 0o755); err != nil {
		return err
	}
	for _, c := range []struct{ dir, out, pkg string }{
		{dir, s.runner, "./runner"},
		{dir, s.superstep, "./integration/bench/superstep"},
		{filepath.Join(dir, "integration", "yardsticks"), s.yards + "/", "./..."},
		{filepath.Join(dir, "integration", "yardsticks", "hdfsload"), s.yards + "/hdfsload", "."},
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", c.out, c.pkg)
		cmd.Dir, cmd.Stderr = c.dir, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("go build %s: %w", c.pkg, err)
		}
	}
	return nil
}

// kernel returns the sources of Linux 6.1 as Debian ships them, as one file: regular files in byte order of their path,
// without drivers/gpu/drm/amd (about 870 MB). It needs apt and dpkg, and no root.
func kernel(ctx context.Context, cache string) (string, error) {
	text := filepath.Join(cache, "linux-6.1.txt")
	if _, err := os.Stat(text); err == nil {
		return text, nil
	}
	for _, tool := range []string{"apt-get", "dpkg-deb", "tar", "xz"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("no %s here to fetch Debian's linux-source-6.1: name a text of your own with --input", tool)
		}
	}
	tmp, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	script := `apt-get download linux-source-6.1 && dpkg-deb -x linux-source-6.1_*.deb deb && tar -xf deb/usr/src/linux-source-6.1.tar.xz`
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Dir, cmd.Stderr = tmp, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("fetch linux-source-6.1: %w", err)
	}
	if err := concatenate(filepath.Join(tmp, "linux-source-6.1"), filepath.Join(tmp, "text")); err != nil {
		return "", err
	}
	return text, os.Rename(filepath.Join(tmp, "text"), text)
}

func concatenate(root, out string) (err error) {
	var names []string
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasSuffix(path, "/drivers/gpu/drm/amd"):
			return fs.SkipDir
		case d.Type().IsRegular():
			names = append(names, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(names)
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, name := range names {
		in, err := os.Open(name)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, in)
		if err = errors.Join(err, in.Close()); err != nil {
			return err
		}
	}
	return nil
}

// digest is equal for two outputs exactly when they hold the same lines, in whatever order and however many files.
type digest struct {
	lines, sum uint64
}

var seed = maphash.MakeSeed()

func digestOf(output string) (digest, error) {
	files := []string{output}
	if st, err := os.Stat(output); err != nil {
		return digest{}, err
	} else if st.IsDir() {
		if files, err = filepath.Glob(filepath.Join(output, "part-*")); err != nil {
			return digest{}, err
		}
	}
	var d digest
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return d, err
		}
		sc := bufio.NewScanner(f)
		sc.Buffer(make([]byte, 1<<20), 1<<30)
		for sc.Scan() {
			d.lines++
			d.sum += maphash.Bytes(seed, sc.Bytes())
		}
		if err := errors.Join(sc.Err(), f.Close()); err != nil {
			return d, err
		}
	}
	return d, nil
}

// sameBytes checks that the files of a pattern, one after the other, are what the first ones were that it saw.
func sameBytes() func(pattern string) error {
	var first []byte
	return func(pattern string) error {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		h := sha256.New()
		for _, name := range files {
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			_, err = io.Copy(h, f)
			if err = errors.Join(err, f.Close()); err != nil {
				return err
			}
		}
		sum := h.Sum(nil)
		if first == nil {
			first = sum
		}
		if !bytes.Equal(first, sum) {
			return errors.New("other bytes than expected")
		}
		return nil
	}
}

// sameLines checks outputs against the first one that it sees.
func sameLines() func(output string) error {
	var first *digest
	return func(output string) error {
		d, err := digestOf(output)
		if err != nil {
			return err
		}
		if first == nil {
			first = &d
		}
		if d != *first {
			return fmt.Errorf("%d lines with other content than the %d expected", d.lines, first.lines)
		}
		return nil
	}
}
