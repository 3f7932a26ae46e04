package shell

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed3322913c/runner/hdfsgw/client"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/errs"
)

// size writes a number of bytes as Hadoop does, "2.9 M" if it is for people.
func size(n int64, human bool) string {
	if !human || n < 1024 {
		return strconv.FormatInt(n, 10)
	}
	unit, value := 0, n
	for value >= 1024 && unit < 6 {
		value >>= 10
		unit++
	}
	if n%(1<<(10*unit)) == 0 {
		return fmt.Sprintf("%d %c", value, " KMGTPE"[unit])
	}
	text := fmt.Sprintf("%.1f", float64(n)/float64(int64(1)<<(10*unit)))
	if strings.HasPrefix(text, "1024") { // rounded up
		return "1.0 " + string(" KMGTPE"[unit+1])
	}
	return text + " " + string(" KMGTPE"[unit])
}

// Entry is the document of a file or directory.
type Entry struct {
	Path        string    `json:"path"`
	Type        string    `json:"type"` // FILE or DIRECTORY
	Length      int64     `json:"length"`
	Owner       string    `json:"owner,omitempty"`
	Group       string    `json:"group,omitempty"`
	Permission  string    `json:"permission"`
	Replication int16     `json:"replication"`
	BlockSize   int64     `json:"blockSize,omitempty"`
	Modified    time.Time `json:"modified"`
	Accessed    time.Time `json:"accessed,omitzero"`
	FileID      uint64    `json:"fileId,omitempty"`
}

func (f found) entry() Entry {
	e := Entry{Path: f.String(), Type: "FILE", Length: f.Length, Owner: f.Owner, Group: f.Group,
		Permission: strconv.FormatUint(uint64(f.Perm), 8), Replication: f.Replication, BlockSize: f.BlockSize,
		Modified: time.UnixMilli(f.Modified).UTC(), FileID: f.ID}
	if f.Dir {
		e.Type = "DIRECTORY"
	}
	if f.Accessed > 0 {
		e.Accessed = time.UnixMilli(f.Accessed).UTC()
	}
	return e
}

// String is the URI; found has two to choose from.
func (f found) String() string { return f.target.String() }

// ListOptions are those of ls.
type ListOptions struct {
	Dirs, Recursive, Human, PathsOnly bool
	ByTime, BySize, Reverse           bool
}

// List is ls.
func (s *Shell) List(ctx context.Context, args []string, o ListOptions) error {
	if len(args) == 0 {
		args = []string{"."}
	}
	return s.each(ctx, args, func(f found) error { return s.list(ctx, f, o) })
}

