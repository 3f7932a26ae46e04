package fakecloud

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// moto asks the server that plays AWS. It checks no signatures, so there are none worth the name.
type moto struct {
	url    string
	region string
	client http.Client
}

func newMoto(url, region string) *moto {
	return &moto{url: url, region: region, client: http.Client{Timeout: time.Minute}}
}

// instance is a machine as EC2 lists it.
type instance struct {
	ID      string `xml:"instanceId"`
	State   string `xml:"instanceState>name"`
	Type    string `xml:"instanceType"`
	Image   string `xml:"imageId"`
	Private string `xml:"privateIpAddress"`
	Public  string `xml:"ipAddress"`
	Zone    string `xml:"placement>availabilityZone"`
	Profile string `xml:"iamInstanceProfile>arn"`
	Tags    []struct {
		Key   string `xml:"key"`
		Value string `xml:"value"`
	} `xml:"tagSet>item"`
}

// wanted reports whether the machine is to run.
func (i instance) wanted() bool { return i.State == "pending" || i.State == "running" }

// roleTag says what a machine is for.
const roleTag = "runner:role"

func (i instance) tag(key string) string {
	for _, t := range i.Tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

// group is the Auto Scaling group that the machine belongs to; "" if there is none.
func (i instance) group() string { return i.tag("aws:autoscaling:groupName") }

// role is whose rights the machine has. moto forgets that of a group's machines; ours are called as their group.
func (i instance) role() string {
	return cmp.Or(i.Profile[strings.LastIndexByte(i.Profile, '/')+1:], i.group())
}

// instances lists all machines, those that have ended included.
func (m *moto) instances(ctx context.Context) ([]instance, error) {
	var all []instance
	for next := ""; ; {
		var page struct {
			Reservations []struct {
				Instances []instance `xml:"instancesSet>item"`
			} `xml:"reservationSet>item"`
			Next string `xml:"nextToken"`
		}
		params := url.Values{}
		if next != "" {
			params.Set("NextToken", next)
		}
		if err := m.query(ctx, "ec2", "DescribeInstances", params, &page); err != nil {
			return nil, err
		}
		for _, r := range page.Reservations {
			all = append(all, r.Instances...)
		}
		if next = page.Next; next == "" {
			return all, nil
		}
	}
}

// userData returns what a machine runs when it boots.
func (m *moto) userData(ctx context.Context, id string) (string, error) {
	var out struct {
		Value string `xml:"userData>value"`
	}
	err := m.query(ctx, "ec2", "DescribeInstanceAttribute", url.Values{"InstanceId": {id}, "Attribute": {"userData"}},
		&out)
	if err != nil {
		return "", err
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(out.Value))
	return string(text), err
}

// replace ends a machine; its group, if it has one, starts another one in its place.
func (m *moto) replace(ctx context.Context, i instance) error {
	if i.group() == "" {
		return m.query(ctx, "ec2", "TerminateInstances", url.Values{"InstanceId.1": {i.ID}}, nil)
	}
	return m.query(ctx, "autoscaling", "TerminateInstanceInAutoScalingGroup",
		url.Values{"InstanceId": {i.ID}, "ShouldDecrementDesiredCapacity": {"false"}}, nil)
}

var versions = map[string]string{"ec2": "2016-11-15", "autoscaling": "2011-01-01", "iam": "2010-05-08"}

func (m *moto) query(ctx context.Context, service, action string, params url.Values, out any) error {
	params.Set("Action", action)
	params.Set("Version", versions[service])
	answer, err := m.ask(ctx, service, http.MethodPost, "/", params.Encode())
	if err != nil || out == nil {
		return err
	}
	return xml.Unmarshal(answer, out)
}

// schedules asks the service that works by the clock.
func (m *moto) schedules(ctx context.Context, path string, out any) error {
	answer, err := m.ask(ctx, "scheduler", http.MethodGet, path, "")
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

func (m *moto) ask(ctx context.Context, service, method, path, form string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, m.url+path, strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	req.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=cloud/20260101/%s/%s/aws4_request, "+
		"SignedHeaders=host, Signature=none", m.region, service))
	resp, err := m.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() // read to its end, or given up
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		kind := errs.Failed
		if resp.StatusCode == http.StatusNotFound {
			kind = errs.NotFound
		}
		return nil, errs.Errorf("moto."+service, kind, path, "%s: %.300s", resp.Status, answer)
	}
	return answer, nil
}
