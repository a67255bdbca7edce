"""An OAuth 2.0 provider out of Authlib's server, for the tests of `auth: oauth2` and `auth: jwt_bearer`.

Takes its one client as JSON on the command line, prints the port that it listens on, and ends with its standard input.

  {"method": "client_secret_post" | "client_secret_basic" | "client_assertion_jwt",
   "secret": "...", "key": "PEM or secret", "algorithm": "RS256", "audience": "what an assertion must be for",
   "scope": "orders", "expires_in": 3600}

`POST /token` gives out tokens, `GET /log` tells of all token requests, `POST /orders` takes only what has a good token.
Time is the wall clock's, unless `now` says otherwise.
"""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, JsonRequest, OAuth2Request, grants
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion, JWTBearerGrant
from joserfc.jws import JWSRegistry
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

# Everything here is on loopback.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
SETTINGS = json.loads(sys.argv[1])
CLIENT_ID = "shop"
# The package takes Ed25519 only when it is told to.
JWSRegistry.recommended.append("EdDSA")
TOKENS = {}
LOG = []
SEEN = set()


if "now" in SETTINGS:
    # The tests' own clock stands still.
    time.time = lambda: SETTINGS["now"]


def key():
    text = SETTINGS["key"]
    kind = {"RS256": RSAKey, "ES256": ECKey, "EdDSA": OKPKey, "HS256": OctKey}[SETTINGS["algorithm"]]
    return kind.import_key(text)


class Client(ClientMixin):
    def get_client_id(self):
        return CLIENT_ID

    def get_default_redirect_uri(self):
        return None

    def get_allowed_scope(self, scope):
        allowed = SETTINGS.get("scope", "").split()
        return " ".join(part for part in (scope or "").split() if part in allowed)

    def check_client_secret(self, secret):
        return secret == SETTINGS["secret"]

    def check_endpoint_auth_method(self, method, endpoint):
        return method == SETTINGS["method"]

    def check_grant_type(self, grant_type):
        return True


CLIENT = Client()


class Request(OAuth2Request):
    @property
    def form(self):
        return self.payload.data


class ClientCredentials(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post", "client_secret_basic", JWTBearerClientAssertion.CLIENT_AUTH_METHOD]


class ClientAssertion(JWTBearerClientAssertion):
    def validate_jti(self, claims, jti):
        fresh = jti not in SEEN
        SEEN.add(jti)
        return fresh

    def resolve_client_public_key(self, client):
        return key()

    def get_audiences(self):
        return [SETTINGS.get("audience")]


class JwtGrant(JWTBearerGrant):
    def resolve_issuer_client(self, issuer):
        return CLIENT if issuer == CLIENT_ID else None

    def resolve_client_public_key(self, client):
        return key()

    def get_audiences(self):
        return [SETTINGS.get("audience")]

    def authenticate_user(self, subject):
        return subject

    def has_granted_permission(self, client, user):
        return True


class Server(AuthorizationServer):
    def query_client(self, client_id):
        return CLIENT if client_id == CLIENT_ID else None

    def save_token(self, token, request):
        TOKENS[token["access_token"]] = token

    def create_oauth2_request(self, request):
        return request

    def create_json_request(self, request):
        return JsonRequest("POST", "/")

    def handle_response(self, status, body, headers):
        return status, body, headers

    def send_signal(self, name, *args, **kwargs):
        pass

    def get_error_uri(self, request, error):
        return None


def provider():
    server = Server(scopes_supported=SETTINGS.get("scope", "").split())
    count = iter(range(1, 1000))
    lifetime = SETTINGS.get("expires_in", 3600)
    generator = BearerTokenGenerator(
        lambda **_: f"token-{next(count)}", expires_generator=lambda client, grant_type: lifetime
    )
    server.register_token_generator("default", generator)
    server.register_grant(ClientCredentials)
    server.register_grant(JwtGrant)
    server.register_client_auth_method(JWTBearerClientAssertion.CLIENT_AUTH_METHOD, ClientAssertion())
    return server


SERVER = provider()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, headers=()):
        body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, LOG)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path == "/token":
            form = dict(parse_qsl(body))
            LOG.append({"form": form, "authorization": self.headers.get("Authorization")})
            request = Request("POST", f"http://{self.headers['Host']}/token", headers=self.headers)
            request.payload = BasicOAuth2Payload(form)
            self.answer(*SERVER.create_token_response(request))
            return
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Bearer" and token in TOKENS and not SETTINGS.get("refuse"):
            self.answer(200, {"scope": TOKENS[token].get("scope"), "token": token})
        else:
            self.answer(401, f"not {token}", [("WWW-Authenticate", "Bearer")])

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
