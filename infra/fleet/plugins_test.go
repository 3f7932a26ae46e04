package fleet

import (
	"net"
	"os"
	"strings"
	"testing"
)

// TestPluginEnv listens where a plugin would, in a folder whose path is as long as it may be; in one that is longer
// nobody is sent.
func TestPluginEnv(t *testing.T) {
	t.Chdir(t.TempDir())
	const name = "/plugin4294967295"
	dir := strings.Repeat("d", longestSocket-len(name))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", dir+name)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if env := PluginEnv(dir); len(env) != 1 || !strings.HasSuffix(env[0], "="+dir) {
		t.Errorf("got %q", env)
	}
	if env := PluginEnv(dir + "d"); env != nil {
		t.Errorf("sockets would go to a folder that is too long for them: %q", env)
	}
}
