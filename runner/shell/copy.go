package shell

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/format"
)

// CopyOptions are those of put, get and cp.
type CopyOptions struct {
	Overwrite bool
	Preserve  bool // times and permissions, where both sides have them
	Threads   int  // files copied at a time; 0 means 4
}

const stdin = "-"

// Put copies local files.
func (s *Shell) Put(ctx context.Context, args []string, o CopyOptions) error {
	to, err := s.resolve(ctx, args[len(args)-1])
	if err != nil {
		return err
	}
	sources := args[:len(args)-1]
	if len(sources) == 1 && sources[0] == stdin {
		return s.fill(ctx, to, s.In, o.Overwrite)
	}
	return s.copyAll(ctx, sources, s.local, to, o)
}

// Get copies to local files.
func (s *Shell) Get(ctx context.Context, args []string, o CopyOptions) error {
	dest := "."
	if len(args) > 1 {
		args, dest = args[:len(args)-1], args[len(args)-1]
	}
	to, err := s.local(ctx, dest)
	if err != nil {
		return err
	}
	return s.copyAll(ctx, args, s.resolve, to, o)
}

// Copy copies from anywhere to anywhere.
func (s *Shell) Copy(ctx context.Context, args []string, o CopyOptions) error {
	to, err := s.resolve(ctx, args[len(args)-1])
	if err != nil {
		return err
	}
	return s.copyAll(ctx, args[:len(args)-1], s.resolve, to, o)
}

// job is one file to be copied.
type job struct {
	from found
	to   target
}

// copyAll copies sources into a directory, or one source to another name.
func (s *Shell) copyAll(ctx context.Context, args []string, resolve func(context.Context, string) (target, error),
	to target, o CopyOptions) error {
	var sources []found
	var last error
	for _, arg := range args {
		t, err := resolve(ctx, arg)
		if err == nil {
			var all []found
			all, err = s.expandTarget(ctx, t)
			sources = append(sources, all...)
		}
		if err != nil {
			s.failed(&last, err)
		}
	}
	place, err := to.System.Status(ctx, to.path)
	isDir := err == nil && place.Dir || missing(err) && to.namesDir(sources)
	switch {
	case err != nil && !missing(err):
		return err
	case len(sources) > 1 && !isDir:
		return refuse(errs.Invalid, "%s is no directory, so several files cannot be copied there", to.shown)
	case err != nil:
		if err := parentExists(ctx, to); err != nil {
			return err
		}
	}
	m := s.newMeter()
	var jobs []job
	for _, from := range sources {
		dest := to
		if isDir {
			dest = to.child(from.base())
		}
		if from.place == dest.place && (from.path == dest.path || strings.HasPrefix(dest.path+"/", from.path+"/")) {
			s.failed(&last, refuse(errs.Invalid, "%s cannot be copied into itself, %s", from.shown, dest.shown))
			continue
		}
		if err := s.plan(ctx, from, dest, m, &jobs); err != nil {
			s.failed(&last, err)
		}
	}
	if err := s.run(ctx, jobs, m, o); err != nil {
		s.failed(&last, err)
	}
	return last
}

// namesDir reports whether what is not there is meant as a directory for sources: a bucket has none that are empty, so
// the slash at its end says it. One directory alone is copied as that name, as elsewhere.
func (t target) namesDir(sources []found) bool {
	_, isStore := t.System.(objects)
	return isStore && strings.HasSuffix(t.shown, "/") && (len(sources) != 1 || !sources[0].Dir)
}

// parentExists refuses a destination whose directory is not there, where directories are made by people.
func parentExists(ctx context.Context, t target) error {
	if _, isStore := t.System.(objects); isStore || t.path == "/" {
		return nil
	}
	up := t.path[:max(strings.LastIndexByte(t.path, '/'), 1)]
	st, err := t.System.Status(ctx, up)
	if missing(err) || err == nil && !st.Dir {
		return refuse(errs.NotFound, "%s cannot be made: there is no directory %s", t.shown, t.place+up)
	}
	return err
}

// plan makes the directories of a copy, and lists its files.
func (s *Shell) plan(ctx context.Context, from found, to target, m *meter, jobs *[]job) error {
	return walk(ctx, from, func(f found) error {
		dest := to
		if rest := strings.TrimPrefix(f.path, from.path); rest != "" {
			dest = to.child(strings.TrimPrefix(rest, "/"))
		}
		if !f.Dir {
			m.total += f.Length
			*jobs = append(*jobs, job{f, dest})
			return nil
		}
		if _, isStore := dest.System.(objects); isStore {
			return nil
		}
		return dest.System.Mkdir(ctx, dest.path)
	})
}

// run copies files, several at a time.
func (s *Shell) run(ctx context.Context, jobs []job, m *meter, o CopyOptions) error {
	if o.Threads == 0 {
		o.Threads = 4
	}
	stop := m.start(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Threads)
	for _, j := range jobs {
		g.Go(func() error {
			if err := s.copyFile(ctx, j, m, o); err != nil {
				return err
			}
			m.answer.Lock()
			defer m.answer.Unlock()
			return s.done(j.to, "copied")
		})
	}
	return g.Wait()
}

// copyFile copies one file. Nothing is seen of it before it is whole.
func (s *Shell) copyFile(ctx context.Context, j job, m *meter, o CopyOptions) error {
	r, err := j.from.Objects().Open(ctx, j.from.name(), store.Range{})
	if err != nil {
		return err
	}
	defer r.Close()
	if err := s.fill(ctx, j.to, io.TeeReader(r, m), o.Overwrite); err != nil {
		return err
	}
	if !o.Preserve {
		return nil
	}
	h, ok := j.to.System.(hdfs)
	if !ok {
		return nil
	}
	if err := h.SetTimes(ctx, j.to.path, j.from.Modified, -1); err != nil {
		return err
	}
	return h.SetPermission(ctx, j.to.path, j.from.Perm)
}

