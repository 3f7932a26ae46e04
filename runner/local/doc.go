// Package local is the provider whose machines are processes on this host, and whose cloud is a folder: how people try
// a fleet before they pay for one. The same pipeline deploys it as any other, with Terraform's built-in resources
// alone.
//
//	127.a.b.1 .. 5     servers   runner node-init ─┬─ consul (server)   ─ nomad (server)
//	127.a.b.9          store     runner node-init ─── versitygw: the object store
//	127.a.b.11 ..      workers   runner node-init ─┬─ consul (client)
//	                                               └─ nomad (client) ── runner node, runner am, runner executor
//	                   deadman   runner node-init --deadman: removes all of it when its time has come
//
// A machine is an address of the loopback interface, so all of them have their usual ports; that is Linux's. Each is a
// process in a session of its own, which no terminal and no client ends. What a cluster has is known by two things that
// survive every kill: its folder, and a mark in the environment of its processes and of all that they start.
//
//	<home>/local/<name>/
//	  cluster.json            what all its machines are told
//	  deadline                when the dead-man switch fires; each machine looks by itself, too
//	  secrets/                server/token node/ca ...                                 0600
//	  depot/                  bin/: programs by checksum   boot/: what machines report
//	  bin/                    programs that run
//	  parts/workers.json      how many there shall be
//	  server-1/ worker-1/ ... each machine's description, certificates, configurations, logs, data
//	<home>/buckets/<bucket>/  the objects, which outlive the cluster
package local
