package nodeinit

import (
	"encoding/json"
	"maps"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

const (
	datacenter = "runner"
	region     = "global"
)

// The ports of the agents and of a store, on every machine's address.
const (
	ConsulPort = "8501" // HTTPS
	NomadPort  = "4646" // HTTPS
	S3Port     = "7070" // HTTP: a host's own loopback interface
)

// The files that Configure writes.
const (
	consulFile = "consul.json"
	nomadFile  = "nomad.json"
	caFile     = "ca.pem"
	certFile   = "cert.pem"
	keyFile    = "key.pem"
)

// Agents says how a machine's agents differ from the usual.
type Agents struct {
	// Leave makes agents that are told to end (SIGTERM) leave the cluster in order: Nomad's client first moves its
	// containers elsewhere, for at most DrainTime. Without it they end as they are, to come back.
	Leave bool
}

// object is a configuration as the agents read it.
type object = map[string]any

// consul is the configuration of the machine's Consul agent.
func (m Machine) consul(s Secrets, o Agents) object {
	c := object{
		"datacenter": datacenter, "node_name": m.Name, "server": m.Role == Server, "data_dir": m.File("consul"),
		"bind_addr": m.Address, "client_addr": m.Address, "retry_join": m.Servers, "retry_interval": "1s",
		"encrypt": s.Gossip, "disable_update_check": true, "log_level": "info", "session_ttl_min": "1s",
		"leave_on_terminate": o.Leave && m.Role == Worker,
		"connect":            object{"enabled": false},
		"performance":        object{"raft_multiplier": 1},
		"limits":             object{"http_max_conns_per_client": 2000, "rpc_max_conns_per_client": 2000},
		"ports":              object{"http": -1, "https": 8501, "dns": -1, "grpc": -1, "grpc_tls": -1, "serf_wan": -1},
		"tls": object{
			"defaults": object{
				"ca_file": m.File(caFile), "cert_file": m.File(certFile), "key_file": m.File(keyFile),
				"verify_incoming": true, "verify_outgoing": true,
			},
			"https":        object{"verify_incoming": false}, // who asks has a token instead
			"internal_rpc": object{"verify_server_hostname": true},
		},
		"acl": object{"enabled": true, "default_policy": "deny", "tokens": object{"agent": s.Agent}},
	}
	if m.Role == Server {
		c["bootstrap_expect"] = m.Expect
		c["acl"].(object)["tokens"] = object{"agent": s.Token, "initial_management": s.Token}
	}
	return c
}

// nomad is the configuration of the machine's Nomad agent.
func (m Machine) nomad(s Secrets, o Agents) object {
	join := object{"retry_join": m.Servers, "retry_interval": "1s"}
	c := object{
		"datacenter": datacenter, "region": region, "name": m.Name, "data_dir": m.File("nomad"),
		"bind_addr": m.Address, "advertise": object{"http": m.Address, "rpc": m.Address, "serf": m.Address},
		"disable_update_check": true, "log_level": "INFO", "acl": object{"enabled": true},
		"consul": object{"auto_advertise": false, "server_auto_join": false, "client_auto_join": false},
		"limits": object{"http_max_conns_per_client": 2000, "rpc_max_conns_per_client": 2000},
		"tls": object{
			"http": true, "rpc": true, "verify_server_hostname": true, "verify_https_client": false,
			"ca_file": m.File(caFile), "cert_file": m.File(certFile), "key_file": m.File(keyFile),
		},
	}
	if m.Role == Server {
		c["server"] = object{
			"enabled": true, "bootstrap_expect": m.Expect, "encrypt": s.Gossip, "raft_multiplier": 1, "server_join": join,
			// A machine that is silent for so long is given up. One that asks a server whose machine has just vanished waits
			// 10 s for it in vain before it asks another one, and must not be taken for lost.
			"min_heartbeat_ttl": "3s", "heartbeat_grace": "15s", "failover_heartbeat_ttl": "30s",
		}
		return c
	}
	client := object{
		"enabled": true, "server_join": join, "gc_max_allocs": 1000, "gc_parallel_destroys": 16,
		"meta": object{
			"runner": m.Program("runner"), "runner_dir": m.File("runner"), "runner_addr": m.Address, "runner_ca": m.File(caFile),
		},
		"host_volume": m.volumes(), "chroot_env": nomad.Chroot(m.File(caFile)),
		"options": object{"fingerprint.denylist": "env_gce,env_azure,env_digitalocean,cni,bridge,consul,vault"},
	}
	if m.loopback() {
		maps.Copy(client, object{
			"network_interface": "lo", "cpu_total_compute": 8000,
			// The cloud's metadata service would be waited for in vain.
			"options": object{"fingerprint.denylist": "env_aws,env_gce,env_azure,env_digitalocean,cni,bridge,consul,vault"},
		})
	}
	if o.Leave {
		c["leave_on_terminate"] = true
		client["drain_on_shutdown"] = object{"deadline": DrainTime.String()}
	}
	c["client"] = client
	c["plugin"] = object{"raw_exec": object{"config": object{"enabled": true}}}
	return c
}

// volumes are what containers of the driver exec see of the machine, as the agent reads it.
func (m Machine) volumes() object {
	all := object{}
	for _, v := range nomad.Volumes(m.File("runner"), m.Bin) {
		all[v.Name] = object{"path": v.Path, "read_only": v.ReadOnly}
	}
	return all
}

// Configure writes all that the machine's agents read.
func (m Machine) Configure(s Secrets, o Agents) error {
	const op = "nodeinit.Configure"
	files := map[string][]byte{caFile: []byte(s.CA), certFile: []byte(s.Cert), keyFile: []byte(s.Key)}
	for name, c := range map[string]object{consulFile: m.consul(s, o), nomadFile: m.nomad(s, o)} {
		data, err := json.MarshalIndent(c, "", "  ")
		if err != nil {
			return errs.E(op, errs.Internal, name, err)
		}
		files[name] = data
	}
	if err := m.handOver(); err != nil {
		return err
	}
	for name, data := range files {
		mode := os.FileMode(0o600)
		if name == caFile { // which containers read
			mode = 0o644
		}
		if err := os.WriteFile(m.File(name), data, mode); err != nil {
			return errs.E(op, errs.Other, name, err)
		}
	}
	return nil
}

// handOver makes the folder for jobs. What containers write to belongs to their user; all else of it is root's, so that
// none of them gets into the way of those that see the whole machine.
func (m Machine) handOver() error {
	const op = "nodeinit.handOver"
	root := m.File("runner")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return errs.E(op, errs.Other, root, err)
	}
	if err := os.MkdirAll(m.Bin, 0o711); err != nil {
		return errs.E(op, errs.Other, m.Bin, err)
	}
	for _, path := range []string{root, m.Bin} { // others may pass through
		if err := os.Chmod(path, 0o711); err != nil {
			return errs.E(op, errs.Other, path, err)
		}
	}
	owner, err := user.Lookup(nomad.User)
	if err != nil {
		return errs.E(op, errs.Unsupported, nomad.User, err)
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return errs.E(op, errs.Unsupported, owner.Uid, err)
	}
	gid, err := strconv.Atoi(owner.Gid)
	if err != nil {
		return errs.E(op, errs.Unsupported, owner.Gid, err)
	}
	for _, name := range fleet.Folders() {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			return errs.E(op, errs.Other, path, err)
		}
		if os.Geteuid() != 0 {
			continue // nothing can be given away, and there is nobody to give it to: exec needs root
		}
		if err := os.Chown(path, uid, gid); err != nil {
			return errs.E(op, errs.Other, path, err)
		}
	}
	return nil
}

