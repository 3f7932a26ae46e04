// Package seedtest begins the randomness of tests, so that what one of them has met by chance can be met again:
//
//	RUNNER_TEST_SEED=1795290258771792629 go test ./integration -run TestCrashes
package seedtest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Env names the variable that gives the seed. Without it every run has another one.
const Env = "RUNNER_TEST_SEED"

// New returns a source of chance, and logs its seed.
func New(t testing.TB) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(Seed(t), 0))
}

// Seed returns the seed that was given, or one that no run has had, and logs it.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(Env); text != "" {
		given, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = given
	}
	t.Logf("%s=%d", Env, seed)
	return seed
}
