"""JSON Web Tokens, as Istio's RequestAuthentication asks for them, with keys and tokens of another library."""

import base64
import hashlib
import hmac
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


HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES = {"256": ("P-256", ec.SECP256R1(), 32), "384": ("P-384", ec.SECP384R1(), 48), "512": ("P-521", ec.SECP521R1(), 66)}
ALGORITHMS = [kind + size for kind in ("RS", "PS", "ES", "HS") for size in HASHES] + ["EdDSA"]


class Issuer:
    """A key of each kind, named by its algorithms."""

    def __init__(self):
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = {size: ec.generate_private_key(curve) for size, (_, curve, _) in CURVES.items()}
        self.ed25519 = ed25519.Ed25519PrivateKey.generate()
        self.secret = hashlib.shake_256(str(self.rsa.private_numbers().d).encode()).digest(64)

    def jwks(self) -> str:
        numbers = self.rsa.public_key().public_numbers()
        keys = [{"kty": "RSA", "kid": kind + size, "alg": kind + size, "n": encode_number(numbers.n), "e": encode_number(numbers.e)}
                for kind in ("RS", "PS") for size in HASHES]
        for size, (curve, _, length) in CURVES.items():
            point = self.ec[size].public_key().public_numbers()
            keys.append({"kty": "EC", "kid": f"ES{size}", "crv": curve, "x": encode_number(point.x, length), "y": encode_number(point.y, length)})
            keys.append({"kty": "oct", "kid": f"HS{size}", "alg": f"HS{size}", "k": encode(self.secret)})
        raw = self.ed25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        keys.append({"kty": "OKP", "kid": "EdDSA", "crv": "Ed25519", "x": encode(raw)})
        return json.dumps({"keys": keys})

    def token(self, algorithm: str = "RS256", **claims) -> str:
        payload = {"iss": "issuer", "sub": "alice", "aud": "books", "exp": int(time.time()) + 600, **claims}
        payload = {name: value for name, value in payload.items() if value is not None}
        text = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": algorithm, "kid": algorithm}, payload))
        return f"{text}.{encode(self.sign(algorithm, text.encode()))}"

    def sign(self, algorithm: str, content: bytes) -> bytes:
        kind, size = algorithm[:2], algorithm[2:]
        if kind == "Ed":
            return self.ed25519.sign(content)
        if kind == "HS":
            return hmac.digest(self.secret, content, f"sha{size}")
        digest = HASHES[size]
        if kind == "ES":
            length = CURVES[size][2]
            return b"".join(n.to_bytes(length, "big") for n in utils.decode_dss_signature(self.ec[size].sign(content, ec.ECDSA(digest))))
        how = padding.PKCS1v15() if kind == "RS" else padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)
        return self.rsa.sign(content, how, digest)


@pytest.fixture(scope="module")
def issuer():
    return Issuer()


@pytest.fixture(scope="module")
def other_issuer():
    return Issuer()


