package fakecloud

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// MetadataAddress is where every instance finds its metadata service.
const MetadataAddress = "169.254.169.254:80"

const (
	tokenHeader = "X-Aws-Ec2-Metadata-Token"
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	// maxTokenTTL is what EC2 allows.
	maxTokenTTL = 6 * time.Hour
)

// Metadata is the metadata service of an instance, in its second version alone, as a launch template of ours demands
// it: who has no token is told 401. Its methods may be called by many goroutines at once.
type Metadata struct {
	now func() time.Time
	mu  struct {
		sync.Mutex
		tokens map[string]time.Time // until when they are good
		values map[string]string    // by path below /latest/
	}
}

// Identity is what an instance is told about itself.
type Identity struct {
	ID, Type, Image, Zone string
	Private, Public       string // addresses
	Role                  string // whose rights it has
	UserData              string
	Tags                  map[string]string
}

// NewMetadata returns the service of an instance; now is the clock.
func NewMetadata(i Identity, now func() time.Time) *Metadata {
	m := &Metadata{now: now}
	m.mu.tokens = map[string]time.Time{}
	region := strings.TrimRight(i.Zone, "abcdef")
	host := "ip-" + strings.ReplaceAll(i.Private, ".", "-") + ".ec2.internal"
	m.mu.values = map[string]string{
		"user-data": i.UserData, "meta-data/instance-id": i.ID, "meta-data/instance-type": i.Type,
		"meta-data/ami-id": i.Image, "meta-data/local-ipv4": i.Private, "meta-data/public-ipv4": i.Public,
		"meta-data/hostname": host, "meta-data/local-hostname": host, "meta-data/placement/availability-zone": i.Zone,
		"meta-data/placement/region": region, "meta-data/services/domain": "amazonaws.com",
		"meta-data/autoscaling/target-lifecycle-state": "InService",
	}
	document, _ := json.Marshal(map[string]string{ // of strings, which can't fail
		"instanceId": i.ID, "instanceType": i.Type, "imageId": i.Image, "region": region, "availabilityZone": i.Zone,
		"privateIp": i.Private,
	})
	m.mu.values["dynamic/instance-identity/document"] = string(document)
	for k, v := range i.Tags {
		m.mu.values["meta-data/tags/instance/"+k] = v
	}
	if i.Role != "" {
		m.mu.values["meta-data/iam/security-credentials/"+i.Role] = credentials(now())
	}
	return m
}

// credentials are the temporary keys of a role.
func credentials(now time.Time) string {
	text, _ := json.Marshal(map[string]string{ // of strings, which can't fail
		"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIA" + rand.Text()[:16], "SecretAccessKey": rand.Text(),
		"Token": rand.Text(), "LastUpdated": now.UTC().Format(time.RFC3339),
		"Expiration": now.Add(maxTokenTTL).UTC().Format(time.RFC3339),
	})
	return string(text)
}

// Set changes what is answered at a path below /latest/; "" removes it.
func (m *Metadata) Set(path, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if value == "" {
		delete(m.mu.values, path)
		return
	}
	m.mu.values[path] = value
}

// ServeHTTP answers as EC2 does.
func (m *Metadata) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "EC2ws")
	path, ok := strings.CutPrefix(r.URL.Path, "/latest/")
	switch {
	case !ok:
		http.NotFound(w, r)
	case path == "api/token":
		m.token(w, r)
	case !m.known(r.Header.Get(tokenHeader)):
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method != http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	default:
		m.answer(w, path)
	}
}

// token hands a token out. What came through a proxy gets none.
func (m *Metadata) token(w http.ResponseWriter, r *http.Request) {
	seconds, err := strconv.Atoi(r.Header.Get(ttlHeader))
	ttl := time.Duration(seconds) * time.Second
	switch {
	case r.Method != http.MethodPut:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case r.Header.Get("X-Forwarded-For") != "":
		w.WriteHeader(http.StatusForbidden)
	case err != nil || ttl < time.Second || ttl > maxTokenTTL:
		w.WriteHeader(http.StatusBadRequest)
	default:
		token := rand.Text()
		m.mu.Lock()
		m.mu.tokens[token] = m.now().Add(ttl)
		m.mu.Unlock()
		w.Header().Set(ttlHeader, strconv.Itoa(seconds))
		fmt.Fprint(w, token)
	}
}

func (m *Metadata) known(token string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	until, ok := m.mu.tokens[token]
	return ok && m.now().Before(until)
}

// answer tells a value, or what there is in a folder.
func (m *Metadata) answer(w http.ResponseWriter, path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if value, ok := m.mu.values[path]; ok {
		fmt.Fprint(w, value)
		return
	}
	folder, lines := strings.TrimSuffix(path, "/")+"/", map[string]bool{}
	for p := range m.mu.values {
		if rest, ok := strings.CutPrefix(p, folder); ok {
			name, _, deeper := strings.Cut(rest, "/")
			if deeper {
				name += "/"
			}
			lines[name] = true
		}
	}
	if len(lines) == 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	fmt.Fprint(w, strings.Join(slices.Sorted(maps.Keys(lines)), "\n"))
}

// hops bounds how far the answers of what listens go: with 1 they reach the instance itself, and no container that has
// a network of its own.
func hops(n int) net.ListenConfig {
	return net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL, n)
		})
		if err != nil {
			return err
		}
		return failed
	}}
}
