package aws

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed3322913c/runner/infra/fleet"
	"github.com/seed3322913c/runner/infra/fleet/fleettest"
)

// killed kills a deploy, deploys again, interrupts the teardown, loses the state, and tears down from another home: at
// moments, and with signals, that the seed chooses.
func (r *rig) killed(t *testing.T, seed uint64) {
	name := fmt.Sprint("killed-", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGINT}
	first := int(seed % 2)
	f := r.fleet(t, name)
	r.kill(t, "deploy", name, signals[first], random.IntN(80)) // of about 90 events
	r.checkLock(t, name)
	r.deploy(t, f)
	r.checkMachines(t, f, 3, 4)
	r.kill(t, "teardown", name, signals[1-first], random.IntN(70)) // of about 80
	setup, err := r.provider.Setup(t.Context(), fleet.Request{Name: name}.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.provider.ForgetState(t.Context(), setup); err != nil {
		t.Fatal(err)
	}
	elsewhere, err := open(t.TempDir(), name, r.terraform, r.provider)
	if err != nil {
		t.Fatal(err)
	}
	r.gone(t, elsewhere, name)
}

// checkLock looks whether somebody elsewhere keeps off a lock that a killed process has left.
func (r *rig) checkLock(t *testing.T, name string) {
	t.Helper()
	setup, err := r.provider.Setup(t.Context(), fleet.Request{Name: name}.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	bucket, key := setup.Backend["bucket"].(string), setup.Backend["key"].(string)+".tflock"
	_, err = r.provider.s3().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	locked := err == nil
	elsewhere, err := open(t.TempDir(), name, r.terraform, r.provider)
	if err != nil {
		t.Fatal(err)
	}
	_, err = elsewhere.Plan(t.Context(), wanted(r.program()), fleet.Limits{})
	if got := wantRule(err) == fleet.RuleLocked; got != locked {
		t.Errorf("there is a lock: %v; somebody elsewhere: %v", locked, err)
	}
}

// kill ends a process that deploys or tears down when it has told of a number of events.
func (r *rig) kill(t *testing.T, verb, name string, with syscall.Signal, moment int) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{verb, r.home, name, r.terraform}, " "))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if n == moment {
			_ = child.Process.Signal(with) // fails if it was faster, which is as well
		}
	}
	err = child.Wait()
	t.Logf("%s: %v after %d events: %v; %d resources are there", verb, with, moment, err, len(r.scan(t, name)))
}

// childEnv tells this program to be the process that is killed.
const childEnv = "RUNNER_FLEET_CHILD"

func TestMain(m *testing.M) {
	if args := strings.Fields(os.Getenv(childEnv)); len(args) == 4 {
		if err := child(args[0], args[1], args[2], args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child does one verb and prints a line for each event.
func child(verb, home, name, terraform string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	p, err := New(ctx, fleettest.Region)
	if err != nil {
		return err
	}
	f, err := open(home, name, terraform, p)
	if err != nil {
		return err
	}
	tell := func(e fleet.Event) { fmt.Println(e) }
	if verb == "teardown" {
		return f.Destroy(ctx, false, tell)
	}
	plan, err := f.Plan(ctx, wanted(filepath.Join(home, "program")), fleet.Limits{})
	if err != nil {
		return err
	}
	return f.Apply(ctx, plan, tell)
}
