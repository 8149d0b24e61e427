"""Gives a user of a broker another password, as its operator would.

usage: scram.py BROKER USER PASSWORD
"""

import sys

from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

broker, user, password = sys.argv[1:4]
info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
change = UserScramCredentialUpsertion(user, info, password.encode())
admin = AdminClient({"bootstrap.servers": broker})
for future in admin.alter_user_scram_credentials([change]).values():
    future.result(60)
