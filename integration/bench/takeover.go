package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// takeovers kills gateways that lead, and asks their standby until it answers.
func takeovers(ctx context.Context, s settings, title string) error {
	start := func() (address, func() (bool, error), error) {
		return s.gateway(ctx, nil, "--store", "file://"+filepath.Join(s.work, "shared"), "--coord",
			filepath.Join(s.work, "coord"))
	}
	leader, turn, err := start()
	for err == nil && !leader.Leader {
		leader.Leader, err = turn()
	}
	if err != nil {
		return err
	}
	const leaders = 11
	var took []time.Duration
	for range leaders {
		standby, turn, err := start()
		if err != nil {
			return err
		}
		began := time.Now()
		if err := syscall.Kill(leader.pid, syscall.SIGKILL); err != nil {
			return err
		}
		for leads := false; !leads; {
			if leads, err = turn(); err != nil {
				return err
			}
		}
		resp, err := http.Get("http://" + standby.HTTP + "/webhdfs/v1/?op=GETFILESTATUS&user.name=root")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("a gateway that leads answers %s", resp.Status)
		}
		took, leader = append(took, time.Since(began)), standby
	}
	slices.Sort(took)
	fmt.Printf("\n%s\nmedian of %d: %.2f s   (%.2f to %.2f s)\n", title, leaders, took[leaders/2].Seconds(),
		took[0].Seconds(),
		took[leaders-1].Seconds())
	return nil
}
