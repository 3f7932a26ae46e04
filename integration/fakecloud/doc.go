// Package fakecloud plays the machines that moto only keeps a list of. It watches moto, and for every instance that is
// to run it gives a network namespace the instance's own address, a metadata service, and runs its user-data there, as
// it is.
//
//	moto ◀──Terraform, the program──  door  ◀──10.64.0.1── the machines
//	  │ instances                                              ▲
//	  ▼                                                        │ bridge rwcloud 10.64.0.1/16
//	Cloud ──starts, ends──▶ i-1: namespace, eth0 10.64.x.y ────┤   169.254.169.254: Metadata, in this process
//	                        i-2: ...                       ────┘   PID 1: sh user-data ─ runner node-init ─ consul, nomad
//
// What moto does not do is done here: who is taken away is replaced, who shall end has 120 s to drain and is asked to
// by the metadata service, CompleteLifecycleAction ends that time, and schedules fire when a test says how late it is.
// Machines can boot slowly or not at all, be killed, be told that they will be taken away, and lose their network; there
// may be no spot machines.
//
// It needs Linux, root, and the programs ip (iproute2), nsenter and unshare. One cloud plays on a host at a time.
package fakecloud
