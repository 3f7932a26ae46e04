package main

import (
	"cmp"
	"net"
	"os"
	"os/user"
	"strings"

	"github.com/seed3322913c/runner/hdfsgw/client"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/say"
)

// Environment variables that say how gateways are reached. The processes of a job inherit them.
const (
	// gatewaysEnv names gateways: "demo=10.0.0.1:9870,10.0.0.2:9870 test=127.0.0.1:9871".
	gatewaysEnv = "RUNNER_GATEWAYS"
	// tokenEnv is what a gateway that asks for tokens is shown.
	tokenEnv = "RUNNER_GATEWAY_TOKEN"
	// userEnv is who asks a gateway that believes it, as for Hadoop's own clients.
	userEnv = "HADOOP_USER_NAME"
)

// webPort is where WebHDFS is served if a URI does not say.
const webPort = "9870"

// nativePort reports whether a port is one of those that hdfs:// has for the native protocol, beside webPort.
func nativePort(port string) bool { return port == "8020" || port == "9000" || port == "" }

// isGateway reports whether a scheme and authority are a gateway's.
func isGateway(place string) bool {
	return strings.HasPrefix(place, "hdfs://") || strings.HasPrefix(place, "webhdfs://")
}

// gatewayAddresses returns where WebHDFS is served for a scheme and authority: what gatewaysEnv has for a name, or the
// machine of that name.
func gatewayAddresses(place string) ([]string, error) {
	scheme, name, _ := strings.Cut(place, "://")
	for entry := range strings.FieldsSeq(os.Getenv(gatewaysEnv)) {
		if known, addresses, ok := strings.Cut(entry, "="); ok && known == name {
			return strings.Split(addresses, ","), nil
		}
	}
	if name == "" {
		return nil, say.Errorf(errs.Invalid, "%s/// names no gateway; write %s://HOST:PORT/PATH", scheme, scheme)
	}
	host, port := name, ""
	if h, p, err := net.SplitHostPort(name); err == nil {
		host, port = h, p
	}
	if scheme == "hdfs" && nativePort(port) || port == "" {
		port = webPort
	}
	return []string{net.JoinHostPort(host, port)}, nil
}

// openGateway returns a client of the gateway at a scheme and authority. Resolve opens the store in which it keeps its
// files, where this machine can.
func openGateway(place string, resolve store.Resolve) (*client.Client, error) {
	addresses, err := gatewayAddresses(place)
	if err != nil {
		return nil, err
	}
	return client.New(addresses, client.Options{User: hadoopUser(), Token: os.Getenv(tokenEnv), Resolve: resolve})
}

// hadoopUser is who this process is at a gateway.
func hadoopUser() string {
	if name := os.Getenv(userEnv); name != "" {
		return name
	}
	if me, err := user.Current(); err == nil {
		return me.Username
	}
	return cmp.Or(os.Getenv("USER"), "nobody")
}
