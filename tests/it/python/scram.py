"""Gives a user of a broker another password, or takes the user away, as its operator would.

usage: scram.py BROKER USER [PASSWORD]
"""

import sys

from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

broker, user, *password = sys.argv[1:]
if password:
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    change = UserScramCredentialUpsertion(user, info, password[0].encode())
else:
    change = UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_512)
admin = AdminClient({"bootstrap.servers": broker})
for future in admin.alter_user_scram_credentials([change]).values():
    future.result(60)
