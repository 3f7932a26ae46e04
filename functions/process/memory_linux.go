package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Memory returns how many bytes of memory the program itself has at the moment, without those that it has started; 0 if
// nobody knows, as of one that has ended.
func (p *Process) Memory() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.ended {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64) // the kernel writes numbers
	return pages * int64(os.Getpagesize())
}
