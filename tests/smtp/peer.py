"""A mail server that is not ours: aiosmtpd with STARTTLS or TLS and AUTH, for tests/smtp_peer.rs.

    peer.py CERTIFICATE KEY MODE PORT

MODE is `starttls` (refuses everything before STARTTLS), `tls` (from the start) or `plain` (no TLS at all).
Says its port on one line, then writes each accepted message as one JSON line. Ends when its input ends.
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Keep:
    async def handle_DATA(self, server, session, envelope):
        # What came over the wire, with the dots as the sender meant them.
        message = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "content": envelope.original_content.decode("utf-8"),
            "encrypted": session.ssl is not None,
            "signed_in_as": session.auth_data.decode() if session.auth_data else None,
        }
        print(json.dumps(message), flush=True)
        return "250 2.0.0 kept"


def authenticate(server, session, envelope, mechanism, data):
    if not isinstance(data, LoginPassword):
        return AuthResult(success=False, handled=False)
    right = data.login == b"bot@example.org" and data.password == "p@ss:wörd/+%".encode()
    return AuthResult(success=right, handled=False, auth_data=data.login)


async def main():
    certificate, key, mode = sys.argv[1:4]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    def peer():
        return SMTP(
            Keep(),
            hostname="peer.localhost",
            tls_context=context if mode == "starttls" else None,
            require_starttls=mode == "starttls",
            auth_required=True,
            # With TLS from the start aiosmtpd does not see that the line is encrypted.
            auth_require_tls=mode == "starttls",
            authenticator=authenticate,
            loop=asyncio.get_running_loop(),
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        peer, ["127.0.0.1", "127.0.0.2"], int(sys.argv[4]), ssl=context if mode == "tls" else None
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
