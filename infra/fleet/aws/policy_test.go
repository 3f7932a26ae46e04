package aws

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"

	"github.com/seed3322913c/runner/infra/fleet/fleettest"
)

// planned is a resource of a plan, as it will be.
type planned struct {
	address string
	kind    string
	values  map[string]any
}

// at finds a value: at("a.0.b") is a's first element's b.
func (p planned) at(path string) any {
	var v any = p.values
	for key := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[key]
		case []any:
			if key != "0" || len(in) == 0 {
				return nil
			}
			v = in[0]
		default:
			return nil
		}
	}
	return v
}

// hardening is what every plan of roots/aws must keep to: for each kind of resource, what has to hold. One of a kind at
// least must be there.
var hardening = []struct {
	promise string
	kind    string
	holds   func(planned) bool
}{
	{"instance metadata only with a token", "aws_launch_template",
		func(p planned) bool { return p.at("metadata_options.0.http_tokens") == "required" }},
	{"instance metadata one hop away", "aws_launch_template",
		func(p planned) bool { return fmt.Sprint(p.at("metadata_options.0.http_put_response_hop_limit")) == "1" }},
	{"disks are encrypted", "aws_launch_template",
		func(p planned) bool { return p.at("block_device_mappings.0.ebs.0.encrypted") == "true" }},
	{"disks go with their machine", "aws_launch_template",
		func(p planned) bool { return p.at("block_device_mappings.0.ebs.0.delete_on_termination") == "true" }},
	{"user-data is two lines and a checksum", "aws_launch_template", shortUserData},
	{"what a template starts is tagged", "aws_launch_template", tagsWhatItStarts},
	{"groups start empty", "aws_autoscaling_group",
		func(p planned) bool {
			return fmt.Sprint(p.at("desired_capacity")) == "0" && fmt.Sprint(p.at("min_size")) == "0"
		}},
	{"nothing keeps the switch from ending machines", "aws_autoscaling_group",
		func(p planned) bool { return p.at("protect_from_scale_in") == false }},
	{"groups are tagged", "aws_autoscaling_group", groupTagged},
	{"nobody logs in by SSH, and nobody comes from everywhere", "aws_vpc_security_group_ingress_rule", narrowIngress},
	{"the default group is closed", "aws_default_security_group",
		func(p planned) bool { return p.values["ingress"] == nil && p.values["egress"] == nil }},
	{"the bucket is not removed with what is in it", "aws_s3_bucket",
		func(p planned) bool { return p.at("force_destroy") == false }},
	{"the bucket is never public", "aws_s3_bucket_public_access_block",
		func(p planned) bool {
			return p.at("block_public_acls") == true && p.at("block_public_policy") == true &&
				p.at("ignore_public_acls") == true && p.at("restrict_public_buckets") == true
		}},
	{"the bucket is encrypted", "aws_s3_bucket_server_side_encryption_configuration",
		func(p planned) bool {
			return p.at("rule.0.apply_server_side_encryption_by_default.0.sse_algorithm") == "AES256"
		}},
	{"the bucket keeps versions", "aws_s3_bucket_versioning",
		func(p planned) bool { return p.at("versioning_configuration.0.status") == "Enabled" }},
	{"the bucket takes TLS alone", "aws_s3_bucket_policy", onlyTLS},
	{"roles are the cluster's, in its region", "aws_iam_role", ownInRegion},
	{"profiles are the cluster's, in its region", "aws_iam_instance_profile", ownInRegion},
	{"roles have no rights but those that they need", "aws_iam_role_policy", leastPrivilege},
	{"secrets are encrypted", "aws_ssm_parameter", func(p planned) bool { return p.at("type") == "SecureString" }},
	{"secrets are in no plan", "aws_ssm_parameter",
		func(p planned) bool { return p.at("value") == nil && p.at("value_wo") == nil }},
	{"the switch repeats, from the deadline on", "aws_scheduler_schedule",
		func(p planned) bool {
			return p.at("start_date") != nil && p.at("schedule_expression") == "rate(15 minutes)"
		}},
	{"the switch turns groups to nothing", "aws_scheduler_schedule",
		func(p planned) bool {
			input := fmt.Sprint(p.at("target.0.input"))
			return strings.Contains(input, `"MaxSize":0`) && strings.Contains(input, `"DesiredCapacity":0`)
		}},
	{"groups have a schedule of their own behind the switch", "aws_autoscaling_schedule",
		func(p planned) bool { return fmt.Sprint(p.at("max_size")) == "0" && p.at("start_time") != nil }},
	{"machines have time to drain", "aws_autoscaling_lifecycle_hook",
		func(p planned) bool {
			return p.at("lifecycle_transition") == "autoscaling:EC2_INSTANCE_TERMINATING" && p.at("default_result") == "CONTINUE"
		}},
}

// ownInRegion reports whether something of IAM is met by no fleet of the same name in another region.
func ownInRegion(p planned) bool {
	return p.at("path") == "/runner/demo/"+fleettest.Region+"/" &&
		strings.HasSuffix(fmt.Sprint(p.at("name")), "-"+fleettest.Region)
}

