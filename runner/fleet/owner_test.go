package fleet

import (
	"testing"
)

func TestOwner(t *testing.T) {
	home := t.TempDir()
	for name, at := range map[string]string{"demo": "s3://runner-demo/.runner", "night": "s3://runner-night-1f3a/.runner"} {
		if err := (Cluster{Name: name, Store: at}).Save(home); err != nil {
			t.Fatal(err)
		}
	}
	for uri, want := range map[string]string{
		"s3://runner-demo/in/":      "demo",
		"s3://runner-demo":          "demo",
		"s3://runner-night-1f3a/in": "night",
		"hdfs://night/logs":         "night",
		"hdfs://night:8020/logs":    "", // a host that is called like it
		"hdfs://runner-demo/logs":   "",
		"s3://demo/in":              "",
		"s3://runner-demo-2/in":     "",
		"runner-demo/in":            "",
		"file:///runner-demo":       "",
		"s3://%zz":                  "",
	} {
		c, found, err := Owner(home, uri)
		if err != nil || found != (want != "") || c.Name != want {
			t.Errorf("%s is of %q, want %q (%v)", uri, c.Name, want, err)
		}
	}
}
