package api

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed3322913c/runner/functions/pack"
	"github.com/seed3322913c/runner/runner/client"
)

// TestRegister pushes packages that are in the store, and moves aliases.
func TestRegister(t *testing.T) {
	f := functionSite(t)
	kept := map[string]map[string]string{}
	f.Keep = func(_ context.Context, function string, vars map[string]string) error {
		kept[function] = vars
		return nil
	}
	f.Forget = func(_ context.Context, function string) error {
		delete(kept, function)
		return nil
	}
	c := newClientOf(t, FunctionsPart(f))
	manifest := "kind: handler\nname: sum\ncommand: sh sum.sh\nsecrets: {TOKEN: env:SUM_TOKEN}\n"
	pushed := func(script string, env map[string]string, status int) []byte {
		t.Helper()
		folder := t.TempDir()
		for name, text := range map[string]string{"sum.sh": script, pack.ManifestFile: manifest} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var answer []byte
		err := pack.Ship(t.Context(), f.Store, folder, func(_ pack.Manifest, sum string) error {
			ask, err := json.Marshal(client.FunctionPush{Package: sum, Manifest: manifest, By: "ann", Env: env})
			if err != nil {
				return err
			}
			schema := map[bool]string{true: "FunctionPushed", false: "Problem"}[status == 200]
			answer = c.ask("POST", "/v1/functions/sum/versions", string(ask), status, schema)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	secret := map[string]string{"SUM_TOKEN": "s"}
	for _, want := range []struct {
		script  string
		version int
		pushed  bool
	}{{"echo 1", 1, true}, {"echo 1", 1, false}, {"echo 2", 2, true}} {
		got := parse[client.FunctionPushed](t, pushed(want.script, secret, 200))
		if got.Version.N != want.version || got.Pushed != want.pushed || got.Version.By != "ann" {
			t.Errorf("%s: %+v, want %+v", want.script, got, want)
		}
	}
	if diff := cmp.Diff(map[string]map[string]string{"sum": secret}, kept); diff != "" {
		t.Error(diff)
	}
	pushed("echo 3", map[string]string{"HOME": "/"}, 400)
	first := parse[client.VersionList](t, c.ask("GET", "/v1/functions/sum/versions?limit=1", "", 200, "FunctionVersionList"))
	second := parse[client.VersionList](t, c.ask("GET", "/v1/functions/sum/versions?limit=1&after="+
		url.QueryEscape(first.Next), "", 200, "FunctionVersionList"))
	if len(first.Versions) != 1 || first.Versions[0].N != 2 || second.Versions[0].N != 1 || second.Next != "" {
		t.Errorf("the versions are %+v, then %+v", first, second)
	}
	ask := func(method, path, body string, version int) {
		t.Helper()
		got := parse[pack.Version](t, c.ask(method, "/v1/functions/sum/aliases/"+path, body, 200, "FunctionVersion"))
		if got.N != version {
			t.Errorf("%s %s %s is version %d, want %d", method, path, body, got.N, version)
		}
	}
	ask("PUT", "canary", `{"version":2}`, 2)
	ask("POST", "live/rollback", `{"from":2}`, 1)
	ask("POST", "live/rollback", `{"from":2}`, 1) // said again
	for _, wrong := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "sum/aliases/live/rollback", ``, 400},
		{"PUT", "sum/aliases/live", `{"version":9}`, 404},
		{"PUT", "sum/aliases/A%2F..", `{"version":1}`, 400},
		{"PUT", "nobody/aliases/live", `{"version":1}`, 404},
		{"POST", "nobody/aliases/live/rollback", ``, 404},
		{"POST", "sum/versions", `{}`, 400},
		{"POST", "other/versions", `{"manifest":"kind: handler\nname: sum\ncommand: sh\n"}`, 400},
		{"POST", "sum/versions", `{"manifest":"kind: handler\nname: sum\ncommand: sh\n","package":"../x"}`, 400},
		{"DELETE", "nobody", "", 404},
	} {
		c.ask(wrong.method, "/v1/functions/"+wrong.path, wrong.body, wrong.status, "Problem")
	}
	c.ask("DELETE", "/v1/functions/sum", "", 200, "FunctionRecord")
	c.ask("GET", "/v1/functions/sum", "", 404, "Problem")
	if len(kept) != 0 {
		t.Errorf("kept are %v", kept)
	}
}
