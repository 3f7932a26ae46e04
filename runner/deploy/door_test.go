package deploy

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/nodeinit"
)

// TestDoor knocks at servers where somebody is, and where nobody lets anybody in.
func TestDoor(t *testing.T) {
	secrets, err := nodeinit.NewSecrets()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := fleet.Cluster{Name: "night", CA: secrets[nodeinit.SecretCA]}
	c.Nomad.Addresses = []string{l.Addr().String()}
	var is door
	if waiting, shut := is.try(t.Context(), c, nil); shut != nil || waiting != "" || !is.open {
		t.Errorf("where somebody is: %q, %v", waiting, shut)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	is = door{}
	if waiting, shut := is.try(t.Context(), c, nil); shut != nil || !strings.Contains(waiting, "refused") || is.open {
		t.Errorf("at first: %q, %v", waiting, shut)
	}
	is.since = time.Now().Add(-shutTime)
	for _, allowed := range [][]string{nil, {"203.0.113.7/32"}} {
		_, shut := is.try(t.Context(), c, allowed)
		if errs.KindOf(shut) != errs.Unavailable || !strings.Contains(shut.Error(), "--allow-from") ||
			!strings.Contains(shut.Error(), "runner teardown night") {
			t.Errorf("after a while, %v being allowed: %v", allowed, shut)
		}
	}
}