func (s *Shell) list(ctx context.Context, f found, o ListOptions) error {
	if !f.Dir || o.Dirs {
		return s.show([]found{f}, o)
	}
	var all []found
	for entry, err := range f.System.List(ctx, f.path) {
		if err != nil {
			return err
		}
		all = append(all, found{f.child(entry.Name), entry})
	}
	if !o.Recursive && !o.PathsOnly && !s.JSON && len(all) > 0 {
		fmt.Fprintf(s.Out, "Found %d items\n", len(all))
	}
	o.sort(all)
	if !o.Recursive {
		return s.show(all, o)
	}
	for _, kid := range all {
		if err := s.show([]found{kid}, o); err != nil {
			return err
		}
		if kid.Dir {
			if err := s.list(ctx, kid, o); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o ListOptions) sort(all []found) {
	switch {
	case o.ByTime:
		slices.SortStableFunc(all, func(a, b found) int { return cmp.Compare(b.Modified, a.Modified) })
	case o.BySize:
		slices.SortStableFunc(all, func(a, b found) int { return cmp.Compare(b.Length, a.Length) })
	}
	if o.Reverse {
		slices.Reverse(all)
	}
}

// show writes lines of ls, in columns as wide as the widest.
func (s *Shell) show(all []found, o ListOptions) error {
	repl, owner, group, length := 3, 0, 0, 10
	for _, f := range all {
		owner, group = max(owner, len(f.Owner)), max(group, len(f.Group))
		length = max(length, len(size(f.Length, o.Human)))
	}
	for _, f := range all {
		if o.PathsOnly && !s.JSON {
			fmt.Fprintln(s.Out, f.shown)
			continue
		}
		kind, copies, mark := "-", strconv.Itoa(int(f.Replication)), " "
		if f.Dir {
			kind, copies = "d", "-"
		}
		if f.HasACL {
			mark = "+"
		}
		err := s.say(f.entry(), "%s%s%s%*s %-*s %-*s %*s %s %s", kind, namespace.PermText(f.Perm), mark, repl, copies, owner,
			f.Owner, group, f.Group, length, size(f.Length, o.Human),
			time.UnixMilli(f.Modified).Format("2006-01-02 15:04"), f.shown)
		if err != nil {
			return err
		}
	}
	return nil
}

// Stat is stat; format has Hadoop's letters after percent signs, "" is "%y".
func (s *Shell) Stat(ctx context.Context, args []string, format string) error {
	if format == "" {
		format = "%y"
	}
	return s.each(ctx, args, func(f found) error { return s.say(f.entry(), "%s", statText(f, format)) })
}

func statText(f found, format string) string {
	kind := "regular file"
	if f.Dir {
		kind = "directory"
	}
	day := func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05") }
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		switch format[i] {
		case 'a':
			fmt.Fprintf(&b, "%o", f.Perm)
		case 'A':
			b.WriteString(namespace.PermText(f.Perm))
		case 'b':
			fmt.Fprint(&b, f.Length)
		case 'F':
			b.WriteString(kind)
		case 'g':
			b.WriteString(f.Group)
		case 'n':
			b.WriteString(f.base())
		case 'o':
			fmt.Fprint(&b, f.BlockSize)
		case 'r':
			fmt.Fprint(&b, f.Replication)
		case 'u':
			b.WriteString(f.Owner)
		case 'x':
			b.WriteString(day(f.Accessed))
		case 'X':
			fmt.Fprint(&b, f.Accessed)
		case 'y':
			b.WriteString(day(f.Modified))
		case 'Y':
			fmt.Fprint(&b, f.Modified)
		default:
			b.WriteByte(format[i])
		}
	}
	return b.String()
}

// summary counts what is at and below a path.
func summary(ctx context.Context, f found) (client.Summary, error) {
	if h, ok := f.System.(hdfs); ok {
		return h.Summary(ctx, f.path)
	}
	sum := client.Summary{Quota: -1, SpaceQuota: -1}
	err := walk(ctx, f, func(f found) error {
		if f.Dir {
			sum.DirectoryCount++
		} else {
			sum.FileCount++
		}
		sum.Length += f.Length
		return nil
	})
	sum.SpaceConsumed = sum.Length
	return sum, err
}

// Usage is the document of what is at and below a path.
type Usage struct {
	Path        string `json:"path"`
	Directories int64  `json:"directories"`
	Files       int64  `json:"files"`
	Length      int64  `json:"length"`
	Consumed    int64  `json:"consumed"` // with all replicas that are told of
}

func usageOf(f found, c client.Summary) Usage {
	return Usage{f.String(), c.DirectoryCount, c.FileCount, c.Length, c.SpaceConsumed}
}

// DiskUsageOptions are those of du.
type DiskUsageOptions struct{ Summarize, Human, Header bool }

// DiskUsage is du.
func (s *Shell) DiskUsage(ctx context.Context, args []string, o DiskUsageOptions) error {
	if len(args) == 0 {
		args = []string{"."}
	}
	return s.each(ctx, args, func(f found) error {
		all := []found{f}
		if f.Dir && !o.Summarize {
			all = nil
			for entry, err := range f.System.List(ctx, f.path) {
				if err != nil {
					return err
				}
				all = append(all, found{f.child(entry.Name), entry})
			}
		}
		rows := [][]string{}
		if o.Header {
			rows = append(rows, []string{"SIZE", "DISK_SPACE_CONSUMED_WITH_ALL_REPLICAS", "FULL_PATH_NAME"})
		}
		for _, f := range all {
			c, err := summary(ctx, f)
			if err != nil {
				return err
			}
			if s.JSON {
				if err := s.say(usageOf(f, c), ""); err != nil {
					return err
				}
				continue
			}
			rows = append(rows, []string{size(c.Length, o.Human), size(c.SpaceConsumed, o.Human), f.shown})
		}
		return s.table(rows, 0)
	})
}

// table writes rows in columns with two blanks between; right says after which column they stand to the right, 0: none.
func (s *Shell) table(rows [][]string, right int) error {
	if s.JSON || len(rows) == 0 {
		return nil
	}
	wide := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			wide[i] = max(wide[i], len(cell))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			switch {
			case right > 0 && i >= right:
				fmt.Fprintf(&b, "  %*s", wide[i], cell)
			case i == len(row)-1:
				b.WriteString("  " + cell)
			case i == 0:
				fmt.Fprintf(&b, "%-*s", wide[i], cell)
			default:
				fmt.Fprintf(&b, "  %-*s", wide[i], cell)
			}
		}
		if _, err := fmt.Fprintln(s.Out, b.String()); err != nil {
			return err
		}
	}
	return nil
}

