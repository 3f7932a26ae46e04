// Package fleettest gives tests of fleets a cloud of their own: a server that answers as AWS does and remembers what
// was made, and Terraform with its provider out of a folder, without a network.
package fleettest

import (
	_ "embed" // the server
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/infra/enginetest"
)

// Region is where the cloud is.
const Region = "us-east-1"

// Account is whose it is.
const Account = "123456789012"

//go:embed server.py
var server string

// Cloud is a running server, moto, that plays AWS, behind a door that can refuse.
type Cloud struct {
	URL     string // of the door
	moto    string
	process *enginetest.Process
	door    door
}

// Start starts a cloud with nothing in it, and leads this process's AWS calls to it until the test ends.
func Start(t testing.TB) *Cloud {
	t.Helper()
	python := enginetest.Binary(t, "moto")
	var c *Cloud
	for try := 0; c == nil; try++ {
		port := enginetest.Free(t, 1)[0]
		cmd := exec.Command(python, "-c", server, "-H", "127.0.0.1", "-p", fmt.Sprint(port))
		cmd.Env = append(os.Environ(), "MOTO_IAM_LOAD_MANAGED_POLICIES=false")
		started := &Cloud{moto: fmt.Sprintf("http://127.0.0.1:%d", port), process: enginetest.Start(t, cmd)}
		err := started.process.Await(started.ready)
		switch {
		case err == nil:
			c = started
		case try == 2: // somebody may have taken the port
			t.Fatal(err)
		}
	}
	c.open(t)
	for name, value := range c.env() {
		t.Setenv(name, value)
	}
	return c
}

func (c *Cloud) env() map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL": c.URL, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": Region,
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_PROFILE": "", "AWS_CONFIG_FILE": os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_SESSION_TOKEN": "", "AWS_MAX_ATTEMPTS": "2",
	}
}

// ready returns nil when the server answers.
func (c *Cloud) ready() error {
	resp, err := http.Get(c.moto + "/moto-api/data.json")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("moto answers %s", resp.Status)
	}
	return nil
}

// MirrorEnv names a folder with Terraform's providers, in the layout of a file-system mirror.
const MirrorEnv = "RUNNER_TF_MIRROR"

// provider is the provider's folder in a mirror.
const provider = "registry.terraform.io/hashicorp/aws"

// Program returns the path of Terraform.
func Program(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("terraform")
	if err != nil {
		lacking(t, "there is no terraform on PATH")
	}
	return path
}

// Terraform is Program that takes its provider out of a folder until the test ends. The folder is searched at the usual
// places.
func Terraform(t testing.TB) string {
	t.Helper()
	path := Program(t)
	config := filepath.Join(t.TempDir(), "terraformrc")
	text := fmt.Sprintf("disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror { path = %q }\n}\n",
		mirror(t))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TF_CLI_CONFIG_FILE", config)
	return path
}

func mirror(t testing.TB) string {
	t.Helper()
	home, _ := os.UserHomeDir() // "" leaves a place that is not there
	places := []string{os.Getenv(MirrorEnv), "/opt/tf-plugins", "/opt/terraform/plugins",
		"/usr/local/share/terraform/plugins",
		"/usr/share/terraform/plugins", filepath.Join(home, ".terraform.d/plugins"),
		filepath.Join(home, ".local/share/terraform/plugins")}
	for _, place := range places {
		if _, err := os.Stat(filepath.Join(place, provider)); place != "" && err == nil {
			return place
		}
	}
	lacking(t, "there is no mirror with "+provider+" at "+strings.Join(places[1:], ", ")+"; $"+MirrorEnv+" may name one")
	return ""
}

// lacking fails a test that needs what is missing, or skips it where nothing says that all tests have to run.
func lacking(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" || os.Getenv("RUNNER_REQUIRE_ENGINES") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}
