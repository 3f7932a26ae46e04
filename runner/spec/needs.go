package spec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/infra/nearest"
)

// MaxJobs bounds the jobs of one file.
const MaxJobs = 1000

// checkNeeds fails if jobs of one file cannot be told apart, or if what they need of each other cannot be. docs has the
// places of specs.
func checkNeeds(docs []document, specs []Spec) error {
	place := map[string]int{}
	var names []string
	for i, s := range specs {
		if s.Name == "" && len(specs) > 1 {
			return docs[i].Errorf([]string{"kind"}, `the job that begins here has no name; `+
				`where a file has several jobs each needs "name"`)
		}
		if first, ok := place[CleanName(s.Name)]; ok {
			return docs[i].Errorf([]string{"name"}, "the name %s is taken by the job at line %d", s.Name,
				docs[first].Line("name"))
		}
		place[CleanName(s.Name)] = i
		names = append(names, s.Name)
	}
	needed := map[int]bool{}
	needs := make([][]int, len(specs))
	for i, s := range specs {
		for n, name := range s.Needs {
			at := []string{"needs", strconv.Itoa(n)}
			j, ok := place[CleanName(name)]
			switch {
			case !ok:
				return docs[i].Errorf(at, "needs a job %q, which this file does not have%s", name, nearest.Hint(name, names))
			case i == j:
				return docs[i].Errorf(at, "the job %s needs itself", name)
			}
			needed[j] = true
			needs[i] = append(needs[i], j)
		}
	}
	if circle := findCircle(needs); circle != nil {
		return docs[circle[0]].Errorf([]string{"needs"}, "these jobs need each other in a circle: %s",
			tellCircle(circle, specs))
	}
	for i, s := range specs {
		if s.Intermediate && !needed[i] {
			return docs[i].Errorf([]string{"intermediate"}, "no job needs %s, so its output is not intermediate", s.Name)
		}
	}
	return nil
}

// Order returns the places of jobs in an order in which each comes after those that it needs: that of the file, but for
// jobs that must wait. needs names, for each job, the places of others.
func Order(needs [][]int) []int {
	order, _ := walk(needs)
	return order
}

// findCircle returns jobs of which each needs the next, and the last the first; nil if there are none.
func findCircle(needs [][]int) []int {
	_, circle := walk(needs)
	return circle
}

// walk goes to every job by way of what it needs, or finds a circle.
func walk(needs [][]int) (order, circle []int) {
	done := make([]bool, len(needs))
	var path []int // each needs the next
	var visit func(i int) bool
	visit = func(i int) bool {
		if done[i] {
			return true
		}
		if at := slices.Index(path, i); at >= 0 {
			circle = path[at:]
			return false
		}
		path = append(path, i)
		for _, j := range needs[i] {
			if !visit(j) {
				return false
			}
		}
		path = path[:len(path)-1]
		done[i] = true
		order = append(order, i)
		return true
	}
	for i := range needs {
		if !visit(i) {
			return nil, circle
		}
	}
	return order, nil
}

func tellCircle(circle []int, specs []Spec) string {
	var steps []string
	for n, i := range circle {
		steps = append(steps, fmt.Sprintf("%s needs %s", specs[i].Name, specs[circle[(n+1)%len(circle)]].Name))
	}
	return strings.Join(steps, ", ")
}
