"""Gives a user of a broker these rights from now on, and no others, as its operator would.

usage: acl.py BROKER USER [RESOURCE:NAME:OPERATION]...
"""

import sys

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

broker, user, *rights = sys.argv[1:]
principal = f"User:{user}"


def binding(right):
    resource, name, operation = right.split(":")
    return AclBinding(
        ResourceType[resource.upper()],
        name,
        ResourcePatternType.LITERAL,
        principal,
        "*",
        AclOperation[operation.upper()],
        AclPermissionType.ALLOW,
    )


wanted = {binding(right) for right in rights}
admin = AdminClient({"bootstrap.servers": broker})
any_of_the_user = AclBindingFilter(
    ResourceType.ANY, None, ResourcePatternType.ANY, principal, None, AclOperation.ANY, AclPermissionType.ANY
)
present = set(admin.describe_acls(any_of_the_user).result(60))
if wanted - present:
    for future in admin.create_acls(list(wanted - present)).values():
        future.result(60)
superfluous = [
    AclBindingFilter(b.restype, b.name, b.resource_pattern_type, b.principal, b.host, b.operation, b.permission_type)
    for b in present - wanted
]
if superfluous:
    for future in admin.delete_acls(superfluous).values():
        future.result(60)
