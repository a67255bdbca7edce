"""A real mail server (aiosmtpd) for tests. It listens on a free port of 127.0.0.1, tells everything as lines of JSON on
standard output, answers each number on standard input behind them, and ends with it.

What is asked of it stands in the recipient's address, in front of the @:
  reply-550   the recipient gets that reply          data-552  the mail gets that reply
  once-451    that reply to the first mail, then taken          hang      no reply to the recipient
  silent      the first mail is taken without a reply
"""

import argparse
import asyncio
import email
import email.policy
import json
import os
import ssl
import sys
import threading

from aiosmtpd.smtp import SMTP, AuthResult


def tell(**what):
    # One write: two threads tell.
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Handler:
    def __init__(self):
        self.seen = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        wish, _, code = address.partition("@")[0].partition("-")
        if wish == "reply":
            tell(refused=address)
            return f"{code} 5.1.1 this is what was asked for"
        if wish == "once" and address not in self.seen:
            self.seen.add(address)
            tell(refused=address)
            return f"{code} 4.2.0 come back later"
        if wish == "hang":
            await asyncio.sleep(3600)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = [
            {"type": part.get_content_type(), "text": part.get_content().replace("\r\n", "\n")}
            for part in message.walk()
            if not part.is_multipart()
        ]
        wish, _, code = envelope.rcpt_tos[0].partition("@")[0].partition("-")
        tell(
            mail=True,
            sender=envelope.mail_from,
            to=envelope.rcpt_tos,
            headers=[[name, str(value)] for name, value in message.items()],
            kind=message.get_content_type(),
            parts=parts,
            raw=envelope.content.decode("utf-8", "replace"),
            tls=server.transport.get_extra_info("ssl_object") is not None,
            user=session.auth_data,
            hello=session.host_name,
            taken=wish != "data",
        )
        if wish == "silent" and envelope.rcpt_tos[0] not in self.seen:
            self.seen.add(envelope.rcpt_tos[0])
            await asyncio.sleep(3600)
        return f"{code} 5.3.4 this is what was asked for" if wish == "data" else "250 2.0.0 OK queued as 42"


async def serve(arguments):
    def authenticate(server, session, envelope, mechanism, data):
        login, password = data.login.decode(), data.password.decode()
        fine = f"{login}:{password}" == arguments.auth
        return AuthResult(success=fine, handled=fine, auth_data=login if fine else None)

    context = None
    if arguments.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.certificate, arguments.key)
    implicit = arguments.tls == "implicit"
    handler = Handler()

    def protocol():
        server = SMTP(
            handler,
            hostname="mail.test",
            enable_SMTPUTF8=arguments.utf8,
            tls_context=context if arguments.tls == "starttls" else None,
            require_starttls=arguments.tls == "starttls",
            auth_required=bool(arguments.auth),
            auth_require_tls=False,
            authenticator=authenticate,
            auth_exclude_mechanism=arguments.no_mechanism,
        )
        return server

    listening = await asyncio.get_running_loop().create_server(
        protocol, "127.0.0.1", 0, ssl=context if implicit else None
    )
    tell(port=listening.sockets[0].getsockname()[1])
    await listening.serve_forever()


def answer_stdin():
    """Each line is answered behind everything told so far; the end of the lines is the server's."""
    for line in sys.stdin:
        tell(asked=int(line))
    os._exit(0)


parser = argparse.ArgumentParser()
parser.add_argument("--tls", choices=["none", "starttls", "implicit"], default="none")
parser.add_argument("--certificate")
parser.add_argument("--key")
parser.add_argument("--auth", help="user:password that is asked for")
parser.add_argument("--no-mechanism", action="append", default=[])
parser.add_argument("--utf8", action="store_true")
threading.Thread(target=answer_stdin, daemon=True).start()
asyncio.run(serve(parser.parse_args()))
