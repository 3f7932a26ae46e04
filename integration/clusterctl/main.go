// Clusterctl is what scripts/cluster calls: it starts and ends a cluster on this machine (package cluster).
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/seed3322913c/runner/integration/cluster"
	"github.com/seed3322913c/runner/runner/embedded"
	"github.com/seed3322913c/runner/runner/fleet"
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
	flags.StringVar((*string)(&o.Driver), "driver", "raw_exec",
		"how containers are started: raw_exec, or exec, each in a chroot")
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
	if _, err := cluster.Open(o.Dir); err == nil {
		return fmt.Errorf("cluster %s is up already; scripts/cluster down ends it", o.Name)
	}
	c, err := cluster.Up(ctx, o)
	if err != nil {
		return err
	}
	if err := c.State.Fleet.Save(home); err != nil {
		return err
	}
	fmt.Printf("Cluster %s is up: %d servers, %d clients.\n", o.Name, o.Servers, o.Clients)
	fmt.Printf("Try: runner run wordcount --cluster %s --input s3://%s/in --output s3://%[2]s/out\n", o.Name,
		cluster.Bucket)
	return nil
}

func down(home string, o cluster.Options) error {
	c, err := cluster.Open(o.Dir)
	if os.IsNotExist(err) {
		return fleet.Forget(home, o.Name)
	}
	if err != nil {
		return err
	}
	if err := c.Down(); err != nil {
		return err
	}
	return fleet.Forget(home, o.Name)
}
