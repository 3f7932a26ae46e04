// Package deploy turns what people ask for into a fleet that works, and back into nothing. It stands between
// infra/fleet, which makes and removes machines, and runner/fleet, which runs jobs on them.
//
//	Request ──Plan──▶ words and a price ──Apply──▶ machines boot (package nodeinit) ──Await──▶ all of them answer
//	                                                      │ reports                                │
//	                                                      ▼                                        ▼
//	                                                    Depot ──▶ Status                    <home>/clusters/<name>.json
//
// A provider is known by its name here alone.
package deploy
