package control

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed3322913c/runner/scheduler/queue"
)

// Collector counts what a control knows, for Prometheus. One that stands by knows that it does not lead.
func (s *Server) Collector() prometheus.Collector { return collector{s} }

type collector struct{ *Server }

// desc describes a number; label is what tells several of them apart.
func desc(name, help string, label ...string) *prometheus.Desc {
	return prometheus.NewDesc("runner_control_"+name, help, label, nil)
}

// Describe implements prometheus.Collector: what there is depends on the queues.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, v float64, label ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, label...)
	}
	leads := desc("leads", "1 if this control leads.")
	l, err := c.leading()
	if err != nil {
		tell(leads, 0)
		return
	}
	tell(leads, 1)
	tell(desc("epoch", "Number of this leadership's seal."), float64(l.log.Epoch()))
	for _, q := range l.queues().Queues {
		if q.Leaf {
			tellQueue(tell, q)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	tell(desc("nodes_ready", "Machines that take work."), float64(l.mu.view.Ready()))
}

func tellQueue(tell func(*prometheus.Desc, float64, ...string), q queue.Usage) {
	tell(desc("queue_share", "Part of all machines that is guaranteed.", "queue"), q.Share, q.Name)
	tell(desc("queue_used", "Part of all machines that its jobs hold.", "queue"), q.Used, q.Name)
	tell(desc("queue_jobs_running", "Jobs that were admitted.", "queue"), float64(q.Running), q.Name)
	tell(desc("queue_jobs_waiting", "Jobs that wait to be admitted.", "queue"), float64(q.Waiting), q.Name)
	tell(desc("queue_executors", "Executors that its jobs may have.", "queue"), float64(q.Executors), q.Name)
	tell(desc("queue_executors_wanted", "Those that its jobs could use beside.", "queue"), float64(q.Wanted), q.Name)
}