// ConsulCommand is the command line of the machine's Consul agent.
func (m Machine) ConsulCommand() []string {
	return []string{m.Program("consul"), "agent", "-config-file", m.File(consulFile)}
}

// NomadCommand is the command line of the machine's Nomad agent.
func (m Machine) NomadCommand() []string {
	return []string{m.Program("nomad"), "agent", "-config", m.File(nomadFile)}
}

// ControlCommand is the command line of a server's control.
func (m Machine) ControlCommand() []string { return []string{m.Program("runner"), "control"} }

// S3Command is the command line of a store at a port, and S3Env what it must find in its environment.
func (m Machine) S3Command(port string) []string {
	return []string{
		m.Program("versitygw"), "--port", net.JoinHostPort(m.Address, port), "--keep-alive", "--quiet", "posix", m.Data,
	}
}

// S3User is the one account of a store.
const S3User = "runner"

// S3Env says to a store who its account is.
func S3Env(key string) []string {
	return []string{"ROOT_ACCESS_KEY=" + S3User, "ROOT_SECRET_KEY=" + key}
}

// StoreEnv is what the tools of a store at an address must find in their environment.
func StoreEnv(address, key string) map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL": "http://" + net.JoinHostPort(address, S3Port), "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": S3User, "AWS_SECRET_ACCESS_KEY": key,
	}
}
