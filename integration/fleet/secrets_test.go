package fleet_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	consulapi "github.com/hashicorp/consul/api"
	nomadapi "github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/scheduler"
)

// TestTokensAreOfOneJob takes the tokens of a running job out of Nomad, as its own containers get them, and tries to
// read another job's secrets with them, to find out that there is one, and to start and to end containers that are not
// its own.
func TestTokensAreOfOneJob(t *testing.T) {
	tr := newTrial(t)
	held := "gate=" + tr.turnstile(0).url
	mine := scheduler.JobID(strings.TrimSpace(tr.run("run", "crash.yaml", "--detach", "--set", held)))
	tr.folder += "-other"
	other := scheduler.JobID(strings.TrimSpace(tr.run("run", "crash.yaml", "--detach", "--set", held, "--output",
		tr.uri("out"))))
	admin, err := tr.cluster.Nomad()
	tr.must(err)
	master, executor := tr.given(admin, mine, "am"), tr.given(admin, mine, "executor")
	tr.given(admin, other, "executor")
	if _, has := executor["NOMAD_TOKEN"]; has || executor["CONSUL_HTTP_TOKEN"] != master["CONSUL_HTTP_TOKEN"] {
		t.Error("executors have tokens that are not for them")
	}
	tr.nomadIsOf(mine, other, admin, master["NOMAD_TOKEN"])
	tr.consulIsOf(mine, other, master["CONSUL_HTTP_TOKEN"])
	job, _, err := admin.Jobs().Info(string(mine)+"-am", nil)
	tr.must(err)
	for _, secret := range master {
		for _, v := range job.TaskGroups[0].Tasks[0].Env {
			if v == secret {
				t.Error("a secret is in the job file")
			}
		}
	}
	tr.run("kill", string(mine))
	tr.run("kill", string(other))
	if _, _, err := tr.nomad(master["NOMAD_TOKEN"]).Nodes().List(nil); err == nil {
		t.Error("the tokens of a job that is over are good still")
	}
}

// within is a request about the containers of a role of a job, wherever that is in Nomad.
func (tr *trial) within(admin *nomadapi.Client, id scheduler.JobID, role string) *nomadapi.QueryOptions {
	tr.t.Helper()
	q := &nomadapi.QueryOptions{Namespace: nomadapi.AllNamespacesNamespace, Prefix: string(id) + "-" + role}
	var space string
	tr.must(tr.cluster.Eventually(tr.t.Context(), func() error { // it was handed over, and may wait for its turn
		jobs, _, err := admin.Jobs().List(q)
		if err == nil && len(jobs) == 0 {
			err = fmt.Errorf("%s has no %s", id, role)
		}
		if err == nil {
			space = jobs[0].Namespace
		}
		return err
	}))
	return &nomadapi.QueryOptions{Namespace: space}
}

// given returns the secrets of a role of a job that runs.
func (tr *trial) given(admin *nomadapi.Client, id scheduler.JobID, role string) map[string]string {
	tr.t.Helper()
	v, _, err := admin.Variables().Read("nomad/jobs/"+string(id)+"-"+role, tr.within(admin, id, role))
	tr.must(err)
	return v.Items
}

// nomad returns a client of Nomad that has a token.
func (tr *trial) nomad(token string) *nomadapi.Client {
	tr.t.Helper()
	f := tr.cluster.State.Fleet
	client, err := f.Client(f.Nomad)
	tr.must(err)
	nomad, err := nomadapi.NewClient(&nomadapi.Config{
		Address: "https://" + f.Nomad.Addresses[0], SecretID: token, HttpClient: client,
	})
	tr.must(err)
	return nomad
}

// nomadIsOf tries what an application master's token is good for: its own executors, and nobody else.
func (tr *trial) nomadIsOf(mine, other scheduler.JobID, admin *nomadapi.Client, token string) {
	t, nomad := tr.t, tr.nomad(token)
	t.Helper()
	if v, _, err := nomad.Variables().Read("nomad/jobs/"+string(mine)+"-executor", tr.within(admin, mine,
		"executor")); err != nil || v.Items["RUNNER_SECRET"] == "" {
		t.Errorf("a job's token does not read what is its own: %v", err)
	}
	for id, roles := range map[scheduler.JobID][]string{mine: {"am"}, other: {"am", "executor"}} {
		for _, role := range roles {
			name, q := string(id)+"-"+role, tr.within(admin, id, role)
			w := &nomadapi.WriteOptions{Namespace: q.Namespace}
			if v, _, err := nomad.Variables().Peek("nomad/jobs/"+name, q); v != nil {
				t.Errorf("a job's token reads the secrets of %s: %v", name, err)
			}
			if job, _, err := nomad.Jobs().Info(name, q); err == nil {
				t.Errorf("a job's token reads job %v", *job.ID)
			}
			if _, _, err := nomad.Jobs().Deregister(name, true, w); err == nil {
				t.Errorf("a job's token ends %s", name)
			}
			job := nomadapi.NewBatchJob(name, name, "global", 50).SetMeta("taken", "over")
			job.Namespace, job.TaskGroups = &q.Namespace, greedy(name, "c1", 100).TaskGroups
			if _, _, err := nomad.Jobs().Register(job, w); err == nil || !strings.Contains(err.Error(), "Permission denied") {
				t.Errorf("a job's token starts %s: %v", name, err)
			}
		}
	}
	everywhere := &nomadapi.QueryOptions{Namespace: nomadapi.AllNamespacesNamespace}
	if jobs, _, err := nomad.Jobs().List(everywhere); err != nil || len(jobs) != 1 || jobs[0].ID != string(mine)+"-executor" {
		t.Errorf("a job's token lists %d jobs: %v", len(jobs), err)
	}
	if all, _, err := nomad.Variables().List(everywhere); err == nil && slices.ContainsFunc(all,
		func(v *nomadapi.VariableMetadata) bool { return !strings.Contains(v.Path, string(mine)) }) {
		t.Error("a job's token lists other jobs' variables")
	}
}

// consulIsOf tries what a job's token is good for in Consul: its own keys, and nobody else's.
func (tr *trial) consulIsOf(mine, other scheduler.JobID, token string) {
	t := tr.t
	t.Helper()
	f := tr.cluster.State.Fleet
	client, err := f.Client(f.Consul)
	tr.must(err)
	consul, err := consulapi.NewClient(&consulapi.Config{
		Address: "https://" + f.Consul.Addresses[0], Token: token, HttpClient: client,
	})
	tr.must(err)
	own, alien := "runner/value/grant/"+string(mine), "runner/value/grant/"+string(other)
	keys, _, err := consul.KV().Keys("", "", nil)
	if err != nil || !slices.Contains(keys, own) || slices.ContainsFunc(keys, func(key string) bool {
		return !strings.Contains(key, string(mine))
	}) {
		t.Errorf("a job's token lists %q: %v", keys, err)
	}
	for _, key := range []string{alien, "runner/value/job/" + string(other) + "/am", "runner/value/control"} {
		if pair, _, err := consul.KV().Get(key, nil); err == nil && pair != nil {
			t.Errorf("a job's token reads %s", key)
		}
		if _, err := consul.KV().Put(&consulapi.KVPair{Key: key}, nil); err == nil {
			t.Errorf("a job's token writes %s", key)
		}
		if _, err := consul.KV().Delete(key, nil); err == nil {
			t.Errorf("a job's token removes %s", key)
		}
	}
	if _, _, err := consul.ACL().TokenList(nil); err == nil {
		t.Error("a job's token lists tokens")
	}
}
