"""A mail server for the tests: it asks for a user and a password if it is told one, and writes each mail as a line of JSON.

With a certificate it takes mails by TLS alone: from the beginning (TLS=smtps), or after STARTTLS.
"""

import json
import os
import ssl
import sys
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

PORT = int(os.environ["PORT"])
PASSWORD = os.environ.get("PASSWORD", "")
REFUSED = os.environ.get("REFUSED", "")
CERTIFICATE = os.environ.get("CERTIFICATE", "")


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == REFUSED:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "content": envelope.content.decode("utf-8", "replace"),
            "user": getattr(session.auth_data, "login", b"").decode() if session.auth_data else None,
        }
        print("mail: " + json.dumps(mail), flush=True)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and data.password.decode() == PASSWORD
    return AuthResult(success=good, handled=True, auth_data=data)


needed = {"authenticator": authenticate, "auth_require_tls": False, "auth_required": True} if PASSWORD else {}
if CERTIFICATE:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE, os.environ["KEY"])
    if os.environ["TLS"] == "smtps":
        needed |= {"ssl_context": context}
    else:
        needed |= {"tls_context": context, "require_starttls": True}
Controller(Handler(), hostname="127.0.0.1", port=PORT, **needed).start()
print("ready", flush=True)
sys.stdout.flush()
while True:
    time.sleep(3600)
