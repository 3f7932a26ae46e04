package gateway

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics serves what the gateway does, and as GET /metrics what Prometheus reads, also of one that stands by. Whoever
// the gateway believes may read that.
func (g *Gateway) Metrics(counted prometheus.Gatherer) http.Handler {
	numbers := promhttp.HandlerFor(counted, promhttp.HandlerOpts{})
	// A ServeMux would redirect paths that WebHDFS answers, such as /webhdfs/v1//a.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/metrics":
			g.ServeHTTP(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "read this with GET", http.StatusMethodNotAllowed)
		case !g.o.Web.Believes(r):
			http.Error(w, "authentication required", http.StatusUnauthorized)
		default:
			numbers.ServeHTTP(w, r)
		}
	})
}

// Collector counts what the gateway knows, for Prometheus. One that stands by knows that it does not lead.
func (g *Gateway) Collector() prometheus.Collector { return collector{g} }

type collector struct{ *Gateway }

// Describe implements prometheus.Collector: what there is depends on who leads.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	tell := func(name, help string, v float64) {
		d := prometheus.NewDesc("runner_gateway_"+name, help, nil, nil)
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	const leads, leadsHelp = "leads", "1 if this gateway leads."
	l := c.role.Load()
	if l == nil {
		tell(leads, leadsHelp, 0)
		return
	}
	has := l.Stats()
	tell(leads, leadsHelp, 1)
	tell("epoch", "Number of this leadership's seal.", float64(l.Epoch()))
	tell("inodes", "Files and directories.", float64(has.Inodes))
	tell("blocks", "Blocks of files.", float64(has.Blocks))
	tell("blocks_dropped", "Blocks of no file, which wait to be deleted.", float64(has.Dropped))
	tell("files_open", "Files that are being written.", float64(has.Open))
}
