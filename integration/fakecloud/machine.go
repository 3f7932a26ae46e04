package fakecloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// machine is an instance that runs.
type machine struct {
	instance
	dir      string // its disk
	network  *network
	metadata *Metadata
	server   *http.Server
	cmd      *exec.Cmd
	ended    chan struct{} // closed when its last process has ended
	ending   bool          // somebody sees to its end; the cloud's lock guards it
	drained  chan struct{} // closed when it has said that nothing keeps it
}

// boot is what a machine's kernel and its image do before user-data runs: a disk that nobody else sees at the places
// where programs write, /proc of its own processes alone, and its name. $1 is the disk, $2 the name.
const boot = `set -e
mount -t tmpfs tmpfs /var/lib
mkdir -p /var/lib/runner
mount --bind "$1/lib" /var/lib/runner
mount --bind "$1/bin" /usr/local/bin
hostname "$2"
mount --bind "$1/tmp" /tmp
exec sh /tmp/user-data
`

// start gives an instance its network, its metadata service, and its first process.
func (c *Cloud) start(ctx context.Context, i instance, t Trouble) (*machine, error) {
	userData, err := c.moto.userData(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	m := &machine{
		instance: i, dir: filepath.Join(c.options.Dir, i.ID), network: c.network, ended: make(chan struct{}),
		drained: make(chan struct{}),
	}
	id := Identity{
		ID: i.ID, Type: i.Type, Image: i.Image, Zone: i.Zone, Private: i.Private, Public: i.Public,
		Role: i.role(), UserData: userData, Tags: map[string]string{},
	}
	for _, t := range i.Tags {
		id.Tags[t.Key] = t.Value
	}
	m.metadata = NewMetadata(id, time.Now)
	m.server = &http.Server{Handler: m.metadata, ReadHeaderTimeout: time.Minute}
	if err := m.image(userData, c.options.AWS); err != nil {
		return nil, err
	}
	if t.Disk { // where there should be a folder there is none
		if err := os.WriteFile(m.logs(), nil, 0o600); err != nil {
			return nil, err
		}
	}
	if err := c.network.plugIn(i.ID, i.Private); err != nil {
		return nil, err
	}
	listener, err := listen(ctx, i.ID, MetadataAddress, hops(1))
	if err != nil {
		return nil, errors.Join(err, c.network.unplug(i.ID))
	}
	go func() { _ = m.server.Serve(listener) }() // ends with the machine
	if err := m.power(c.door()); err != nil {
		return nil, errors.Join(err, m.server.Close(), c.network.unplug(i.ID))
	}
	return m, nil
}

// disks are the folders of a machine's own.
var disks = []string{"lib", "bin", "tmp"}

// image makes the machine's disk.
func (m *machine) image(userData, aws string) error {
	for _, disk := range disks {
		if err := os.MkdirAll(filepath.Join(m.dir, disk), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(m.dir, "tmp", "user-data"), []byte(userData), 0o700); err != nil {
		return err
	}
	program, err := os.ReadFile(aws)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(m.dir, "bin", "aws"), program, 0o755)
}

// power starts the first process. What it and all others say goes to the machine's console. It has no keys: those are
// the metadata service's to give.
func (m *machine) power(endpoint string) error {
	console, err := os.OpenFile(m.console(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close() // the process has its own descriptor by then
	host := "ip-" + strings.ReplaceAll(m.Private, ".", "-")
	m.cmd = exec.Command("nsenter", "--net=/run/netns/"+space(m.ID), "--", "unshare", "--mount", "--uts", "--pid",
		"--fork", "--kill-child", "--mount-proc", "sh", "-c", boot, "boot", m.dir, host)
	m.cmd.Env = []string{
		"PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", AWSEnv + "=1",
		"AWS_ENDPOINT_URL=" + endpoint, "CHECKPOINT_DISABLE=1",
	}
	m.cmd.Stdout, m.cmd.Stderr = console, console
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The kernel's wish is about the thread that started the process, so that thread waits for it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := m.cmd.Start()
		started <- err
		if err == nil {
			_ = m.cmd.Wait() // however it ends
			close(m.ended)
		}
	}()
	return <-started
}

// logs is the folder of what its programs say.
func (m *machine) logs() string { return filepath.Join(m.dir, "lib", "logs") }

func (m *machine) console() string { return filepath.Join(m.dir, "console") }

// off takes the power away: all processes end at once, and nothing is left of the machine but its console.
func (m *machine) off() error {
	_ = syscall.Kill(-m.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
	<-m.ended
	all := []error{m.server.Close(), m.network.unplug(m.ID)}
	for _, disk := range disks {
		all = append(all, erase(filepath.Join(m.dir, disk)))
	}
	return errors.Join(all...)
}

// erase removes a folder, also when some process of a machine has made one more file while it died.
func erase(dir string) (err error) {
	const most = 3
	for range most {
		if err = os.RemoveAll(dir); err == nil {
			break
		}
	}
	return err
}

// tail is the end of what the machine has said, and of what its programs have.
func (m *machine) tail() string {
	logs, _ := filepath.Glob(filepath.Join(m.logs(), "*.log")) // the pattern is well formed
	var b strings.Builder
	for _, file := range append([]string{m.console()}, logs...) {
		text, err := os.ReadFile(file)
		if err != nil {
			text = []byte(err.Error())
		}
		lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
		const most = 8
		fmt.Fprintf(&b, "%s (%s): the end of %s:\n%s\n", m.ID, m.Private, filepath.Base(file),
			bytes.Join(lines[max(0, len(lines)-most):], []byte("\n")))
	}
	return b.String()
}
