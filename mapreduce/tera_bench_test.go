package mapreduce

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/functions"
	"github.com/seed3322913c/runner/functions/tera"
	"github.com/seed3322913c/runner/infra/store"
	storemem "github.com/seed3322913c/runner/infra/store/mem"
)

// BenchmarkTeraSort is the data plane of TeraSort, one attempt after the other, with what an executor of 1 GiB and one
// of 256 MiB gives each. RUNNER_BENCH_ROWS is how many rows of 100 bytes there are, a million by default. For a
// profile:
//
//	RUNNER_BENCH_ROWS=10000000 go test ./mapreduce -run - -bench TeraSort/1024 -benchtime 1x -cpuprofile cpu.out
func BenchmarkTeraSort(b *testing.B) {
	rows := int64(1_000_000)
	if text := os.Getenv("RUNNER_BENCH_ROWS"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		rows = n
	}
	in := b.TempDir() + "/in"
	c := newCluster(b, BodyOptions{})
	files := c.resolve
	c.resolve = func(ctx context.Context, uri string) (store.Store, store.Name, error) {
		if name, ok := strings.CutPrefix(uri, "teragen://rows/"); ok {
			return tera.Store{}, store.Name(name), nil
		}
		return files(ctx, uri)
	}
	c.body.resolve = c.resolve
	generate := Options{Mapper: functions.Ref{Builtin: "teragen"}, Set: functions.Params{"records": fmt.Sprint(rows)}}
	job := newJob(b, generate, in)
	job.Input = []string{fmt.Sprint("teragen://rows/", rows)}
	if _, err := c.run(job); err != nil {
		b.Fatal(err)
	}
	for _, mebibytes := range []int64{1024, 256} {
		b.Run(fmt.Sprint(mebibytes), func(b *testing.B) {
			b.SetBytes(rows * tera.RowBytes)
			c := newCluster(b, BodyOptions{}) // its memory is set by its first attempt
			c.memory = mebibytes << 20 * 3 / 4
			for b.Loop() {
				o := Options{Mapper: functions.Ref{Builtin: "terasort"}, Reducer: functions.Ref{Builtin: "terasort"}}
				o.Partitioner = TotalOrderPartitioner
				sorted := newJob(b, o, b.TempDir()+"/out", in)
				sorted.ID, sorted.Resources.Memory = "bbbb-test", mebibytes<<20
				c.store = storemem.New() // the plan of the round before is not this one's
				if _, err := c.run(sorted); err != nil {
					b.Fatal(err)
				}
			}
			spilled := c.counters.Get(taskCounters, "SPILLED_RECORDS")
			b.ReportMetric(float64(spilled)/float64(rows), "spills/record")
		})
	}
}
