// Package terraform carries the configuration from which fleets are made, inside the program: modules are the parts, roots
// put them together for one provider each.
package terraform

import "embed"

// Modules holds the folders modules and roots.
//
//go:embed all:modules all:roots
var Modules embed.FS
