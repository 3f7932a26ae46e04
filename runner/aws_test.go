package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	machines "github.com/seed3322913c/runner/infra/fleet"

	"github.com/seed3322913c/runner/infra/fleet/fleettest"
	"github.com/seed3322913c/runner/runner/deploy"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/nodeinit"
	"github.com/seed3322913c/runner/runner/say"
	"github.com/seed3322913c/runner/runner/scaling"
)

// account is somebody's at a cloud that keeps a list of machines and starts none. What happens on machines is tested
// where some are played.
type account struct {
	*testing.T
	cloud    *fleettest.Cloud
	programs string // folder with what machines would run
}

// TestAWS is what the verbs do with AWS, without machines.
func TestAWS(t *testing.T) {
	a := account{T: t, cloud: fleettest.Start(t), programs: t.TempDir()}
	fleettest.Terraform(t)
	for _, name := range []string{"runner", "consul", "nomad"} {
		if err := os.Link(filepath.Join(os.Getenv("RUNNER_TEST_BIN"), "gate"), filepath.Join(a.programs, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("mistakes", func(t *testing.T) { t.Parallel(); a.with(t).mistakes() })
	if testing.Short() {
		return
	}
	t.Run("life", func(t *testing.T) { t.Parallel(); a.with(t).life() })
	t.Run("quota", func(t *testing.T) { t.Parallel(); a.with(t).quota() })
	t.Run("circle", func(t *testing.T) { t.Parallel(); a.with(t).circles() })
	for seed := range rounds() {
		t.Run(fmt.Sprint("killed", seed), func(t *testing.T) { t.Parallel(); a.with(t).killed(uint64(seed)) })
	}
}

func (a account) with(t *testing.T) account {
	a.T = t
	return a
}

// spoken is what a verb has said.
type spoken struct {
	code       int
	out, story string
}

// command is a verb with a home of its own and a changed environment.
func (a account) command(home string, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(a.Context(), filepath.Join(os.Getenv("RUNNER_TEST_BIN"), "runner"), args...)
	cmd.Env = append(append(os.Environ(), embedded.HomeEnv+"="+home, "USER=tester"), env...)
	return cmd
}

// runs runs a verb to its end.
func (a account) runs(home string, env []string, args ...string) spoken {
	a.Helper()
	cmd := a.command(home, env, args...)
	var out, story bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &story
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		a.Fatal(err)
	}
	return spoken{cmd.ProcessState.ExitCode(), out.String(), story.String()}
}

// must runs a verb that must succeed, and decodes the last line of its answer.
func (a account) must(home string, v any, args ...string) spoken {
	a.Helper()
	t := a.runs(home, nil, args...)
	if t.code != say.ExitDone {
		a.Fatalf("%q exits with %d\n%s%s", args, t.code, t.out, t.story)
	}
	lines := strings.Split(strings.TrimSpace(t.out), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), v); err != nil {
		a.Fatalf("%q: %v: %s", args, err, t.out)
	}
	return t
}

func (a account) deploy(name string, more ...string) []string {
	return append([]string{
		"deploy", "--name", name, "--provider", "aws", "--servers", "1", "--workers", "2", "--programs", a.programs, "--yes",
		"--no-wait", "--json",
	}, more...)
}

// mistakes must each be told in one sentence, with the right exit code, and leave nothing.
func (a account) mistakes() {
	a.cloud.Refuse(fleettest.Refusal{
		Action: "GetCallerIdentity", Holds: "Credential=stolen", Code: "InvalidClientTokenId",
	})
	a.cloud.Refuse(fleettest.Refusal{Action: "HEAD", Holds: "/runner-foreign-", Code: "Forbidden"})
	a.cloud.Refuse(fleettest.Refusal{
		Action: "GetParametersByPath", Holds: "/runner/secret/", Code: "AccessDeniedException",
	})
	for what, c := range map[string]struct {
		args []string
		env  []string
		code int
		says string
	}{
		"a name":     {args: a.deploy("A"), code: say.ExitUsage, says: "2 to 31 letters"},
		"a lifetime": {args: a.deploy("brief", "--ttl", "1m"), code: say.ExitUsage, says: "15m"},
		"no region":  {args: a.deploy("nowhere"), env: []string{"AWS_REGION="}, code: say.ExitUsage, says: "--region"},
		"a provider": {args: a.deploy("gcp", "--provider", "awz"), code: say.ExitUsage, says: "Did you mean aws?"},
		"a price":    {args: a.deploy("dear", "--max-hourly-usd", "0.01"), code: int(machines.RulePrice), says: "an hour"},
		"a number":   {args: a.deploy("big", "--max-workers", "1"), code: int(machines.RuleWorkers), says: "2 workers"},
		"a region": {
			args: a.deploy("far", "--allowed-regions", "eu-west-1"), code: int(machines.RuleRegion), says: "eu-west-1",
		},
		"an account": {
			args: a.deploy("alien", "--allowed-accounts", "111111111111"), code: int(machines.RuleAccount), says: "111111111111",
		},
		"a key": {
			args: a.deploy("key"), env: []string{"AWS_ACCESS_KEY_ID=stolen"}, code: say.ExitUsage, says: "InvalidClientTokenId",
		},
		"no key": {
			args: a.deploy("none"), env: []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="}, code: say.ExitUsage,
			says: "AWS_PROFILE",
		},
		"somebody else's bucket": {args: a.deploy("foreign"), code: say.ExitUsage, says: "runner-foreign-"},
		"no right to secrets":    {args: a.deploy("secret"), code: say.ExitUsage, says: "AccessDenied"},
		"no Terraform": { // and no way to get one
			args: a.deploy("bare"), env: []string{"PATH=", "HTTPS_PROXY=http://127.0.0.1:1"}, code: say.ExitUnreachable,
			says: "https://developer.hashicorp.com/terraform/install",
		},
		"other programs": {
			args: a.deploy("mac", "--programs", "testdata"), code: say.ExitUsage, says: "--programs FOLDER",
		},
		"an unknown fleet": {
			args: []string{"teardown", "never", "--provider", "aws", "--yes"}, code: say.ExitNotFound, says: "never",
		},
	} {
		got := a.runs(a.TempDir(), c.env, c.args...)
		if got.code != c.code || !strings.Contains(got.story, c.says) || strings.Count(got.story, "\n") != 1 {
			a.Errorf("%s: exit code %d, want %d with %q:\n%s%s", what, got.code, c.code, c.says, got.out, got.story)
		}
	}
}

// life makes a fleet, changes it, and removes it from another computer, where nothing is known of it.
func (a account) life() {
	home := a.TempDir()
	var result struct {
		Seconds struct{ Terraform float64 }
		Data    string
	}
	a.cloud.Refuse(fleettest.Refusal{ // it came into being meanwhile
		Action: "CreateInstanceProfile", Holds: "runner-life", Code: "EntityAlreadyExists", Once: true,
	})
	said := a.must(home, &result, a.deploy("life", "--spot", "0.5")...)
	if result.Seconds.Terraform <= 0 || !strings.HasPrefix(result.Data, "s3://runner-life-") {
		a.Errorf("it has told %+v", result)
	}
	a.armed(said.out)

	a.silent(home)
	a.vain(home)

	var line clusterLine
	a.must(home, &line, "extend", "life", "--ttl", "20h", "--json")
	a.watched(result.Data, 2)
	a.must(home, &line, "scale", "life", "--workers", "0", "--no-wait", "--json")
	a.watched(result.Data, 0)
	a.must(home, &line, "scale", "life", "--workers", "1", "--no-wait", "--json")
	a.watched(result.Data, 1)
	if line.Workers != 1 || line.Provider != "aws" || line.Cost.Hourly <= 0 {
		a.Errorf("the fleet is %+v", line)
	}

	elsewhere := a.TempDir()
	a.adopted(home, elsewhere)
	var left []any
	a.must(elsewhere, &left, "gc", "--provider", "aws", "--dry-run", "--json")
	for _, r := range left {
		if r.(map[string]any)["cluster"] == "life" {
			a.Errorf("%v is called left behind", r)
		}
	}
	var end struct {
		Left    []any
		Seconds struct{ Plan, Removal, Scan float64 }
	}
	a.must(elsewhere, &end, "teardown", "life", "--provider", "aws", "--yes", "--purge-data", "--json")
	if took := end.Seconds; len(end.Left) > 0 || min(took.Plan, took.Removal, took.Scan) <= 0 {
		a.Errorf("at its end it tells %+v", end)
	}
	a.Logf("Terraform took %.0f s, the teardown %+v", result.Seconds.Terraform, end.Seconds)
}

// watched looks whether somebody in the fleet sees to it that there are so many workers, spot machines or others.
func (a account) watched(data string, workers int) {
	a.Helper()
	st := a.bucket(strings.TrimPrefix(data, "s3://"))
	is, err := scaling.Book{Depot: nodeinit.Depot{Store: st, Base: "_runner"}}.Settings(a.Context())
	if errs.KindOf(err) == errs.NotFound {
		err = nil
	}
	if err != nil || is.Min != workers || is.Max != workers {
		a.Errorf("it is to have %+v, want %d workers (%v)", is, workers, err)
	}
}

// adopted deploys a fleet as it is from another computer, where nothing is known of it: its machines stay as they are.
func (a account) adopted(home, elsewhere string) {
	a.Helper()
	var result struct{ Data string }
	said := a.must(elsewhere, &result, a.deploy("life", "--spot", "0.5", "--workers", "1")...)
	if !strings.Contains(said.story, "life was deployed from elsewhere") {
		a.Errorf("who shares it from now on is told %q", said.story)
	}
	var secrets [2][]byte
	for i, dir := range []string{home, elsewhere} {
		var err error
		if secrets[i], err = os.ReadFile(filepath.Join(dir, "fleets", "life", "secrets.json")); err != nil {
			a.Fatal(err)
		}
	}
	if !bytes.Equal(secrets[0], secrets[1]) {
		a.Error("the fleet has other secrets elsewhere")
	}
	var plan machines.Plan
	a.must(home, &plan, a.deploy("life", "--spot", "0.5", "--workers", "1", "--plan")...)
	if plan.Starts+plan.Stops+len(plan.Leftovers)+plan.Count(machines.Replace)+plan.Count(machines.Delete) > 0 {
		a.Errorf("at home it would be changed: %+v", plan)
	}
}

// silent looks whether a status tells what is on the consoles of machines that say nothing themselves.
func (a account) silent(home string) {
	a.Helper()
	var status fleetStatus
	a.must(home, &status, "status", "--cluster", "life", "--json")
	if len(status.Health.Reports) != 3 {
		a.Fatalf("there are reports of %d machines, want 3", len(status.Health.Reports))
	}
	for _, r := range status.Health.Reports {
		if r.State != nodeinit.Silent || !strings.Contains(r.Log, "Linux version") {
			a.Errorf("of a machine that never boots it tells %+v", r)
		}
	}
}

// vain waits for machines that never boot, for as long as patience lasts.
func (a account) vain(home string) {
	a.Helper()
	s, err := deploy.Open(a.Context(), home, "life", deploy.Options{Open: fleetStore, Patience: time.Second})
	if err != nil {
		a.Fatal(err)
	}
	_, _, err = s.Await(a.Context(), func(deploy.Health) {})
	text := fmt.Sprint(err)
	if errs.KindOf(err) != errs.Unavailable || strings.Count(text, "it has not said that it boots") != 3 ||
		!strings.Contains(text, "after 1s 0 of 1 servers and 0 of 2 workers of life work") ||
		!strings.Contains(text, "`runner teardown life`") {
		a.Errorf("of machines that say nothing it says: %v", err)
	}
}

// armed looks in what a deploy has told whether the dead-man switch was there before the first machine.
func (a account) armed(events string) {
	a.Helper()
	armed := 0
	for said := json.NewDecoder(strings.NewReader(events)); ; {
		var e struct{ Change machines.Event }
		if err := said.Decode(&e); errors.Is(err, io.EOF) {
			a.Error("no machines were started")
			return
		} else if err != nil {
			a.Fatal(err)
		}
		switch c := e.Change; {
		case c.Type == "aws_scheduler_schedule" && c.Kind == machines.Finished:
			armed++
		case c.Type == "machines" && armed == 2:
			return
		case c.Type == "machines", c.Type == "aws_autoscaling_group" && armed < 2:
			a.Errorf("%+v comes when %d of 2 switches are armed", c, armed)
			return
		}
	}
}

// quota deploys what the account may not have.
func (a account) quota() {
	a.cloud.Refuse(fleettest.Refusal{Action: "CreateVpc", Holds: "runner-poor", Code: "VpcLimitExceeded"})
	home := a.TempDir()
	got := a.runs(home, nil, a.deploy("poor")...)
	if got.code != say.ExitFailed || !strings.Contains(got.story, "VpcLimitExceeded") ||
		!strings.Contains(got.story, "runner teardown poor") || strings.Count(got.story, "\n") != 1 {
		a.Errorf("exit code %d: %s", got.code, got.story)
	}
	var end struct{ Left []any }
	a.must(home, &end, "teardown", "poor", "--yes", "--purge-data", "--json")
	if len(end.Left) > 0 {
		a.Errorf("left are %v", end.Left)
	}
}
