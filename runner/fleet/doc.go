// Package fleet is the engine on machines that were set up for it: Nomad starts what package embedded starts itself,
// and Consul keeps what lies in its folder there.
//
//	runner run --cluster NAME
//	   ├─ job.json ──▶ object storage
//	   ├─ am ────────▶ Nomad ──▶ a machine: runner am ──▶ Nomad ──▶ machines: runner executor
//	   └─ watches ◀── address and epoch ── Consul ◀── runner am
//
// Nothing of a job depends on who submitted it: that process may go at any time, and any other may ask, kill or resume.
package fleet
