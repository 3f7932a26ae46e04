package nomad

import (
	"path"
	"strings"

	"github.com/hashicorp/nomad/api"
)

// Driver is how Nomad starts containers.
type Driver string

// The drivers.
const (
	// RawExec starts a container as a process of the machine: it sees the machine's files and shares the user of
	// Nomad's agent. It is held to its memory, and gets its share of the cores when they are scarce.
	RawExec Driver = "raw_exec"
	// Exec gives a container a root directory of its own, with what Volumes and Chroot say and nothing else of the
	// machine, the user nobody without any capability, its own process ids, and, if its group is exclusive, its own cores.
	Exec Driver = "exec"
)

// Volume is a folder of a machine that containers of the driver Exec see: a host volume of Nomad's client. Mounting it costs nothing, while what is in the client's chroot_env is linked or copied for every container.
type Volume struct {
	Name     string
	Path     string // on the machine
	At       string // in the container
	ReadOnly bool
}

// User is whose the containers of the driver Exec are.
const User = "nobody"

// Volumes are what a machine must offer. dir is its folder for jobs; what containers write to below it must be User's.
// programs is the folder that has this program, also after an upgrade: others must be allowed to pass through it.
func Volumes(dir, programs string) []Volume {
	all := []Volume{
		{Name: "runner", Path: dir, At: dir},
		{Name: "runner-programs", Path: programs, At: path.Dir(Program), ReadOnly: true},
	}
	for _, name := range []string{"bin", "lib", "lib64", "sbin", "usr"} {
		all = append(all, Volume{Name: "runner-" + name, Path: "/" + name, At: "/" + name, ReadOnly: true})
	}
	return all
}

// Where containers of the driver Exec find the program, and who vouches for the agents. It is not where they are on the
// machine: Nomad gives folders the permissions that they have there, and root's are closed to others.
const (
	Program = "/opt/runner/bin/runner"
	CA      = "/opt/runner/ca.pem"
)

// Chroot is the chroot_env that a machine's client must have: who vouches for its agents, and the few files without
// which names of hosts and users, certificates and times of day are not found. They are the machine's own
// (hard links), so that containers must not be able to write to what is root's.
func Chroot(ca string) map[string]string {
	env := map[string]string{ca: CA}
	for _, name := range []string{
		"/etc/alternatives", "/etc/group", "/etc/hosts", "/etc/ld.so.cache", "/etc/localtime",
		"/etc/nsswitch.conf", "/etc/passwd", "/etc/resolv.conf", "/etc/ssl/certs",
	} {
		env[name] = name
	}
	return env
}

// confine makes a container of a group one of the driver Exec.
func (l *Launcher) confine(group *api.TaskGroup, task *api.Task) {
	task.Driver, task.User = string(Exec), User
	task.Config["cap_drop"] = []string{"all"} // Nomad leaves some that make nobody as mighty as root
	moved := strings.NewReplacer(l.program, Program, l.ca, CA)
	args := task.Config["args"].([]string)
	for i := range args {
		args[i] = moved.Replace(args[i])
	}
	for name, value := range task.Env {
		task.Env[name] = moved.Replace(value)
	}
	group.Volumes = map[string]*api.VolumeRequest{}
	for _, v := range Volumes(l.folder, "") { // the machine knows where its programs are
		group.Volumes[v.Name] = &api.VolumeRequest{
			Name: v.Name, Type: "host", Source: v.Name, ReadOnly: v.ReadOnly,
		}
		task.VolumeMounts = append(task.VolumeMounts, &api.VolumeMount{
			Volume: ptr(v.Name), Destination: ptr(v.At), ReadOnly: ptr(v.ReadOnly),
		})
	}
}
