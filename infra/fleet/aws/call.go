package aws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/cenkalti/backoff/v4"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/fleet"
)

// service is one of AWS's services as it wants to be called.
type service struct {
	name    string // in its address and in signatures
	version string // of one that speaks "query": parameters in a form, answers in XML
	target  string // of one that speaks "JSON 1.1": what stands before an action's name
	global  bool   // one for all regions, whose signatures are for us-east-1
}

var (
	ec2         = service{name: "ec2", version: "2016-11-15"}
	autoscaling = service{name: "autoscaling", version: "2011-01-01"}
	iam         = service{name: "iam", version: "2010-05-08", global: true}
	sts         = service{name: "sts", version: "2011-06-15"}
	ssm         = service{name: "ssm", target: "AmazonSSM."}
	scheduler   = service{name: "scheduler"} // REST with JSON
)

// longestAnswer bounds what is read of an answer, in bytes.
const longestAnswer = 16 << 20

// tries is how often a call is made that a service was too busy for.
const tries = 6

// caller calls services with signed requests.
type caller struct {
	config sdk.Config
	client *http.Client
	signer *v4.Signer
}

func newCaller(c sdk.Config) *caller {
	return &caller{config: c, client: &http.Client{Timeout: time.Minute}, signer: v4.NewSigner()}
}

// query calls an action of a service that speaks "query"; out is decoded from XML, unless it is nil.
func (c *caller) query(ctx context.Context, s service, action string, params url.Values, out any) error {
	form := url.Values{"Action": {action}, "Version": {s.version}}
	for k, v := range params {
		form[k] = v
	}
	r := request{service: s, method: http.MethodPost, path: "/", action: action, body: []byte(form.Encode()),
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}}}
	return c.call(ctx, r, func(answer []byte) error {
		if out == nil {
			return nil
		}
		return xml.Unmarshal(answer, out)
	})
}

// json calls an action of a service that speaks "JSON 1.1".
func (c *caller) json(ctx context.Context, s service, action string, in, out any) error {
	r := request{service: s, method: http.MethodPost, path: "/", action: action,
		header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {s.target + action}}}
	return c.exchange(ctx, r, in, out)
}

// rest calls a path of a service that speaks REST with JSON.
func (c *caller) rest(ctx context.Context, method, path string, in, out any) error {
	r := request{service: scheduler, method: method, path: path, action: method + " " + path,
		header: http.Header{"Content-Type": {"application/json"}}}
	return c.exchange(ctx, r, in, out)
}

func (c *caller) exchange(ctx context.Context, r request, in, out any) (err error) {
	if in != nil {
		if r.body, err = json.Marshal(in); err != nil {
			return errs.E(r.name(), errs.Internal, nil, err)
		}
	}
	return c.call(ctx, r, func(answer []byte) error {
		if out == nil {
			return nil
		}
		return json.Unmarshal(answer, out)
	})
}

// request is one call.
type request struct {
	service      service
	method, path string
	action       string // for errors
	header       http.Header
	body         []byte
}

func (r request) name() string { return r.service.name + "." + r.action }

// call makes a request, again if the service was busy, and hands the answer on.
func (c *caller) call(ctx context.Context, r request, take func([]byte) error) error {
	var answer []byte
	pauses := backoff.WithMaxRetries(backoff.NewExponentialBackOff(backoff.WithInitialInterval(200*time.Millisecond)),
		tries-1)
	err := backoff.Retry(func() (err error) {
		if answer, err = c.once(ctx, r); err != nil && !errs.Retryable(err) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(pauses, ctx))
	if err != nil {
		return err
	}
	if err := take(answer); err != nil {
		return errs.E(r.name(), errs.Corrupt, nil, err)
	}
	return nil
}

func (c *caller) once(ctx context.Context, r request) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, c.endpoint(r.service)+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, errs.E(r.name(), errs.Internal, nil, err)
	}
	req.Header = r.header.Clone()
	keys, err := c.config.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, errs.E("", errs.Permission, nil, errors.New("there are no credentials for AWS: set AWS_PROFILE, "+
			"or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"))
	}
	region := c.config.Region
	if r.service.global {
		region = "us-east-1"
	}
	sum := sha256.Sum256(r.body)
	err = c.signer.SignHTTP(ctx, keys, req, hex.EncodeToString(sum[:]), r.service.name, region, time.Now())
	if err != nil {
		return nil, errs.E(r.name(), errs.Internal, nil, err)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, errs.E(r.name(), unreachable(err), nil, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, longestAnswer))
	if err != nil {
		return nil, errs.E(r.name(), errs.Unavailable, nil, err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, refusal(r, resp, answer)
	}
	return answer, nil
}

// unreachable is the kind of an error without an answer. A service that takes too long is not somebody who gives up.
func unreachable(err error) errs.Kind {
	if errors.Is(err, context.Canceled) {
		return errs.Canceled
	}
	return errs.Unavailable
}

func (c *caller) endpoint(s service) string {
	switch {
	case sdk.ToString(c.config.BaseEndpoint) != "":
		return strings.TrimSuffix(*c.config.BaseEndpoint, "/")
	case s.global:
		return "https://" + s.name + ".amazonaws.com"
	}
	return "https://" + s.name + "." + c.config.Region + ".amazonaws.com"
}

// xmlCode and xmlMessage find the error in the several shapes that XML services wrap it in.
var (
	xmlCode    = regexp.MustCompile(`<Code>([^<]*)</Code>`)
	xmlMessage = regexp.MustCompile(`(?s)<Message>([^<]*)</Message>`)
)

// absent are codes, or their ends, of what isn't there.
var absent = []string{"NotFound", "NoSuchEntity", "NoSuchBucket", "ResourceNotFoundException", "ParameterNotFound",
	".Malformed"}

// busy are codes of what something else still uses.
var busy = []string{"DependencyViolation", "DeleteConflict", "ResourceInUse", "ScalingActivityInProgress",
	"VolumeInUse",
	"InvalidNetworkInterface.InUse", "ResourceContention", "ConflictException", "IncorrectState", "IncorrectInstanceState"}

// refusal makes the error of an answer that isn't what was asked for.
func refusal(r request, resp *http.Response, answer []byte) error {
	code, message := resp.Header.Get("X-Amzn-Errortype"), http.StatusText(resp.StatusCode)
	var told struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
		Text    string `json:"Message"`
	}
	if json.Unmarshal(answer, &told) == nil {
		if code == "" {
			code = told.Type
		}
		message = told.Message + told.Text
	} else if found := xmlCode.FindSubmatch(answer); found != nil {
		code = string(found[1])
		if found := xmlMessage.FindSubmatch(answer); found != nil {
			message = string(found[1])
		}
	}
	code = code[strings.LastIndexByte(code, '#')+1:]
	code, _, _ = strings.Cut(code, ":")
	kind := fleet.KindOf(code)
	switch {
	case anyIn(code, absent), strings.Contains(message, "not found"), strings.Contains(message, "does not exist"):
		kind = errs.NotFound
	case anyIn(code, busy), strings.Contains(message, "currently in use"), resp.StatusCode >= 500:
		kind = errs.Unavailable
	case kind == errs.Other && resp.StatusCode == http.StatusForbidden:
		kind = errs.Permission
	case kind == errs.Other:
		kind = errs.Failed
	}
	return errs.Errorf(r.name(), kind, nil, "%s: %s", code, strings.TrimSpace(message))
}

func anyIn(text string, words []string) bool {
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}
