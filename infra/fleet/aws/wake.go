package aws

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet"
)

// CheckWake implements fleet.Waker.
func (*Provider) CheckWake(w fleet.Wake) error {
	_, err := expression(w.Cron)
	return err
}

// wakes are the moments to wake at as roots/aws wants them. Those that can't be said were refused before.
func wakes(all []fleet.Wake) map[string]any {
	said := map[string]any{}
	for _, w := range all {
		if text, err := expression(w.Cron); err == nil {
			said[w.Name] = map[string]string{"expression": text, "timezone": w.Zone}
		}
	}
	return said
}

// macros are the words for expressions that need no fields.
var macros = map[string]string{
	"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
	"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}

// field is what a field of crontab may be where it means the same to EventBridge.
var field = regexp.MustCompile(
	`^(\*|` + point + `(-` + point + `)?)(/[0-9]+)?(,` + point + `(-` + point + `)?(/[0-9]+)?)*$`)

const point = `([0-9]+|[A-Za-z]{3})`

// expression says a moment of crontab as EventBridge wants it: with a year, with a ? for the day that is not said, and
// with days of the week that begin with 1 for Sunday. Not all of crontab can be said so; the error is of kind Invalid.
func expression(cron string) (string, error) {
	if text, ok := macros[cron]; ok {
		cron = text
	}
	fields := strings.Fields(cron)
	if len(fields) != 5 {
		return "", noExpression(cron, "it has other fields than minute, hour, day of the month, month, day of the week")
	}
	for _, f := range fields {
		if !field.MatchString(f) {
			return "", noExpression(cron, f+" means nothing there")
		}
	}
	month, week := &fields[2], &fields[4]
	switch {
	case *week == "*":
		*week = "?"
	case *month == "*":
		*month = "?"
		days, err := daysOfWeek(*week)
		if err != nil {
			return "", noExpression(cron, err.Error())
		}
		*week = days
	default:
		return "", noExpression(cron, "it can't take both a day of the month and one of the week")
	}
	return "cron(" + strings.ToUpper(strings.Join(fields, " ")) + " *)", nil
}

func noExpression(cron, why string) error {
	return errs.E("", errs.Invalid, nil, fmt.Errorf("nothing can be woken at %q: to EventBridge, %s", cron, why))
}

// daysOfWeek lists days of crontab, 0 and 7 being Sunday, by the numbers that EventBridge has for them, since ranges
// may begin on another day there. Names mean the same to both.
func daysOfWeek(text string) (string, error) {
	if strings.ContainsAny(strings.ToUpper(text), "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		return text, nil
	}
	var days []string
	for part := range strings.SplitSeq(text, ",") {
		span, step, stepped := strings.Cut(part, "/")
		first, last, isRange := strings.Cut(span, "-")
		from, to, by := 0, 6, 1
		if span != "*" {
			from, _ = strconv.Atoi(first) // digits, says field
			if to = from; isRange {
				to, _ = strconv.Atoi(last)
			} else if stepped {
				to = 6
			}
		}
		if stepped {
			by, _ = strconv.Atoi(step)
		}
		if from > to || to > 7 || by < 1 {
			return "", fmt.Errorf("%s are no days of the week", part)
		}
		for day := from; day <= to; day += by {
			days = append(days, strconv.Itoa(day%7+1))
		}
	}
	return strings.Join(days, ","), nil
}

// Deadline implements fleet.Waker: it is a tag of the groups, which moves with the switch.
func (p *Provider) Deadline(ctx context.Context, cluster string) (time.Time, error) {
	g, err := p.group(ctx, serverGroup(cluster))
	if err != nil {
		return time.Time{}, err
	}
	for _, t := range g.Tags {
		if t.Key == expiresTag {
			at, err := time.Parse(time.RFC3339, t.Value)
			if err != nil {
				err = errs.E("aws.Deadline", errs.Corrupt, g.Name, err)
			}
			return at, err
		}
	}
	return time.Time{}, errs.Errorf("aws.Deadline", errs.Corrupt, g.Name, "it has no tag %s", expiresTag)
}