func checkHardening(t *testing.T, plan *tfjson.Plan) {
	t.Helper()
	all := resources(plan.PlannedValues.RootModule)
	for _, rule := range hardening {
		found := false
		for _, p := range all {
			if p.kind == rule.kind {
				found = true
				if !rule.holds(p) {
					t.Errorf("%s: %s does not keep to it", rule.promise, p.address)
				}
			}
		}
		if !found {
			t.Errorf("%s: there is no %s", rule.promise, rule.kind)
		}
	}
	checkTags(t, all)
	checkSpot(t, all)
}

func resources(m *tfjson.StateModule) []planned {
	var all []planned
	for _, r := range m.Resources {
		if r.Mode == tfjson.ManagedResourceMode {
			all = append(all, planned{r.Address, r.Type, r.AttributeValues})
		}
	}
	for _, child := range m.ChildModules {
		all = append(all, resources(child)...)
	}
	return all
}

// checkTags looks whether everything that can have tags names its cluster and owner.
func checkTags(t *testing.T, all []planned) {
	t.Helper()
	for _, p := range all {
		tags, taggable := p.values["tags_all"].(map[string]any)
		if taggable && (tags["runner:cluster"] != "demo" || tags["runner:owner"] != "ann@example.com") {
			t.Errorf("%s has tags %v", p.address, tags)
		}
	}
}

// checkSpot looks at the group that is partly spot: 1 of 4 on demand at a share of 0.7.
func checkSpot(t *testing.T, all []planned) {
	t.Helper()
	at := slices.IndexFunc(all, func(p planned) bool {
		return strings.HasSuffix(p.address,
			"aws_autoscaling_group.workers")
	})
	const policy = "mixed_instances_policy.0.instances_distribution.0."
	got := fmt.Sprintf("%v %v %v", all[at].at(policy+"on_demand_base_capacity"),
		all[at].at(policy+"on_demand_percentage_above_base_capacity"), all[at].at(policy+"spot_allocation_strategy"))
	if want := "1 0 price-capacity-optimized"; got != want {
		t.Errorf("workers are %q, want %q", got, want)
	}
}

func shortUserData(p planned) bool {
	text, ok := p.at("user_data").(string)
	data, err := base64.StdEncoding.DecodeString(text)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return ok && err == nil && len(lines) == 3 && strings.Contains(lines[1], "sha256sum -c") &&
		strings.Contains(lines[2], "runner node-init")
}

func tagsWhatItStarts(p planned) bool {
	kinds := map[any]bool{}
	list, _ := p.values["tag_specifications"].([]any)
	for _, one := range list {
		spec := planned{values: one.(map[string]any)}
		kinds[spec.at("resource_type")] = spec.at("tags.runner:cluster") == "demo" && spec.at("tags.runner:role") != nil
	}
	return kinds["instance"] && kinds["volume"] && kinds["network-interface"]
}

func groupTagged(p planned) bool {
	has := map[any]any{}
	list, _ := p.values["tag"].([]any)
	for _, one := range list {
		tag := one.(map[string]any)
		has[tag["key"]] = tag["value"]
	}
	return has["runner:cluster"] == "demo" && has["runner:expires-at"] != nil && has["runner:owner"] != nil
}

// narrowIngress allows machines of the fleet, and single ports for the network that was named.
func narrowIngress(p planned) bool {
	from := p.at("cidr_ipv4")
	if from == nil {
		return p.at("cidr_ipv6") == nil
	}
	return from == "203.0.113.7/32" && p.at("ip_protocol") == "tcp" && fmt.Sprint(p.at("from_port")) != "22" &&
		fmt.Sprint(p.at("from_port")) == fmt.Sprint(p.at("to_port"))
}

// statement is one of an IAM policy.
type statement struct {
	Effect    string
	Action    any
	Resource  any
	Principal any
	Condition map[string]map[string]any
}

func statements(p planned) []statement {
	var policy struct{ Statement []statement }
	text, _ := p.at("policy").(string)
	if json.Unmarshal([]byte(text), &policy) != nil {
		return nil
	}
	return policy.Statement
}

func texts(v any) []string {
	if one, ok := v.(string); ok {
		return []string{one}
	}
	var all []string
	list, _ := v.([]any)
	for _, one := range list {
		all = append(all, fmt.Sprint(one))
	}
	return all
}

func onlyTLS(p planned) bool {
	for _, s := range statements(p) {
		if s.Effect == "Deny" && s.Principal == "*" && s.Condition["Bool"]["aws:SecureTransport"] == "false" &&
			slices.Equal(texts(s.Action), []string{"s3:*"}) && len(texts(s.Resource)) == 2 {
			return true
		}
	}
	return false
}

// shell is what `aws ssm start-session` needs, and knows no narrower resource.
var shell = []string{"ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel",
	"ssmmessages:CreateDataChannel",
	"ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"}

// leastPrivilege finds no right with a wildcard in its action, and none on everything but to look.
func leastPrivilege(p planned) bool {
	all := statements(p)
	for _, s := range all {
		for _, action := range texts(s.Action) {
			_, name, _ := strings.Cut(action, ":")
			everything := slices.Contains(texts(s.Resource), "*")
			look := strings.HasPrefix(name, "Describe") || slices.Contains(shell, action)
			if s.Effect == "Allow" && (strings.Contains(action, "*") || everything && !look) {
				return false
			}
		}
	}
	return len(all) > 0
}
