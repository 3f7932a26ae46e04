package deploy_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seed3322913c/runner/runner/local"
)

// TestLost loses what is known of a fleet, or a part of the fleet itself, behind the program's back. A deploy makes it
// whole, and a teardown or gc leaves nothing.
func TestLost(t *testing.T) {
	u := newUser(t)
	deploy := func() { u.run("deploy", "--name", "night", "--workers", "1", "--yes", "--no-wait", "--json") }
	deploy()
	u.lose("fleets", "night", "terraform.tfstate")
	deploy()
	u.run("status", "--cluster", "night")

	h := u.host("night") // machines that somebody has ended by hand, and the disk of one
	for _, machine := range []string{"server-1", "worker-1"} {
		if err := local.Kill(func() []int { return h.On(machine) }); err != nil {
			t.Fatal(err)
		}
	}
	u.lose("local", "night", "server-1")
	u.run("deploy", "--name", "night", "--workers", "1", "--yes", "--json")
	u.lose("fleets", "night", "terraform.tfstate")
	u.removed("night")

	deploy()
	u.lose("fleets", "night")
	u.lose("clusters", "night.json")
	u.run("gc", "--yes")
	if alive := h.Alive(); len(alive) > 0 {
		t.Errorf("after gc there are the processes %v", alive)
	}
	u.run("gc", "--yes") // there is nothing but data
	u.removed("night")
}

// lose removes a file or a folder of the home.
func (u *user) lose(path ...string) {
	u.Helper()
	file := filepath.Join(append([]string{u.home}, path...)...)
	if _, err := os.Stat(file); err != nil {
		u.Fatal(err)
	}
	if err := os.RemoveAll(file); err != nil {
		u.Fatal(err)
	}
}
