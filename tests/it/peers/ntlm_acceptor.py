"""An HTTP receiver that takes only NTLM, out of pyspnego's acceptor, for the tests of `auth: ntlm`.

Takes its users as JSON on the command line, prints the port that it listens on, and ends with its standard input.

  {"users": [["DOMAIN", "user", "password"]], "each": false, "tired": false, "offer": ["NTLM"]}

A connection that has passed stays open for all that follows on it, as with IIS; with `each` every request has to pass, with
`tired` it is closed where the next request is to be answered. `offer` are the schemes that a 401 names. `GET /log` tells of every request: its connection, what it carried, and whom it
was taken for.
"""

import base64
import json
import os
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SETTINGS = json.loads(sys.argv[1])
FILE = tempfile.NamedTemporaryFile("w", suffix=".users")
FILE.write("".join(f"{domain}:{user}:{password}\n" for domain, user, password in SETTINGS["users"]))
FILE.flush()
os.environ["NTLM_USER_FILE"] = FILE.name

import spnego  # noqa: E402

LOG = []
COUNT = iter(range(1, 10_000))
LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        with LOCK:
            self.number = next(COUNT)
        self.context = None
        self.user = None

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, json.dumps(LOG).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        blob = base64.b64decode(token)
        entry = {
            "connection": self.number,
            "path": self.path,
            "scheme": scheme,
            "type": int.from_bytes(blob[8:12], "little") if blob.startswith(b"NTLMSSP\0") else None,
            "body": body.decode(),
        }
        LOG.append(entry)
        if scheme == "NTLM" and "NTLM" in SETTINGS.get("offer", ["NTLM"]):
            self.negotiate(blob, entry)
            return
        entry["user"] = self.user
        if self.user is not None and SETTINGS.get("tired"):
            self.close_connection = True
            return
        if self.user is None or SETTINGS.get("each"):
            offers = [("WWW-Authenticate", scheme) for scheme in SETTINGS.get("offer", ["NTLM"])]
            self.answer(401, b"who?", offers)
            return
        self.answer(200, json.dumps({"user": self.user}).encode())

    def negotiate(self, blob, entry):
        if entry["type"] == 1:
            self.user = None
            self.context = spnego.server(protocol="ntlm")
        try:
            reply = self.context.step(blob)
        except Exception as error:
            entry["error"] = repr(error)
            self.context = None
            self.answer(401, b"no", [("WWW-Authenticate", "NTLM")])
            return
        if reply is not None and not self.context.complete:
            self.answer(401, b"go on", [("WWW-Authenticate", "NTLM " + base64.b64encode(reply).decode())])
            return
        self.user = entry["user"] = self.context.client_principal
        self.answer(200, json.dumps({"user": self.user}).encode())

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
