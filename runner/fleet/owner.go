package fleet

import (
	"net/url"
)

// Owner returns the saved cluster whose files a URI names: s3://BUCKET of its store, or hdfs://NAME of its gateways.
func Owner(home, uri string) (c Cluster, found bool, err error) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "s3" && u.Scheme != "hdfs" {
		return Cluster{}, false, nil // who opens it says what is wrong with it
	}
	for _, name := range Names(home) {
		if c, err = Load(home, name); err != nil {
			return Cluster{}, false, err
		}
		store, err := url.Parse(c.Store)
		if err == nil && u.Scheme == store.Scheme && u.Host == store.Host || u.Scheme == "hdfs" && u.Host == c.Name {
			return c, true, nil
		}
	}
	return Cluster{}, false, nil
}
