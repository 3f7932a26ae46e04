package fakecloud

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed3322913c/runner/infra/enginetest"
	"github.com/seed3322913c/runner/infra/fleet/fleettest"
)

func TestMain(m *testing.M) {
	if os.Getenv(AWSEnv) != "" && filepath.Base(os.Args[0]) == "aws" {
		if err := copyObject(context.Background(), os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// copyObject is `aws s3 cp --no-progress s3://BUCKET/KEY FILE`, with the rights of the machine that it runs on.
func copyObject(ctx context.Context, args []string) error {
	if len(args) != 5 || args[0] != "s3" || args[1] != "cp" {
		return fmt.Errorf("this aws can't do %q", args)
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(args[3], "s3://"), "/")
	c, err := config.LoadDefaultConfig(ctx, config.WithEC2IMDSRegion())
	if err != nil {
		return err
	}
	client := s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true })
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		return err
	}
	defer out.Body.Close() // read to its end, or given up
	file, err := os.Create(args[4])
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, out.Body); err != nil {
		return err
	}
	return file.Close()
}

// play starts moto and a cloud that plays its machines.
func play(t *testing.T, grace time.Duration) *Cloud {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(Options{
		IP: enginetest.Binary(t, "iproute2"), AWS: program, Moto: fleettest.Start(t).URL, Region: fleettest.Region,
		Dir: t.TempDir(), Grace: grace, Log: t.Logf,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.Consoles())
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// patience bounds what is waited for. Machines fetch programs through moto, which is slow on a busy host.
const patience = 8 * time.Minute

// await waits until something is true of a cloud.
func await(t *testing.T, c *Cloud, what string, is func() bool) {
	t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-c.Changed():
		case <-tick.C:
		case <-late:
			t.Fatalf("waited for %s in vain\n%s", what, c.Consoles())
		}
	}
}

// userData fetches an object with the rights of its machine, tells who it is, reaches the other machine, and works
// until it is told that it will be taken away; then it says so, and ends.
const userData = `#!/bin/sh
aws s3 cp --no-progress s3://depot/` + programKey + ` /usr/local/bin/program || exit 1
chmod 0755 /usr/local/bin/program && exec /usr/local/bin/program
`

// programKey looks as if it had the checksum of the program.
const programKey = "bin/program-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

const program = `#!/bin/sh
trap 'exit 0' TERM
echo "I am $(hostname)"
while true; do sleep 0.1; done
`

// TestMachines boots machines, kills one, takes one away, lets one boot late and one not at all, cuts one off, and
// leaves nothing behind.
func TestMachines(t *testing.T) {
	c := play(t, 20*time.Second)
	putProgram(t)
	subnet := makeSubnet(t, c)
	slow := make(chan struct{})
	c.Trouble(func(role string) (t Trouble) {
		switch role {
		case "late":
			t.Until = slow
		case "dud":
			t.Never = true
		}
		return t
	})
	for _, role := range []string{"plain", "late", "dud"} {
		run(t, c, subnet, role)
	}
	await(t, c, "a machine", func() bool { return len(c.Running("plain")) == 1 })
	if n := len(c.Running("late")); n > 0 {
		t.Errorf("%d machines run that are not to boot yet", n)
	}
	close(slow)
	await(t, c, "a machine that boots slowly", func() bool { return len(c.Running("late")) == 1 })
	plain := c.Running("plain")[0]
	await(t, c, "its program", func() bool { return strings.Contains(c.Consoles(), "I am ip-10-64-") })
	if err := c.Cut(plain, true); err != nil {
		t.Error(err)
	}
	if err := c.Cut(plain, false); err != nil {
		t.Error(err)
	}
	if err := c.Kill(t.Context(), plain); err != nil {
		t.Error(err)
	}
	all, err := c.moto.instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.ID == plain && i.wanted() {
			t.Errorf("a machine that was killed is %s", i.State)
		}
		if i.tag("runner:role") == "dud" && !i.wanted() {
			t.Errorf("a machine that never boots is %s", i.State)
		}
	}
	late := c.Running("late")[0]
	if err := c.moto.replace(t.Context(), instance{ID: late}); err != nil {
		t.Fatal(err)
	}
	await(t, c, "the end of the last", func() bool { return len(c.Running("late")) == 0 })
}

func putProgram(t *testing.T) {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("depot")}); err != nil {
		t.Fatal(err)
	}
	_, err = client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String("depot"), Key: aws.String(programKey), Body: strings.NewReader(program),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func makeSubnet(t *testing.T, c *Cloud) string {
	t.Helper()
	var vpc struct {
		ID string `xml:"vpc>vpcId"`
	}
	var subnet struct {
		ID string `xml:"subnet>subnetId"`
	}
	err := c.moto.query(t.Context(), "ec2", "CreateVpc", url.Values{"CidrBlock": {"10.64.0.0/16"}}, &vpc)
	if err == nil {
		err = c.moto.query(t.Context(), "iam", "CreateInstanceProfile", url.Values{"InstanceProfileName": {"worker"}}, nil)
	}
	if err == nil {
		err = c.moto.query(t.Context(), "ec2", "CreateSubnet",
			url.Values{"CidrBlock": {"10.64.16.0/20"}, "VpcId": {vpc.ID}}, &subnet)
	}
	if err != nil {
		t.Fatal(err)
	}
	return subnet.ID
}

func run(t *testing.T, c *Cloud, subnet, role string) {
	t.Helper()
	err := c.moto.query(t.Context(), "ec2", "RunInstances", url.Values{
		"IamInstanceProfile.Name": {"worker"},
		"ImageId":                 {"ami-12c6146b"}, "MinCount": {"1"}, "MaxCount": {"1"}, "SubnetId": {subnet},
		"InstanceType": {"m6i.xlarge"},
		"UserData":     {base64.StdEncoding.EncodeToString([]byte(userData))}, "TagSpecification.1.ResourceType": {"instance"},
		"TagSpecification.1.Tag.1.Key": {"runner:role"}, "TagSpecification.1.Tag.1.Value": {role},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}
