package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestGatewayTrusts holds who is believed without proof: callers on this machine, or whoever it is said of plainly.
func TestGatewayTrusts(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("secret alice\n\nother bob\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		http, rpc, auth, tokens, keytab string

		fails  bool
		proven int // how many tokens are known
	}{
		{http: "127.0.0.1:1"}, {http: "[::1]:1"}, {http: "localhost:1"},
		{http: "0.0.0.0:1", fails: true}, {http: ":1", fails: true}, {http: "10.0.0.1:1", fails: true},
		{http: "0.0.0.0:1", auth: "simple"},
		{http: "0.0.0.0:1", auth: "token", tokens: tokens, proven: 2},
		{http: "127.0.0.1:1", tokens: tokens, proven: 2},
		{http: "127.0.0.1:1", auth: "token", fails: true},
		{http: "127.0.0.1:1", auth: "kerberos", tokens: tokens, fails: true},
		{http: "nonsense", fails: true},
		{http: "127.0.0.1:1", rpc: "localhost:2"},
		{http: "127.0.0.1:1", rpc: "10.0.0.1:2", fails: true},
		{http: "0.0.0.0:1", rpc: "127.0.0.1:2", fails: true},
		{http: "0.0.0.0:1", rpc: "0.0.0.0:2", auth: "simple"},
		{http: "127.0.0.1:1", rpc: "0.0.0.0:2", tokens: tokens, proven: 2},
		{http: "0.0.0.0:1", auth: "kerberos", fails: true},
		{http: "0.0.0.0:1", auth: "token", tokens: tokens, keytab: tokens, fails: true},
		{http: "0.0.0.0:1", keytab: tokens, fails: true}, // which is no keytab
		{http: "127.0.0.1:1", rpc: "127.0.0.1:2", keytab: tokens, fails: true},
	} {
		o := gatewayOptions{http: c.http, rpc: c.rpc, auth: c.auth, tokens: c.tokens, keytab: c.keytab, superuser: "hdfs"}
		w, err := o.web()
		if (err != nil) != c.fails || len(w.Tokens) != c.proven {
			t.Errorf("%+v: %d tokens, %v", c, len(w.Tokens), err)
		}
	}
}

// TestExternalURL holds which name the data node of hdfs:// has.
func TestExternalURL(t *testing.T) {
	for external, want := range map[string]string{"": "", "http://files.example.org:9870": "files.example.org",
		"https://[2001:db8::1]/": "2001:db8::1", "files.example.org:9870": "invalid", "ftp://files": "invalid"} {
		o := gatewayOptions{external: external}
		got, err := o.host()
		if err != nil {
			got = "invalid"
		}
		if got != want {
			t.Errorf("%s: %q, %v", external, got, err)
		}
	}
}