@pytest.fixture(scope="module")
def gateway(namespace, issuer, other_issuer, tmp_path_factory):
    keys, other_keys = (tmp_path_factory.mktemp("keys") / "jwks.json" for _ in range(2))
    keys.write_text(issuer.jwks())
    other_keys.write_text(other_issuer.jwks())
    jwt = "envoy.extensions.filters.http.jwt_authn.v3"
    authentication = {
        "@type": f"type.googleapis.com/{jwt}.JwtAuthentication",
        "providers": {"origins-0": {
            "issuer": "issuer", "audiences": ["books"], "local_jwks": {"filename": str(keys)}, "forward": True,
            "forward_payload_header": "x-jwt-payload", "payload_in_metadata": "payload", "jwt_cache_config": {},
            "normalize_payload_in_metadata": {"space_delimited_claims": ["scope"]},
            "claim_to_headers": [{"header_name": "x-jwt-sub", "claim_name": "sub"}], "clear_route_cache": True},
            "strict": {"issuer": "other", "local_jwks": {"filename": str(other_keys)}, "from_cookies": ["session"], "clock_skew_seconds": 5,
                       "from_headers": [{"name": "x-other", "value_prefix": "token="}], "require_expiration": True,
                       "payload_in_metadata": "other"}},
        "rules": [
            {"match": {"prefix": "/both"},
             "requires": {"requires_all": {"requirements": [{"provider_name": "origins-0"}, {"provider_name": "strict"}]}}},
            {"match": {"prefix": "/strict"}, "requires": {"provider_name": "strict"}},
            {"match": {"prefix": "/optional"},
             "requires": {"requires_any": {"requirements": [{"provider_name": "origins-0"}, {"allow_missing": {}}]}}},
            {"match": {"prefix": "/"}, "requires": {"provider_name": "origins-0"}}],
        "bypass_cors_preflight": True}
    filter_text = json.dumps({"name": "envoy.filters.http.jwt_authn", "typed_config": authentication})
    disabled = f'{{envoy.filters.http.jwt_authn: {{"@type": type.googleapis.com/{jwt}.PerRouteConfig, disabled: true}}}}'
    routes = (f"[{{match: {{prefix: /open}}, route: {{cluster: origin}}, typed_per_filter_config: {disabled}}}, "
              "{match: {prefix: /, headers: [{name: x-jwt-sub, string_match: {exact: bob}}]}, direct_response: {status: 418}}, "
              "{match: {prefix: /, dynamic_metadata: [{filter: envoy.filters.http.jwt_authn, path: [{key: payload}, {key: team}, {key: name}], "
              "value: {string_match: {exact: tea}}}]}, direct_response: {status: 204}}, "
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


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_good_token_passes_and_its_claims_are_told(curl, issuer, algorithm):
    token = issuer.token(algorithm)
    seen = json.loads(curl(*bearer(token), "-H", "x-jwt-sub: forged", f"{BASE}/books"))
    assert seen["x-jwt-sub"] == "alice"
    assert seen["x-jwt-payload"] == token.split(".")[1]
    assert seen["authorization"] == f"Bearer {token}"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_signature_does_not(curl, issuer, other_issuer, algorithm):
    assert curl(*bearer(other_issuer.token(algorithm)), f"{BASE}/books") == "Jwt verification fails"
    signed = issuer.token(algorithm).rsplit(".", 1)[0]
    kind = {"RS": "PS", "PS": "RS"}.get(algorithm[:2])
    if kind:
        forged = encode(issuer.sign(kind + algorithm[2:], signed.encode()))
        assert curl(*bearer(f"{signed}.{forged}"), f"{BASE}/books") == "Jwt verification fails", "of this key, but padded in another way"


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


def test_a_claim_in_the_metadata_chooses_the_route(curl, issuer):
    def code(team) -> str:
        return curl("-o", "/dev/null", "-w", "%{http_code}", *bearer(issuer.token(team=team)), f"{BASE}/books")

    assert [code(team) for team in ({"name": "tea"}, {"name": "coffee"}, "tea")] == ["204", "200", "200"]


def test_tokens_may_stand_in_cookies_and_fields(curl, other_issuer):
    token = other_issuer.token("ES384", iss="other")
    for fields in (["-b", f"a=b; session={token}; c=d"], ["-H", f"x-other: token={token}"]):
        assert json.loads(curl(*fields, f"{BASE}/strict"))["path"] == "/strict"
    assert curl("-b", f"sessions={token}", f"{BASE}/strict") == curl(*bearer(token), f"{BASE}/strict") == "Jwt is missing"


def test_clocks_may_differ_a_little(curl, other_issuer):
    def answer(**claims) -> str:
        text = curl("-b", f"session={other_issuer.token(iss='other', **claims)}", f"{BASE}/strict")
        return "good" if text.startswith("{") else text

    now = int(time.time())
    assert answer(exp=now - 2) == answer(nbf=now + 3) == "good"
    assert answer(exp=now - 8) == "Jwt is expired"
    assert answer(nbf=now + 12) == "Jwt not yet valid"
    assert answer(exp=None) == "Jwt verification fails", "it must have an end"


def test_all_of_several_tokens_are_required(curl, issuer, other_issuer):
    mine, other = bearer(issuer.token("PS512")), ["-b", f"session={other_issuer.token('HS384', iss='other')}"]
    assert json.loads(curl(*mine, *other, f"{BASE}/both"))["x-jwt-sub"] == "alice"
    assert curl(*mine, f"{BASE}/both") == curl(*other, f"{BASE}/both") == "Jwt is missing"
    assert curl(*mine, "-b", f"session={issuer.token('HS384', iss='other')}", f"{BASE}/both") == "Jwt verification fails"
