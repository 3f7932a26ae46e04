package cluster

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/seed3322913c/runner/scheduler/launch/nomad"
)

const (
	datacenter = "local"
	region     = "global"

	consulHTTPS = "8501"
	nomadHTTPS  = "4646"
	s3Port      = "7070"
)

// object is a configuration as the agents read it.
type object = map[string]any

// machine is one pretended machine: an address of the loopback interface, with a Consul and a Nomad agent.
type machine struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Server  bool   `json:"server"`
	Dir     string `json:"dir"`
}

func (m machine) file(name string) string { return filepath.Join(m.Dir, name) }

// consul is the configuration of the machine's Consul agent.
func (m machine) consul(s secrets, servers []string) object {
	c := object{
		"datacenter": datacenter, "node_name": m.Name, "server": m.Server, "data_dir": m.file("consul"),
		"bind_addr": m.Address, "client_addr": m.Address, "retry_join": servers, "retry_interval": "1s",
		"encrypt": s.Gossip, "disable_update_check": true, "log_level": "info", "session_ttl_min": "1s",
		"leave_on_terminate": false,
		"connect":            object{"enabled": false},
		"performance":        object{"raft_multiplier": 1},
		"limits":             object{"http_max_conns_per_client": 2000, "rpc_max_conns_per_client": 2000},
		"ports":              object{"http": -1, "https": 8501, "dns": -1, "grpc": -1, "grpc_tls": -1, "serf_wan": -1},
		"tls": object{
			"defaults": object{
				"ca_file": m.file("ca.pem"), "cert_file": m.file("cert.pem"), "key_file": m.file("key.pem"),
				"verify_incoming": true, "verify_outgoing": true,
			},
			"https":        object{"verify_incoming": false}, // who asks has a token instead
			"internal_rpc": object{"verify_server_hostname": true},
		},
		"acl": object{"enabled": true, "default_policy": "deny", "tokens": object{"agent": s.Token}},
	}
	if m.Server {
		c["bootstrap_expect"] = len(servers)
		c["acl"].(object)["tokens"].(object)["initial_management"] = s.Token
	}
	return c
}

// nomad is the configuration of the machine's Nomad agent.
func (m machine) nomad(s secrets, servers []string, program string) object {
	c := object{
		"datacenter": datacenter, "region": region, "name": m.Name, "data_dir": m.file("nomad"),
		"bind_addr": m.Address, "advertise": object{"http": m.Address, "rpc": m.Address, "serf": m.Address},
		"disable_update_check": true, "log_level": "INFO", "acl": object{"enabled": true},
		"consul": object{"auto_advertise": false, "server_auto_join": false, "client_auto_join": false},
		"limits": object{"http_max_conns_per_client": 2000, "rpc_max_conns_per_client": 2000},
		"tls": object{
			"http": true, "rpc": true, "verify_server_hostname": true, "verify_https_client": false,
			"ca_file": m.file("ca.pem"), "cert_file": m.file("cert.pem"), "key_file": m.file("key.pem"),
		},
	}
	if m.Server {
		c["server"] = object{
			"enabled": true, "bootstrap_expect": len(servers), "encrypt": s.Gossip, "raft_multiplier": 1,
			"server_join": object{"retry_join": servers, "retry_interval": "1s"},
			// A machine that is silent for so long is given up. Nomad's own are 10 s each.
			"min_heartbeat_ttl": "3s", "heartbeat_grace": "3s", "failover_heartbeat_ttl": "20s",
		}
		return c
	}
	c["client"] = object{
		"enabled": true, "server_join": object{"retry_join": servers, "retry_interval": "1s"},
		"network_interface": "lo", "cpu_total_compute": 8000, "gc_max_allocs": 1000, "gc_parallel_destroys": 16,
		// Nomad's defaults of the cloud's metadata service would be waited for in vain.
		"options": object{"fingerprint.denylist": "env_aws,env_gce,env_azure,env_digitalocean,cni,bridge,consul,vault"},
		"meta": object{
			"runner": program, "runner_dir": m.file("runner"), "runner_addr": m.Address, "runner_ca": m.file("ca.pem"),
		},
		"host_volume": volumes(m.file("runner")), "chroot_env": nomad.Chroot(program, m.file("ca.pem")),
	}
	c["plugin"] = object{"raw_exec": object{"config": object{"enabled": true}}}
	return c
}

// volumes are what containers of the driver exec see of the machine, as the agent reads it.
func volumes(dir string) object {
	all := object{}
	for _, v := range nomad.Volumes(dir) {
		all[v.Name] = object{"path": v.Path, "read_only": v.ReadOnly}
	}
	return all
}

// configure writes what the machine's agents read.
func (m machine) configure(s secrets, servers []string, program string) error {
	for name, c := range map[string]object{
		"consul.json": m.consul(s, servers), "nomad.json": m.nomad(s, servers, program),
	} {
		data, err := json.MarshalIndent(c, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(m.file(name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
