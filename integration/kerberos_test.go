package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/spnego"

	"github.com/seed3322913c/runner/infra/enginetest"
)

// kdc starts a Kerberos server with the user alice and the service HTTP/localhost, and returns its clients'
// configuration and the service's keytab.
func kdc(t *testing.T) (conf, keytab string) {
	t.Helper()
	server, dir := enginetest.Binary(t, "krb5"), t.TempDir()
	address := fmt.Sprintf("127.0.0.1:%d", enginetest.Free(t, 1)[0])
	conf = "[libdefaults]\n default_realm = EXAMPLE.COM\n dns_lookup_kdc = false\n udp_preference_limit = 1\n" +
		"[realms]\n EXAMPLE.COM = {\n  kdc = " + address + "\n }\n"
	profile := "[realms]\n EXAMPLE.COM = {\n  database_name = " + dir + "/principal\n  key_stash_file = " + dir +
		"/stash\n  kdc_listen = \"\"\n  kdc_tcp_listen = " + address + "\n }\n"
	for name, text := range map[string]string{"krb5.conf": conf, "kdc.conf": profile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keytab = filepath.Join(dir, "keytab")
	env := append(os.Environ(), "KRB5_CONFIG="+dir+"/krb5.conf", "KRB5_KDC_PROFILE="+dir+"/kdc.conf")
	for _, args := range [][]string{
		{"kdb5_util", "create", "-s", "-P", "master"},
		{"kadmin.local", "addprinc", "-pw", "secret", "alice"},
		{"kadmin.local", "addprinc", "-randkey", "HTTP/localhost"},
		{"kadmin.local", "ktadd", "-k", keytab, "HTTP/localhost"},
	} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(server), args[0]), args[1:]...)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	cmd := exec.Command(server, "-n")
	cmd.Env = env
	err := enginetest.Start(t, cmd).Await(func() error {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	return conf, keytab
}

// TestKerberos logs in at a real Kerberos server, and writes a file that belongs to who has logged in: to where the
// gateway sends it, without more proof than that.
func TestKerberos(t *testing.T) {
	conf, keytab := kdc(t)
	g := startGateway(t, nil, "--http", "127.0.0.1:0", "--store", "file://"+t.TempDir(), "--keytab", keytab, "--superuser",
		"alice")
	g.leads(t)
	_, port, err := net.SplitHostPort(g.address)
	if err != nil {
		t.Fatal(err)
	}
	base := "http://localhost:" + port + "/webhdfs/v1"
	parsed, err := config.NewFromString(conf)
	if err != nil {
		t.Fatal(err)
	}
	user := client.NewWithPassword("alice", "EXAMPLE.COM", "secret", parsed)
	if err := user.Login(); err != nil {
		t.Fatal(err)
	}
	defer user.Destroy()
	// do sends a request, by a client that proves who it is or one that does not, and decodes the answer.
	do := func(proves bool, method, target, body string, answer any) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		send := http.DefaultClient.Do
		if proves {
			send = spnego.NewClient(user, nil, "HTTP/localhost").Do
		}
		resp, err := send(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err == nil && answer != nil && resp.StatusCode < 300 {
			err = json.Unmarshal(text, answer)
		}
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", method, target, err, text)
		}
		return resp.StatusCode
	}
	if code := do(false, http.MethodPut, base+"/f?op=MKDIRS&user.name=alice", "", nil); code != http.StatusUnauthorized {
		t.Errorf("without proof: %d", code)
	}
	var place struct{ Location string }
	if code := do(true, http.MethodPut, base+"/f?op=CREATE&noredirect=true&user.name=bob", "",
		&place); code != http.StatusOK {
		t.Fatal(code)
	}
	if code := do(false, http.MethodPut, place.Location, "hello", nil); code != http.StatusCreated {
		t.Fatal(code)
	}
	var status struct{ FileStatus struct{ Owner string } }
	code := do(true, http.MethodGet, base+"/f?op=GETFILESTATUS", "", &status)
	if code != http.StatusOK || status.FileStatus.Owner != "alice" {
		t.Error(code, status)
	}
}
