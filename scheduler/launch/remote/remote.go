// Package remote lets another process use a launcher: an application master starts executors whose parent it is not, so
// that they survive it.
package remote
