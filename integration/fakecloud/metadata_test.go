package fakecloud

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

var identity = Identity{
	ID: "i-0123456789abcdef0", Type: "m6i.xlarge", Image: "ami-1", Zone: "us-east-1b", Private: "10.64.1.7",
	Role:     "worker",
	UserData: "#!/bin/sh\n", Tags: map[string]string{"runner:role": "worker"},
}

// TestMetadataAsAmazonsClientWantsIt asks the service by the client that everybody uses.
func TestMetadataAsAmazonsClientWantsIt(t *testing.T) {
	m := NewMetadata(identity, time.Now)
	server := httptest.NewServer(m)
	defer server.Close()
	client := imds.New(imds.Options{Endpoint: server.URL, EnableFallback: aws.FalseTernary})
	document, err := client.GetInstanceIdentityDocument(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if document.InstanceID != identity.ID || document.Region != "us-east-1" || document.PrivateIP != identity.Private {
		t.Errorf("the document is %+v", document.InstanceIdentityDocument)
	}
	region, err := client.GetRegion(t.Context(), nil)
	if err != nil || region.Region != "us-east-1" {
		t.Errorf("the region is %+v, %v", region, err)
	}
	data, err := client.GetUserData(t.Context(), nil)
	if err != nil || read(t, data.Content) != identity.UserData {
		t.Errorf("other user data, %v", err)
	}
	for path, want := range map[string]string{
		"tags/instance/runner:role": "worker", "placement/": "availability-zone\nregion",
		"autoscaling/target-lifecycle-state": "InService", "spot/instance-action": "",
	} {
		out, err := client.GetMetadata(t.Context(), &imds.GetMetadataInput{Path: path})
		if want == "" && err == nil || want != "" && (err != nil || read(t, out.Content) != want) {
			t.Errorf("%s is not %q (%v)", path, want, err)
		}
	}
	m.Set("meta-data/spot/instance-action", `{"action":"terminate"}`)
	if _, err := client.GetMetadata(t.Context(), &imds.GetMetadataInput{Path: "spot/instance-action"}); err != nil {
		t.Error(err)
	}
}

// TestMetadataHasKeys: the chain of credentials that all tools have ends at the service.
func TestMetadataHasKeys(t *testing.T) {
	server := httptest.NewServer(NewMetadata(identity, time.Now))
	defer server.Close()
	for name, value := range map[string]string{
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": server.URL, "AWS_EC2_METADATA_DISABLED": "false", "AWS_ACCESS_KEY_ID": "",
		"AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "", "AWS_CONFIG_FILE": "/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
	c, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := c.Credentials.Retrieve(t.Context())
	if err != nil || keys.SessionToken == "" || !keys.CanExpire {
		t.Errorf("the keys are %+v, %v", keys, err)
	}
}

// TestMetadataRefuses what has no token, or no good one.
func TestMetadataRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMetadata(identity, time.Now)
		token := ask(m, http.MethodPut, "api/token", map[string]string{ttlHeader: "60"})
		if token.Code != http.StatusOK {
			t.Fatal(token.Code)
		}
		good := map[string]string{tokenHeader: token.Body.String()}
		for _, c := range []struct {
			method, path string
			header       map[string]string
			want         int
		}{
			{http.MethodGet, "meta-data/instance-id", nil, http.StatusUnauthorized},
			{http.MethodGet, "meta-data/instance-id", map[string]string{tokenHeader: "guessed"}, http.StatusUnauthorized},
			{http.MethodGet, "meta-data/instance-id", good, http.StatusOK},
			{http.MethodGet, "meta-data/nothing", good, http.StatusNotFound},
			{http.MethodPost, "meta-data/instance-id", good, http.StatusMethodNotAllowed},
			{http.MethodGet, "api/token", map[string]string{ttlHeader: "60"}, http.StatusMethodNotAllowed},
			{http.MethodPut, "api/token", nil, http.StatusBadRequest},
			{http.MethodPut, "api/token", map[string]string{ttlHeader: "21601"}, http.StatusBadRequest},
			{http.MethodPut, "api/token", map[string]string{ttlHeader: "60", "X-Forwarded-For": "1.2.3.4"},
				http.StatusForbidden},
		} {
			if got := ask(m, c.method, c.path, c.header); got.Code != c.want {
				t.Errorf("%s %s %v: %d, want %d", c.method, c.path, c.header, got.Code, c.want)
			}
		}
		wait, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		<-wait.Done()
		if got := ask(m, http.MethodGet, "meta-data/instance-id", good); got.Code != http.StatusUnauthorized {
			t.Errorf("with an old token: %d", got.Code)
		}
	})
}

func ask(m *Metadata, method, path string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/latest/"+path, nil)
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w
}

func read(t *testing.T, from io.ReadCloser) string {
	t.Helper()
	defer from.Close()
	var b strings.Builder
	if _, err := io.Copy(&b, from); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
