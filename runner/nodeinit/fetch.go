package nodeinit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

// Depot is the place of a cluster from which its machines fetch their programs, and where they leave word of how they
// are, so that people can read it of a machine that nobody can reach:
//
//	bin/<name>-<sha256>   a program
//	boot/<machine>        JSON: a Report
type Depot struct {
	Store store.Store
	Base  store.Name
}

func programName(name, sum string) string { return "bin/" + name + "-" + sum }

// Add puts a program into the depot, unless it is there, and returns its checksum.
func (d Depot) Add(ctx context.Context, name, file string) (sum string, err error) {
	const op = "nodeinit.Add"
	in, err := os.Open(file)
	if err != nil {
		return "", errs.E(op, errs.Other, file, err)
	}
	defer in.Close() // only read
	hash := sha256.New()
	if _, err := io.Copy(hash, in); err != nil {
		return "", errs.E(op, errs.Other, file, err)
	}
	sum = hex.EncodeToString(hash.Sum(nil))
	object := d.Base.Join(programName(name, sum))
	if _, err := d.Store.Stat(ctx, object); errs.KindOf(err) != errs.NotFound {
		return sum, err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return "", errs.E(op, errs.Other, file, err)
	}
	w, err := d.Store.Create(ctx, object)
	if err != nil {
		return "", err
	}
	defer w.Abort(ctx) // no effect once committed
	if _, err := io.Copy(w, in); err != nil {
		return "", errs.E(op, errs.Other, file, err)
	}
	return sum, w.Commit(ctx)
}

// fetch makes a program of the depot's in path, unless it is there. Machines that share a host share its programs.
func (d Depot) fetch(ctx context.Context, name, sum, path string) error {
	const op = "nodeinit.fetch"
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return errs.E(op, errs.Other, path, err)
	}
	defer lock.Close() // which gives the lock back
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return errs.E(op, errs.Other, path, err)
	}
	if have, err := os.ReadFile(path + ".sum"); err == nil && string(have) == sum {
		return nil // it was compared when it came, and its file is replaced as a whole
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.E(op, errs.Other, path, err)
	}
	in, err := d.Store.Open(ctx, d.Base.Join(programName(name, sum)), store.Range{})
	if err != nil {
		return err
	}
	defer in.Close() // only read
	part, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return errs.E(op, errs.Other, path, err)
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(part, hash), in)
	if err = errors.Join(err, part.Close()); err != nil {
		return errs.E(op, errs.Other, path, err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != sum {
		return errs.Errorf(op, errs.Corrupt, name, "its SHA-256 is %s, and not %s", got, sum)
	}
	if err := os.Rename(part.Name(), path); err != nil {
		return errs.E(op, errs.Other, path, err)
	}
	if err := os.WriteFile(path+".sum", []byte(sum), 0o600); err != nil {
		return errs.E(op, errs.Other, path, err)
	}
	return nil
}

// State is how far a machine is.
type State string

// The states of a machine.
const (
	Silent   State = "silent" // it has said nothing, as who looks for it says
	Starting State = "starting"
	Ready    State = "ready"    // its agents answer
	Failed   State = "failed"   // something does not work; it is tried again all the same
	Broken   State = "broken"   // it could not become a member, and does not try again
	Draining State = "draining" // it was told to end
	Gone     State = "gone"
)

// Trouble reports whether something does not work.
func (s State) Trouble() bool { return s == Failed || s == Broken || s == Silent }

// Report is what a machine says of itself.
type Report struct {
	Machine string    `json:"machine"`
	Role    Role      `json:"role"`
	Address string    `json:"address"`
	State   State     `json:"state"`
	Message string    `json:"message,omitempty"`
	Log     string    `json:"log,omitempty"` // the end of what was said by what does not work
	Time    time.Time `json:"time"`
}

// maxReport bounds a report, in bytes.
const maxReport = 64 << 10

func (d Depot) report(ctx context.Context, r Report) error {
	text, err := json.Marshal(r)
	if err != nil {
		return errs.E("nodeinit.report", errs.Internal, r.Machine, err)
	}
	return store.Put(ctx, d.Store, d.Base.Join("boot/"+r.Machine), text)
}

// Reports yields what the machines have said of themselves last, in the order of their names.
func (d Depot) Reports(ctx context.Context) iter.Seq2[Report, error] {
	return func(yield func(Report, error) bool) {
		for info, err := range d.Store.List(ctx, string(d.Base.Join("boot"))+"/") {
			var r Report
			if err == nil {
				var text []byte
				text, err = store.Get(ctx, d.Store, info.Name, maxReport)
				if errs.KindOf(err) == errs.NotFound {
					continue // its machine has gone since it was listed
				}
				if err == nil {
					err = json.Unmarshal(text, &r)
				}
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// tail returns the last lines of a log, for a report.
func tail(file string) string {
	const most = 2 << 10
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close() // only read
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd) // from the start otherwise, which is cut below
	}
	text, _ := io.ReadAll(io.LimitReader(f, most)) // as far as it can be read
	return strings.ToValidUTF8(string(text), "?")
}
