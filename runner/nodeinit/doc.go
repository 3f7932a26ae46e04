// Package nodeinit makes a member of a fleet out of a machine that has just booted, and takes it out again in order. It
// is what a machine's user-data calls (`runner node-init`), and what the machines of the provider "local" are.
//
//	Source ──description, secrets──▶ machine ──fetches programs by their checksums──▶ Depot (bin/)
//	                                  │  ──says how far it is────────────────────────▶ Depot (boot/)
//	                                  ├─ Consul    server or client: TLS, ACLs, encrypted gossip
//	                                  ├─ Nomad     server or client; it starts `runner node` and all containers
//	                                  ├─ control   of a server: also a fleet without workers takes jobs
//	                                  └─ S3        of a store, where no cloud has one
//	Notices ──"it ends in 120 s"────▶ drain: Nomad moves its containers away, then Consul leaves
//
// Servers also do once per cluster what nobody outside can: they bootstrap the ACLs, make the token of the agents, and
// install `runner node` on every machine, now and whenever one joins. A lease in Consul says which of them does it.
//
// What a machine was described to be is written down by Configure, here alone; tests that start their own agents use it
// too.
package nodeinit