// copyBuffer keeps requests and system calls rare.
const copyBuffer = 1 << 20

// fill makes a file of what r yields.
func (s *Shell) fill(ctx context.Context, to target, r io.Reader, overwrite bool) error {
	if st, err := to.System.Status(ctx, to.path); err == nil && (st.Dir || !overwrite) {
		kind := "exists already; say --force to replace it"
		if st.Dir {
			kind = "is a directory"
		}
		return refuse(errs.Exist, "%s %s", to.shown, kind)
	}
	var opts []store.CreateOption
	if !overwrite {
		opts = append(opts, store.IfAbsent())
	}
	w, err := to.Objects().Create(ctx, to.name(), opts...)
	if err != nil {
		return err
	}
	defer w.Abort(ctx) // no effect once committed
	if _, err := io.CopyBuffer(onlyWriter{w}, r, make([]byte, copyBuffer)); err != nil {
		return err
	}
	err = w.Commit(ctx)
	if errs.KindOf(err) == errs.Exist {
		return refuse(errs.Exist, "%s exists already; say --force to replace it", to.shown)
	}
	return err
}

// onlyWriter hides shortcuts, so that the buffer is used.
type onlyWriter struct{ io.Writer }

// Cat writes files to the answer.
func (s *Shell) Cat(ctx context.Context, args []string) error {
	return s.each(ctx, args, func(f found) error { return s.pour(ctx, f, store.Range{}) })
}

// pour writes a part of a file to the answer.
func (s *Shell) pour(ctx context.Context, f found, part store.Range) error {
	if f.Dir {
		return refuse(errs.Invalid, "%s is a directory", f.shown)
	}
	r, err := f.Objects().Open(ctx, f.name(), part)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.CopyBuffer(onlyWriter{s.Out}, r, make([]byte, copyBuffer))
	return err
}

// glance is how much head and tail show, as with Hadoop.
const glance = 1024

// Head writes the first kilobyte of files.
func (s *Shell) Head(ctx context.Context, args []string) error {
	return s.each(ctx, args, func(f found) error { return s.pour(ctx, f, store.Range{Length: glance}) })
}

// Tail writes the last kilobyte of files; with follow it goes on with what is added, until ctx ends, looking again
// after each pause.
func (s *Shell) Tail(ctx context.Context, args []string, follow bool, pause time.Duration) error {
	return s.each(ctx, args, func(f found) error {
		at := max(f.Length-glance, 0)
		if err := s.pour(ctx, f, store.Range{Offset: at}); err != nil || !follow {
			return err
		}
		at = f.Length
		look := time.NewTicker(pause)
		defer look.Stop()
		for {
			select {
			case <-ctx.Done():
				return errs.E("shell.Tail", errs.Canceled, f.shown, ctx.Err())
			case <-look.C:
			}
			now, err := f.System.Status(ctx, f.path)
			if err != nil {
				return err
			}
			if now.Length > at {
				if err := s.pour(ctx, f, store.Range{Offset: at, Length: now.Length - at}); err != nil {
					return err
				}
			}
			at = now.Length // it may be shorter, too
		}
	})
}

// Append adds local files to the end of a file, which is made if there is none.
func (s *Shell) Append(ctx context.Context, args []string) error {
	to, err := s.resolve(ctx, args[len(args)-1])
	if err != nil {
		return err
	}
	c, err := namespaceOf(to, "append")
	if err != nil {
		return err
	}
	if _, err := to.System.Status(ctx, to.path); missing(err) {
		if err := s.fill(ctx, to, strings.NewReader(""), false); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	var sources []io.Reader
	for _, arg := range args[:len(args)-1] {
		if arg == stdin {
			sources = append(sources, s.In)
			continue
		}
		t, err := s.local(ctx, arg)
		if err != nil {
			return err
		}
		r, err := t.Objects().Open(ctx, t.name(), store.Range{})
		if err != nil {
			return err
		}
		defer r.Close()
		sources = append(sources, r)
	}
	w := c.Append(ctx, to.path)
	if _, err := io.CopyBuffer(onlyWriter{w}, io.MultiReader(sources...), make([]byte, copyBuffer)); err != nil {
		w.Abort()
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return s.done(to, "appended")
}

// meter shows how far a copy has come, if that takes long.
type meter struct {
	s      *Shell
	total  int64
	copied atomic.Int64
	answer sync.Mutex // for documents
}

func (s *Shell) newMeter() *meter { return &meter{s: s} }

// Write implements io.Writer.
func (m *meter) Write(p []byte) (int, error) {
	m.copied.Add(int64(len(p)))
	return len(p), nil
}

// every is how often the progress is told: what is done before the first time is not told at all.
const every = 2 * time.Second

// start tells the progress until stop is called.
func (m *meter) start(ctx context.Context) (stop func()) {
	if m.s.Quiet {
		return func() {}
	}
	ended, told := make(chan struct{}), make(chan struct{})
	begun := time.Now()
	go func() {
		defer close(told)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ctx.Done():
				return
			case <-tick.C:
				n := m.copied.Load()
				fmt.Fprintf(m.s.Err, "  copied %s of %s   %s\n", format.Bytes(n), format.Bytes(m.total),
					format.Rate(n, time.Since(begun)))
			}
		}
	}()
	return func() {
		close(ended)
		<-told
	}
}
