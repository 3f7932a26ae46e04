package fleet_test

import (
	"fmt"
	"strings"
	"testing"

	consulapi "github.com/hashicorp/consul/api"
	nomadapi "github.com/hashicorp/nomad/api"
)

// TestTokensAreOfOneJob takes the tokens of a running job out of Nomad, as its own containers get them, and tries to
// read another job's secrets with them.
func TestTokensAreOfOneJob(t *testing.T) {
	tr := newTrial(t)
	mine, other := strings.TrimSpace(tr.run("run", "crash.yaml", "--detach", "--set", "pace=2s")), ""
	tr.folder += "-other"
	other = strings.TrimSpace(tr.run("run", "crash.yaml", "--detach", "--set", "pace=2s", "--output",
		"s3://runner/"+tr.folder+"/out"))
	admin, err := tr.cluster.Nomad()
	tr.must(err)
	var secrets *nomadapi.Variable
	tr.must(tr.cluster.Eventually(t.Context(), func() error { // it was handed over, and may wait for its turn
		secrets, _, err = admin.Variables().Read("nomad/jobs/"+mine+"-am", nil)
		return err
	}))

	f := tr.cluster.State.Fleet
	client, err := f.Client(f.Nomad)
	tr.must(err)
	nomad, err := nomadapi.NewClient(&nomadapi.Config{
		Address: "https://" + f.Nomad.Addresses[0], SecretID: secrets.Items["NOMAD_TOKEN"], HttpClient: client,
	})
	tr.must(err)
	for _, path := range []string{other + "-am", other + "-executor", mine + "-am"} {
		if v, _, err := nomad.Variables().Peek("nomad/jobs/"+path, nil); v != nil {
			t.Errorf("a job's token reads %s: %v", path, err)
		}
	}
	tr.must(tr.cluster.Eventually(t.Context(), func() error { // the token is good for what is its own
		v, _, err := nomad.Variables().Read("nomad/jobs/"+mine+"-executor", nil)
		if err == nil && v.Items["RUNNER_SECRET"] == "" {
			err = fmt.Errorf("items %d", len(v.Items))
		}
		return err
	}))

	client, err = f.Client(f.Consul)
	tr.must(err)
	consul, err := consulapi.NewClient(&consulapi.Config{
		Address: "https://" + f.Consul.Addresses[0], Token: secrets.Items["CONSUL_HTTP_TOKEN"], HttpClient: client,
	})
	tr.must(err)
	for key, allowed := range map[string]bool{
		"runner/value/grant/" + mine: true, "runner/value/grant/" + other: false,
		"runner/value/job/" + other + "/am": false,
	} {
		pair, _, err := consul.KV().Get(key, nil)
		if got := err == nil && pair != nil; got != allowed {
			t.Errorf("a job's token reads %s: %v, %v; want %v", key, got, err, allowed)
		}
	}
	if _, err := consul.KV().Put(&consulapi.KVPair{Key: "runner/value/job/" + other + "/am"}, nil); err == nil {
		t.Error("a job's token writes another job's keys")
	}
	job, _, err := admin.Jobs().Info(mine+"-am", nil)
	tr.must(err)
	for _, secret := range secrets.Items {
		for _, v := range job.TaskGroups[0].Tasks[0].Env {
			if v == secret {
				t.Error("a secret is in the job file")
			}
		}
	}
	tr.run("kill", mine)
	tr.run("kill", other)
	if _, _, err := nomad.Jobs().List(nil); err == nil {
		t.Error("the tokens of a job that is over are good still")
	}
}
