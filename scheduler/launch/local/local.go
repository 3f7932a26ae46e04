// Package local is the launcher of one machine: a container is an operating system process.
//
// Every process leads a process group of its own, so that all that it starts can be ended with it, and dies with this
// process (package proc). Standard output and error go to LogDir/ROLE-INDEX.log, which restarts continue.
package local
