"""Starts moto's server with what it lacks. Arguments are moto's own."""
import json
import sys
import types

from moto.autoscaling.models import FakeAutoScalingGroup
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.models.security_groups import SecurityGroupBackend
from moto.ec2.models.subnets import Subnet
from moto.ec2.utils import parse_user_data
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket
from moto.server import main


def get_permission(self, action, resource):
    """moto looks at no conditions, so a policy that denies what comes without TLS would deny everything."""
    if self.policy is None:
        return PermissionResult.NEUTRAL
    policy = json.loads(self.policy)
    policy["Statement"] = [s for s in policy["Statement"] if "aws:SecureTransport" not in str(s.get("Condition"))]
    return IAMPolicy(json.dumps(policy)).is_action_permitted(action, resource)


FakeBucket.get_permission = get_permission

NO_SPOT = "fakecloud:no-spot"  # a tag of groups for which there are no spot machines
take = FakeAutoScalingGroup.replace_autoscaling_group_instances


def take_some_as_spot(self, count, tags):
    """moto takes all machines on demand. Those beyond a group's base are spot where its policy says so."""
    distribution = (self.mixed_instances_policy or {}).get("InstancesDistribution", {})
    if int(distribution.get("OnDemandPercentageAboveBaseCapacity", 100)) != 0:
        return take(self, count, tags)
    paid = sum(s.instance.lifecycle != "spot" for s in self.instance_states)
    on_demand = min(count, max(0, int(distribution.get("OnDemandBaseCapacity", 0)) - paid))
    if on_demand:
        take(self, on_demand, tags)
    spot = count - on_demand
    if spot and not any(t["Key"] == NO_SPOT for t in self.tags):
        take(self, spot, tags)
        for state in self.instance_states[-spot:]:
            state.instance.lifecycle = "spot"


FakeAutoScalingGroup.replace_autoscaling_group_instances = take_some_as_spot
create_version = LaunchTemplate.create_version


def create_parsed_version(self, data, description):
    """moto parses the user-data of a template's first version alone, and can't start machines of others."""
    if isinstance(data.get("UserData"), str):
        data["UserData"] = parse_user_data(data["UserData"])
    return create_version(self, data, description)


LaunchTemplate.create_version = create_parsed_version
modify_rules = SecurityGroupBackend.modify_security_group_rules


def modify_any_rules(self, group_id, rules):
    """moto wants to know the ports of rules for all protocols, which have none."""
    portless = [id for id, rule in rules.items() if rule.get("IpProtocol") == "-1"]
    for id in portless:
        rules[id].update(FromPort=-1, ToPort=-1)
    modify_rules(self, group_id, rules)
    for id in portless:
        rule = self.get_security_group_by_name_or_id(group_id).get_rule(id)
        rule.from_port = rule.to_port = None


SecurityGroupBackend.modify_security_group_rules = modify_any_rules
given = set()
give = Subnet.get_available_subnet_ip


def give_new_ip(self, instance):
    """moto gives the same addresses in every network. Who plays machines has one network for all of them."""
    while (ip := give(self, instance)) in given:
        pass
    given.add(ip)
    return ip


Subnet.get_available_subnet_ip = give_new_ip


def crc32c(data):
    """moto takes CRC-32 for CRC-32C where nobody has a module for that, and readers find out."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def entry(crc):
    for _ in range(8):
        crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return crc


TABLE = [entry(n) for n in range(256)]
sys.modules["crc32c"] = types.SimpleNamespace(crc32c=crc32c)
main(sys.argv[1:])
