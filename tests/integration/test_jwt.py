"""JSON Web Tokens, as Istio's RequestAuthentication asks for them, with keys and tokens of another library."""

import base64
import json
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from conftest import bootstrap, http_listener
from lab import GATEWAY, HOST, Gateway, static_cluster, stop

ORIGIN_PORT = 8000
BASE = f"http://{GATEWAY}"

# Answers with the fields of the request.
ECHO_ORIGIN = r"""
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}}).encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


def encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def encode_number(number: int, size: int | None = None) -> str:
    return encode(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))


class Issuer:
    """Keys of three kinds, each named by its algorithm."""

    def __init__(self):
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.ed25519 = ed25519.Ed25519PrivateKey.generate()

    def jwks(self) -> str:
        numbers, point = self.rsa.public_key().public_numbers(), self.ec.public_key().public_numbers()
        raw = self.ed25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return json.dumps({"keys": [
            {"kty": "RSA", "kid": "RS256", "alg": "RS256", "n": encode_number(numbers.n), "e": encode_number(numbers.e)},
            {"kty": "EC", "kid": "ES256", "crv": "P-256", "x": encode_number(point.x, 32), "y": encode_number(point.y, 32)},
            {"kty": "OKP", "kid": "EdDSA", "crv": "Ed25519", "x": encode(raw)}]})

    def token(self, algorithm: str = "RS256", **claims) -> str:
        payload = {"iss": "issuer", "sub": "alice", "aud": "books", "exp": int(time.time()) + 600, **claims}
        text = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": algorithm, "kid": algorithm}, payload))
        return f"{text}.{encode(self.sign(algorithm, text.encode()))}"

    def sign(self, algorithm: str, content: bytes) -> bytes:
        if algorithm == "RS256":
            return self.rsa.sign(content, padding.PKCS1v15(), hashes.SHA256())
        if algorithm == "EdDSA":
            return self.ed25519.sign(content)
        r, s = utils.decode_dss_signature(self.ec.sign(content, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@pytest.fixture(scope="module")
def issuer():
    return Issuer()


@pytest.fixture(scope="module")
def gateway(namespace, issuer, tmp_path_factory):
    keys = tmp_path_factory.mktemp("keys") / "jwks.json"
    keys.write_text(issuer.jwks())
    jwt = "envoy.extensions.filters.http.jwt_authn.v3"
    authentication = {
        "@type": f"type.googleapis.com/{jwt}.JwtAuthentication",
        "providers": {"origins-0": {
            "issuer": "issuer", "audiences": ["books"], "local_jwks": {"filename": str(keys)}, "forward": True,
            "forward_payload_header": "x-jwt-payload", "payload_in_metadata": "payload", "jwt_cache_config": {},
            "normalize_payload_in_metadata": {"space_delimited_claims": ["scope"]},
            "claim_to_headers": [{"header_name": "x-jwt-sub", "claim_name": "sub"}], "clear_route_cache": True}},
        "rules": [
            {"match": {"prefix": "/optional"},
             "requires": {"requires_any": {"requirements": [{"provider_name": "origins-0"}, {"allow_missing": {}}]}}},
            {"match": {"prefix": "/"}, "requires": {"provider_name": "origins-0"}}],
        "bypass_cors_preflight": True}
    filter_text = json.dumps({"name": "envoy.filters.http.jwt_authn", "typed_config": authentication})
    disabled = f'{{envoy.filters.http.jwt_authn: {{"@type": type.googleapis.com/{jwt}.PerRouteConfig, disabled: true}}}}'
    routes = (f"[{{match: {{prefix: /open}}, route: {{cluster: origin}}, typed_per_filter_config: {disabled}}}, "
              "{match: {prefix: /, headers: [{name: x-jwt-sub, string_match: {exact: bob}}]}, direct_response: {status: 418}}, "
              "{match: {prefix: /}, route: {cluster: origin}}]")
    listener = http_listener("edge", 80, routes).replace("http_filters:\n", f"http_filters:\n          - {filter_text}\n")
    with Gateway(namespace, bootstrap(listener, static_cluster("origin", [(HOST, ORIGIN_PORT)]))) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def origin(namespace, gateway):
    server = namespace.start(["/usr/bin/python3", "-c", ECHO_ORIGIN, HOST, str(ORIGIN_PORT)])
    namespace.wait_for_port(HOST, ORIGIN_PORT)
    yield server
    stop(server)


def bearer(token: str) -> list[str]:
    return ["-H", f"authorization: Bearer {token}"]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_good_token_passes_and_its_claims_are_told(curl, issuer, algorithm):
    token = issuer.token(algorithm)
    seen = json.loads(curl(*bearer(token), "-H", "x-jwt-sub: forged", f"{BASE}/books"))
    assert seen["x-jwt-sub"] == "alice"
    assert seen["x-jwt-payload"] == token.split(".")[1]
    assert seen["authorization"] == f"Bearer {token}"


def test_a_token_may_stand_in_the_query(curl, issuer):
    assert json.loads(curl(f"{BASE}/books?access_token={issuer.token('ES256')}"))["x-jwt-sub"] == "alice"


def test_who_has_none_is_told_how_to_get_in(curl):
    answer = curl("-i", f"{BASE}/books")
    assert answer.startswith("HTTP/1.1 401 ") and answer.endswith("Jwt is missing")
    assert f'www-authenticate: Bearer realm="{BASE}/books"\n' in answer
    assert json.loads(curl(f"{BASE}/optional"))["path"] == "/optional"
    assert json.loads(curl(f"{BASE}/open"))["path"] == "/open"


def test_bad_tokens_are_told_why(gateway, curl, issuer):
    def answer(token: str, path: str = "/books") -> tuple[str, str]:
        text = curl("-w", "|%{http_code}", *bearer(token), BASE + path)
        return tuple(text.rsplit("|", 1))

    good = issuer.token()
    head, payload, signature = good.split(".")
    assert answer(issuer.token(exp=1)) == ("Jwt is expired", "401")
    assert answer(issuer.token(aud="films")) == ("Audiences in Jwt are not allowed", "403")
    assert answer(issuer.token(iss="nobody")) == ("Jwt issuer is not configured", "401")
    assert answer(f"{head}.{payload}.{signature[:-8]}AAAAAAAA") == ("Jwt verification fails", "401")
    assert answer(Issuer().token(), "/optional") == ("Jwt verification fails", "401")
    forged = encode(b'{"alg": "none"}')
    assert answer(f"{forged}.{payload}.AAAA") == ("Jwt header [alg] is not supported", "401")


def test_a_claim_chooses_the_route(curl, issuer):
    assert curl("-o", "/dev/null", "-w", "%{http_code}", *bearer(issuer.token(sub="bob")), f"{BASE}/books") == "418"


def test_verified_tokens_are_remembered_and_counted(gateway, curl, issuer):
    token = issuer.token("EdDSA", sub="carol")
    before = gateway.stats("jwt_authn")
    for _ in range(3):
        assert json.loads(curl(*bearer(token), f"{BASE}/books"))["x-jwt-sub"] == "carol"
    after = gateway.stats("jwt_authn")
    grown = {name.rsplit(".", 1)[1]: after[name] - before[name] for name in after}
    assert grown["allowed"] == 3 and grown["denied"] == 0
    assert grown["jwt_cache_hit"] == 2 and grown["jwt_cache_miss"] == 1