// CountOptions are those of count.
type CountOptions struct{ Quota, Human, Header bool }

// Count is count.
func (s *Shell) Count(ctx context.Context, args []string, o CountOptions) error {
	if o.Header && !s.JSON {
		quota := ""
		if o.Quota {
			quota = fmt.Sprintf("%12s %15s %15s %15s ", "QUOTA", "REM_QUOTA", "SPACE_QUOTA", "REM_SPACE_QUOTA")
		}
		fmt.Fprintf(s.Out, "%s%12s %12s %18s %s\n", quota, "DIR_COUNT", "FILE_COUNT", "CONTENT_SIZE", "PATHNAME")
	}
	return s.each(ctx, args, func(f found) error {
		c, err := summary(ctx, f)
		if err != nil {
			return err
		}
		quota := ""
		if o.Quota {
			names, left := limit(c.Quota, c.DirectoryCount+c.FileCount, false)
			space, spaceLeft := limit(c.SpaceQuota, c.SpaceConsumed, o.Human)
			quota = fmt.Sprintf("%12s %15s %15s %15s ", names, left, space, spaceLeft)
		}
		return s.say(usageOf(f, c), "%s%12d %12d %18s %s", quota, c.DirectoryCount, c.FileCount, size(c.Length, o.Human),
			f.shown)
	})
}

// limit writes a quota and what is left of it.
func limit(quota, used int64, human bool) (all, left string) {
	if quota < 0 {
		return "none", "inf"
	}
	return size(quota, human), size(quota-used, human)
}

// DiskFree is df.
func (s *Shell) DiskFree(ctx context.Context, args []string, human bool) error {
	if len(args) == 0 {
		args = []string{"/"}
	}
	rows := [][]string{{"Filesystem", "Size", "Used", "Available", "Use%"}}
	for _, arg := range args {
		t, err := s.resolve(ctx, arg)
		if err != nil {
			return err
		}
		c, err := namespaceOf(t, "df")
		if err != nil {
			return err
		}
		space, err := c.Space(ctx)
		if err != nil {
			return err
		}
		if s.JSON {
			if err := s.say(space, ""); err != nil {
				return err
			}
			continue
		}
		percent := int64(0)
		if space.Capacity > 0 {
			percent = space.Used / max(space.Capacity/100, 1)
		}
		rows = append(rows, []string{t.place, size(space.Capacity, human), size(space.Used, human),
			size(space.Remaining, human), fmt.Sprintf("%d%%", percent)})
	}
	return s.table(rows, 1)
}

// Checksum is checksum.
func (s *Shell) Checksum(ctx context.Context, args []string, composite bool) error {
	return s.each(ctx, args, func(f found) error {
		c, err := namespaceOf(f.target, "checksum")
		if err != nil {
			return err
		}
		if f.Dir {
			return refuse(errs.Invalid, "%s is a directory", f.shown)
		}
		sum, err := c.Checksum(ctx, f.path, composite)
		if err != nil {
			return err
		}
		return s.say(struct {
			Path string `json:"path"`
			client.Checksum
		}{f.String(), sum}, "%s\t%s\t%s", f.shown, sum.Algorithm, sum.Bytes[:min(2*sum.Length, len(sum.Bytes))])
	})
}
