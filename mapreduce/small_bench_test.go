package mapreduce

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed3322913c/runner/scheduler"
)

// BenchmarkSmallSegments is the reduces of a job with many small maps and many reducers, attempt after attempt: 763
// maps leave 38,150 segments of 5 KB, on the disk of the reducers or on another node's, read one by one or merged; and
// the same input in 12 maps.
func BenchmarkSmallSegments(b *testing.B) {
	var lines bytes.Buffer
	random := rand.New(rand.NewPCG(1, 2))
	for i := 0; lines.Len() < 200_000_000; i++ {
		fmt.Fprintf(&lines, "%016x%016x\t%066d\n", random.Uint64(), random.Uint64(), i)
	}
	in := fill(b, map[string]string{"in": lines.String()})
	for _, c := range []struct {
		name   string
		size   int64
		merged bool
	}{{"large", 16 << 20, false}, {"merged", 256 << 10, true}, {"alone", 256 << 10, false}} {
		for name, noLocal := range map[string]bool{"disk": false, "network": true} {
			b.Run(name+"/"+c.name, func(b *testing.B) {
				var reducing, cpu time.Duration
				for b.Loop() {
					cl := newCluster(b, BodyOptions{NoLocal: noLocal})
					cl.nodes[1] = cl.nodes[0]
					var begun time.Time
					var before time.Duration
					cl.before = func(a *scheduler.Attempt) {
						if a.ID.Task.Stage != reduceStage {
							return
						}
						if begun.IsZero() {
							begun, before = time.Now(), cpuTime()
						}
						p, err := decode[reducePayload](a.ID, a.Payload)
						if err == nil && !c.merged {
							p.Merge = 0
							a.Payload, err = encode(p)
						}
						if err != nil {
							b.Fatal(err)
						}
					}
					o := builtins("identity", "", "identity")
					o.Format, o.SplitSize, o.Reducers = "key-value", c.size, ExactReducers(50)
					if _, err := cl.run(newJob(b, o, b.TempDir()+"/out", in)); err != nil {
						b.Fatal(err)
					}
					reducing, cpu = reducing+time.Since(begun), cpu+cpuTime()-before
				}
				b.ReportMetric(reducing.Seconds()/float64(b.N), "s-reducing/op")
				b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s-reducing/op")
			})
		}
	}
}
