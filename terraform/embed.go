// Package terraform holds the configuration that `runner deploy` gives to Terraform: small modules, and a root for each
// provider. A root's outputs are the contract with infra/fleet, which unpacks these files and runs them.
//
//	roots/aws ──▶ modules/network, storage, identity, deadman ──▶ servers, workers ──▶ machines
//	roots/local
package terraform

import "embed"

// Files are the modules and the roots.
//
//go:embed modules roots
var Files embed.FS
