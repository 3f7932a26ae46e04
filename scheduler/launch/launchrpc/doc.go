// Package launchrpc is the wire form of a launcher; launch.proto says what each call means, package remote uses it.
package launchrpc
