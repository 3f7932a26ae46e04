"""Starts moto's server with what it lacks. Arguments are moto's own."""
import json
import sys

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
main(sys.argv[1:])
