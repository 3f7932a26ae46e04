// Package control is the server that a fleet is asked through, as YARN's ResourceManager is: it takes jobs, lets them
// wait in queues, starts their application masters when it is their turn, and knows what became of them.
package control
