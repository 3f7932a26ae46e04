// Clusterctl is what scripts/cluster calls: it starts and ends a cluster on this machine (package cluster).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
	"github.com/seed3322913c/runner/runner/format"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "scripts/cluster:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("scripts/cluster", flag.ExitOnError)
	var o cluster.Options
	var consul, nomad, s3, ip string
	var wired bool
	flags.StringVar(&o.Name, "name", "local", "how `runner --cluster` calls it")
	flags.IntVar(&o.Servers, "servers", 3, "machines with servers: 1, or 3 of which one may be lost")
	flags.IntVar(&o.Clients, "clients", 3, "machines that run containers")
	flags.StringVar((*string)(&o.Driver), "driver", "exec",
		"how containers are started: exec, each in a chroot, or raw_exec")
	flags.StringVar(&o.Runner, "runner", "", "the program")
	flags.StringVar(&consul, "consul", "", "binary")
	flags.StringVar(&nomad, "nomad", "", "binary")
	flags.StringVar(&s3, "versitygw", "", "binary")
	flags.StringVar(&ip, "iproute2", "", "binary")
	flags.BoolVar(&wired, "wired", false, "each client has a network of its own, from which it can be cut off")
	if len(args) == 0 {
		return fmt.Errorf("say up or down")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if wired {
		o.IP = ip
	}
	o.Engines = map[string]string{"consul": consul, "nomad": nomad, "versitygw": s3}
	home, err := embedded.HomeDir()
	if err != nil {
		return err
	}
	o.Dir = filepath.Join(home, "local-clusters", o.Name)
	switch args[0] {
	case "up":
		return up(home, o)
	case "down":
		return down(home, o)
	}
	return fmt.Errorf("%q is not up or down", args[0])
}

func up(home string, o cluster.Options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch c, err := cluster.Open(o.Dir); {
	case err == nil && !c.Alive():
		return fmt.Errorf("cluster %s was ended from outside; scripts/cluster down removes what it has left", o.Name)
	case err == nil:
		return fmt.Errorf("cluster %s is up already; scripts/cluster down ends it", o.Name)
	case os.Geteuid() != 0:
		return errors.New("only root may make the control groups that Nomad puts containers in")
	case o.Servers != 1 && o.Servers != 3:
		return errors.New("--servers is 1 or 3")
	case o.Clients < 1 || o.Clients > mostClients:
		return fmt.Errorf("--clients is 1 to %d", mostClients)
	}
	if slices.Contains(fleet.Names(home), o.Name) {
		return fmt.Errorf("there is a cluster %s already, which is not of this script; choose another --name", o.Name)
	}
	c, err := cluster.Up(ctx, o)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cluster %s is being started, or an up of it was killed; scripts/cluster down removes what there is",
			o.Name)
	}
	if err != nil {
		return err
	}
	if err := c.State.Fleet.Save(home); err != nil {
		return errors.Join(err, c.Down())
	}
	fmt.Printf("Cluster %s is up: %s, %s.\n", o.Name, format.Plural(int64(o.Servers), "server"),
		format.Plural(int64(o.Clients), "client"))
	fmt.Printf("Try: runner run wordcount --cluster %s --input s3://%s/in --output s3://%[2]s/out\n", o.Name,
		cluster.Bucket)
	return nil
}

// mostClients is how many addresses there are for them.
const mostClients = 200

func down(home string, o cluster.Options) error {
	if _, err := os.Stat(o.Dir); errors.Is(err, fs.ErrNotExist) {
		fmt.Printf("There is no cluster %s.\n", o.Name)
		return nil
	}
	c, err := cluster.Open(o.Dir)
	if errors.Is(err, fs.ErrNotExist) { // it was cut off before it had anything
		c, err = &cluster.Cluster{Dir: o.Dir}, nil
	}
	if err == nil {
		err = errors.Join(fleet.Forget(home, o.Name), c.Down())
	}
	if err == nil {
		fmt.Printf("Cluster %s is down, and all that was in it is removed.\n", o.Name)
	}
	return err
}
