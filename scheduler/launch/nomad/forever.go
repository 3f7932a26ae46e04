package nomad

import (
	"context"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/seed3322913c/runner/scheduler/launch"
)

// Everywhere starts one container of the group on every machine, now and whenever one joins, and again for ever when it
// ends. Count and Restart.Attempts are of no meaning. A group of that ID is replaced.
func (l *Launcher) Everywhere(ctx context.Context, g launch.Group) error {
	return l.forever(ctx, "nomad.Everywhere", g, func(job *api.Job, group *api.TaskGroup) {
		job.Type = ptr(api.JobTypeSystem)
		group.Count, group.ReschedulePolicy = ptr(1), nil
	})
}

// Serve keeps a number of containers of the group running for ever, each on a machine of its own, of which it sees all,
// whatever the driver. Count and Restart.Attempts are of no meaning. A group of that ID is replaced, one container after
// the other.
func (l *Launcher) Serve(ctx context.Context, g launch.Group, copies int) error {
	whole := Launcher{client: l.client, prefix: l.prefix, cpu: l.cpu, driver: RawExec, space: l.space}
	return whole.forever(ctx, "nomad.Serve", g, func(job *api.Job, group *api.TaskGroup) {
		job.Type = ptr(api.JobTypeService)
		job.Constraints = append(job.Constraints, api.NewConstraint("", api.ConstraintDistinctHosts, "true"))
		job.Update = &api.UpdateStrategy{
			MaxParallel: ptr(1), HealthCheck: ptr("task_states"), MinHealthyTime: ptr(time.Second),
		}
		group.Count = &copies
		group.ReschedulePolicy = &api.ReschedulePolicy{
			Unlimited: ptr(true), Delay: ptr(5 * time.Second), DelayFunction: ptr("constant"),
		}
	})
}

// forever registers a group whose containers look after the fleet, and are started again whenever they end.
func (l *Launcher) forever(ctx context.Context, op string, g launch.Group, as func(*api.Job, *api.TaskGroup)) error {
	if err := g.Check(); err != nil {
		return err
	}
	if err := l.entrust(ctx, g); err != nil {
		return fail(ctx, op, g.ID, err)
	}
	job := l.job(g)
	job.Priority = ptr(maxPriority) // so that Nomad evicts for no job what all jobs rest on
	group := job.TaskGroups[0]
	group.RestartPolicy.Attempts, group.RestartPolicy.Mode = ptr(3), ptr(api.RestartPolicyModeDelay)
	group.RestartPolicy.Interval = ptr(10 * time.Second)
	as(job, group)
	if _, _, err := l.client.Jobs().Register(job, l.write(ctx, g.ID)); err != nil {
		return fail(ctx, op, g.ID, err)
	}
	return nil
}
