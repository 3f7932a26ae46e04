package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seed3322913c/runner/infra/seedtest"
)

// TestRandomKills draws options that must make no difference to a word count, and kills executors and application
// masters of it at moments that are drawn too: the output is the oracle's, byte for byte.
func TestRandomKills(t *testing.T) {
	chance := seedtest.New(t)
	for range rounds() {
		tr := newTrial(t, chance)
		tr.vary()
		var moments []int // maps that are done
		for range 1 + chance.IntN(4) {
			moments = append(moments, chance.IntN(30))
		}
		slices.Sort(moments)
		w := tr.start("run", "crash.yaml")
		for _, done := range moments {
			if w.reached("map", done) {
				tr.kill(pick(chance, "executor", "executor", "am"))
			}
		}
		if chance.IntN(2) == 0 && w.reached("reduce", 0) {
			tr.kill(pick(chance, "executor", "am"))
		}
		w.end()
		tr.check()
	}
}

// reached is progressed, but the run may end before: it may go on so fast that nothing is heard in between.
func (w *watched) reached(stage string, n int) bool {
	for {
		e, ok := w.next()
		if !ok || e.Event == "stage" && e.Name == stage && e.Done >= n {
			return ok
		}
	}
}

func pick[T any](chance *rand.Rand, values ...T) T { return values[chance.IntN(len(values))] }

// vary writes another specification of the trial's job.
func (tr *trial) vary() {
	tr.t.Helper()
	spec := fmt.Sprintf(`kind: mapreduce
name: crash
input: in
output: out
package: %s
mapreduce:
  mapper: {go: main}
  reducer: {builtin: sum}
  reducers: 5
  %s
  partitioner: %s
  shuffle: %s
  shuffleCompress: %s
  splitSize: %s
  set: {pace: 20ms}
resources: {executors: %d, cpu: %d, memory: %s}
retry: {job: 20}
`, filepath.Join(os.Getenv(binEnv), "paced"), pick(tr.chance, "combiner: {builtin: sum}", "combiner: {go: main}", ""),
		pick(tr.chance, "hash", "total-order"), pick(tr.chance, "local", "store"), pick(tr.chance, "none", "s2", "zstd"),
		pick(tr.chance, "128KiB", "256KiB"), 1+tr.chance.IntN(3), 1+tr.chance.IntN(2),
		pick(tr.chance, "128MiB", "256MiB", "1GiB"))
	tr.t.Log(spec)
	if err := os.WriteFile(filepath.Join(tr.dir, "crash.yaml"), []byte(spec), 0o600); err != nil {
		tr.t.Fatal(err)
	}
}
