package aws

import (
	"testing"

	"github.com/seed3322913c/runner/infra/errs"
)

func TestExpressionsOfCrontab(t *testing.T) {
	for cron, want := range map[string]string{
		"0 2 * * *":         "cron(0 2 * * ? *)",
		"*/15 8-18 * * *":   "cron(*/15 8-18 * * ? *)",
		"30 1 1,15 * *":     "cron(30 1 1,15 * ? *)",
		"0 0 1 jan-mar *":   "cron(0 0 1 JAN-MAR ? *)",
		"0 2 * * 0":         "cron(0 2 ? * 1 *)",
		"0 2 * * 7":         "cron(0 2 ? * 1 *)",
		"0 2 * * 1-5":       "cron(0 2 ? * 2,3,4,5,6 *)",
		"0 2 * * 5-7":       "cron(0 2 ? * 6,7,1 *)",
		"0 2 * * */2":       "cron(0 2 ? * 1,3,5,7 *)",
		"0 2 * * 1/3":       "cron(0 2 ? * 2,5 *)",
		"0 2 * 6 mon,wed":   "cron(0 2 ? 6 MON,WED *)",
		"@daily":            "cron(0 0 * * ? *)",
		"@weekly":           "cron(0 0 ? * 1 *)",
		"  0   2  *  *  * ": "cron(0 2 * * ? *)",
	} {
		if got, err := expression(cron); err != nil || got != want {
			t.Errorf("%q is %q, %v, want %q", cron, got, err, want)
		}
	}
	for _, cron := range []string{
		"", "@reboot", "0 2 * *", "0 0 2 * * * *", "0 2 1 * 1", "0 2 * * 5-3", "0 2 * * 8", "0 2 * * 1/0", "0 2 L * *",
		"0 2 * * 1#2", "0 2 ? * *", "0 2 * * ) rate(1 minute",
	} {
		if got, err := expression(cron); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q is %q, %v, want an error", cron, got, err)
		}
	}
}
