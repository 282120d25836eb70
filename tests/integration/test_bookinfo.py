"""Bookinfo behind a gateway that istiod configured: recorded conversations, mapped to this network by bookinfo.py, carry real requests to
workloads that speak mutual TLS. In both forms of the protocol."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import pathlib
import re
import subprocess
import time

import pytest

from bookinfo import (GATEWAY_IDENTITY, Network, Trust, Workload, as_state_of_the_world, mesh_bootstrap, mesh_plane, read_conversation,
                      resources_of, without_refused, workloads, write_conversation)
from certificates import Authority
from control_plane import DATA, ControlPlane
from lab import GATEWAY, HOST, Namespace, stop, wait_until
from test_discovery import NameServer
from test_jwt import Issuer
from xds_lab import FORMS, Load, XdsGateway, secret

HERE = pathlib.Path(__file__).resolve().parent
PLAIN, SECURE = 8080, 8443  # the listeners of the conversation
SITE = "bookinfo.example.com"
BLOCKED = "203.0.113.7"  # a client in the network that the conversation's AuthorizationPolicy denies
ISSUER = {"iss": "testing@secure.istio.io", "aud": "bookinfo", "groups": ["group1"]}  # what its policies ask for
START = 4  # responses of istiod-update-gateway-delta before the first update
FULL_NAME = "outbound|9080|{}|{}.default.svc.cluster.local"


@dataclasses.dataclass
class Answer:
    status: int
    fields: dict[str, str]
    body: str
    seconds: float

    @property
    def seen(self) -> dict:
        """What the workload says of the request."""
        return json.loads(self.body)


class Bookinfo:
    """The mesh: control plane, gateway, workloads and a client, all in one network."""

    def __init__(self, directory: pathlib.Path, form: str, names: NameServer, issuer: Issuer):
        self.directory, self.form, self.issuer = directory, form, issuer
        self.trust = Trust(directory)
        self.network = Network(jwks=issuer.jwks(), resolver=("127.0.0.1", names.port))
        self.names = names
        self.plane, self.namespace = mesh_plane(directory), Namespace()
        self.gateway: XdsGateway | None = None
        self.running: dict[str, subprocess.Popen] = {}  # by address

    @contextlib.contextmanager
    def serving(self, name: str, until: int | None = None):
        """`until`: the last response to be said at first."""
        with self.plane, self.namespace:
            responses = self.network.derive(read_conversation(self.plane, DATA / name))
            if "DELTA" not in self.form and name.endswith("-delta"):
                responses = as_state_of_the_world(responses)  # nobody recorded this one
            with_route_to_a_name(responses)
            self.secrets = self.trust.secrets(responses)
            self.workloads = workloads(responses, self.network)
            self.versions = {response["number"]: (response["type"], response["version"]) for response in responses}
            self.names.records = {"httpbin.org": [self.network.address_of("httpbin.org")]}
            folder = self.directory / "conversation"
            write_conversation(self.plane, folder, "delta" if "DELTA" in self.form else "sotw", responses)
            self.plane.set("SDS", "1", *self.secrets)
            self.plane.tell("replay", folder=str(folder), skip=["SDS"], **({"until": until} if until else {}))
            addresses = [f"{address}/24" for address in (HOST, *self.network.addresses.values())]
            with XdsGateway(self.namespace, mesh_bootstrap(self.form, self.plane), host_addresses=[*addresses, f"{BLOCKED}/32"]) as self.gateway:
                for workload in self.workloads:
                    self.start(workload, wait=False)
                for workload in self.workloads:
                    self.namespace.wait_for_port(workload.address, workload.port)
                yield self
                assert self.gateway.stop() == 0, self.gateway.log_text()

    def workload(self, name: str) -> Workload:
        return next(one for one in self.workloads if one.name == name)

    def start(self, workload: Workload, identity: str | None = None, wait: bool = True) -> None:
        """Instead of the one that runs there; connections to that one end."""
        if workload.address in self.running:
            stop(self.running[workload.address])
        certificate, key = self.trust.pair_of(workload, identity)
        command = ["/usr/bin/python3", str(HERE / "mesh_origin.py"), workload.name, workload.address, str(workload.port), certificate, key]
        client_ca = self.trust.client_ca_of(workload)
        self.running[workload.address] = self.namespace.start([*command, *([client_ca] if client_ca else [])])
        if wait:
            self.namespace.wait_for_port(workload.address, workload.port)

    def url(self, path: str, port: int = PLAIN) -> str:
        return f"{'https' if port == SECURE else 'http'}://{SITE}:{port}{path}"

    def curl(self, *arguments: str) -> subprocess.CompletedProcess:
        where = [part for port in (PLAIN, SECURE) for part in ("--resolve", f"{SITE}:{port}:{GATEWAY}")]
        return self.namespace.run(["curl", "-sS", "--max-time", "20", "--cacert", self.trust.public.certificate, *where, *arguments],
                                  check=False, capture_output=True, text=True)

    def ask(self, path: str, *arguments: str, port: int = PLAIN) -> Answer:
        result = self.curl("-i", "-w", "\n%{http_code} %{time_total}", *arguments, self.url(path, port))
        assert result.returncode == 0, result.stderr
        head, _, rest = result.stdout.partition("\n\n")
        body, _, numbers = rest.rpartition("\n")
        status, seconds = numbers.split()
        fields = dict(line.split(": ", 1) for line in head.lower().splitlines()[1:])
        return Answer(int(status), fields, body, float(seconds))

    def token(self, **claims) -> str:
        return self.issuer.token(**ISSUER | claims)

    def bearer(self, **claims) -> list[str]:
        return ["-H", f"authorization: Bearer {self.token(**claims)}"]

    def ask_often(self, path: str, times: int, *arguments: str) -> collections.Counter:
        """How often each workload answered, or each status that is not 200."""
        result = self.curl(*self.bearer(), *arguments, "-w", "\t%{http_code}\n", self.url(f"{path}/[1-{times}]"))
        assert result.returncode == 0, result.stderr
        answers = [line.rpartition("\t") for line in result.stdout.splitlines()]
        return collections.Counter(json.loads(body)["workload"] if status == "200" else status for body, _, status in answers)

    def say_until(self, number: int) -> None:
        """Goes on with the conversation, until the gateway has taken this response."""
        self.plane.tell("replay", until=number)
        self.plane.wait_for_ack(*self.versions[number])

    def logs(self, text: str) -> None:
        """The access log's line may come a moment after the answer."""
        wait_until(lambda: text in self.gateway.log_text(), 5, f"{text} in the access log")

    def value(self, cluster: str, counter: str) -> int:
        return self.gateway.value(f"cluster.{cluster};.{counter}")  # istiod's alternative names end with a semicolon


def with_route_to_a_name(responses: list[dict]) -> None:
    """httpbin.org, an outside name with TLS, has clusters in the conversation and no route: /static/httpbin is one."""
    for routes in resources_of(responses, "RDS"):
        for host in routes["virtual_hosts"]:
            host["routes"].insert(0, {"match": {"prefix": "/static/httpbin"},
                                      "route": {"cluster": "outbound|80||httpbin.org", "host_rewrite_literal": "httpbin.org"}})


@pytest.fixture(scope="module")
def issuer():
    return Issuer()


@pytest.fixture(scope="module")
def names():
    server = NameServer()
    yield server
    server.close()


@pytest.fixture(scope="module", params=FORMS)
def bookinfo(request, issuer, names, tmp_path_factory):
    name = "istiod-gateway-delta" if "DELTA" in request.param else "istiod-gateway-sotw"
    with Bookinfo(tmp_path_factory.mktemp("mesh"), request.param, names, issuer).serving(name) as made:
        yield made


# --- the conversation

@pytest.mark.parametrize("name", ["istiod-gateway-delta", "istiod-gateway-sotw", "istiod-update-gateway-delta"])
def test_the_gateway_refuses_no_field_of_a_conversation_with_gateways(name, tmp_path):
    assert refused_of(name, tmp_path) == []


def test_fields_that_are_refused_are_removed_one_by_one(tmp_path):
    fields = {re.sub(r".*: ", "", one) for one in refused_of("istiod-sidecar-delta", tmp_path)}
    assert fields == {"upstream_bind_config", "bind_to_port", "listener_filters[1].filter_disabled"}, "docs/xds.md lists them, too"


def refused_of(name: str, directory: pathlib.Path) -> list[str]:
    with ControlPlane() as plane:
        responses = Network().derive(read_conversation(plane, DATA / name))
    return without_refused(responses, Trust(directory).secrets(responses), directory)[1]


def test_everything_is_taken(bookinfo):
    for kind, version in bookinfo.versions.values():
        bookinfo.plane.wait_for_ack(kind, version)
    for stem in ("cluster_manager.cds", "listener_manager.lds", f"http.outbound_0.0.0.0_{PLAIN};.rds.http.{PLAIN}"):
        assert bookinfo.gateway.value(f"{stem}.update_rejected") == 0
        assert bookinfo.gateway.value(f"{stem}.update_success") == 1, stem
    kinds = {(stream["type"], stream["form"]) for stream in bookinfo.plane.streams()}
    assert kinds == {("ADS", "delta" if "DELTA" in bookinfo.form else "sotw"), ("SDS", "sotw")}, "istiod's clusters ask for secrets apart"


# --- routes

@pytest.mark.parametrize("path,workload", [("/productpage", "productpage-v1"), ("/static/style.css", "productpage-v1"),
                                           ("/login", "productpage-v1"), ("/logout", "productpage-v1")])
@pytest.mark.parametrize("port", [PLAIN, SECURE])
def test_a_page_comes_from_its_workload(bookinfo, path, workload, port):
    answer = bookinfo.ask(path, "-H", "x-drop: this", "-H", "x-from: client", port=port)
    assert answer.status == 200 and answer.fields["x-served-by"] == "istio" and answer.fields["server"] == "istio-envoy"
    assert (answer.seen["workload"], answer.seen["path"]) == (workload, path)
    fields = answer.seen["fields"]
    assert fields["x-from"] == "gateway" and fields["x-bookinfo"] == "1" and "x-drop" not in fields
    assert fields["x-envoy-attempt-count"] == "1" and fields["x-forwarded-for"] == HOST
    assert fields["x-forwarded-proto"] == ("https" if port == SECURE else "http")


@pytest.mark.parametrize("path,workload", [("/api/v1/products", "productpage-v1"), ("/reviews/0", "reviews"), ("/details/0", "details-v1")])
@pytest.mark.parametrize("port", [PLAIN, SECURE])
def test_an_interface_comes_from_its_workload(bookinfo, path, workload, port):
    answer = bookinfo.ask(path, *bookinfo.bearer(), port=port)
    assert answer.status == 200 and answer.seen["workload"].startswith(workload) and answer.seen["path"] == path


def test_what_needs_no_workload(bookinfo):
    assert (bookinfo.ask("/healthz").status, bookinfo.ask("/healthz").body) == (200, "ok")
    answer = bookinfo.ask("/old")
    assert answer.status == 302 and answer.fields["location"] == bookinfo.url("/productpage")


def test_another_server_name_finds_no_chain(bookinfo):
    result = bookinfo.curl("-k", "--resolve", f"other.example.com:{SECURE}:{GATEWAY}", f"https://other.example.com:{SECURE}/healthz")
    assert result.returncode != 0 and not result.stdout
    assert bookinfo.gateway.value(f"listener.{GATEWAY}_{SECURE}.no_filter_chain_match") > 0


def test_a_name_outside_is_reached_by_tls(bookinfo):
    answer = bookinfo.ask("/static/httpbin/get")
    assert answer.status == 200 and answer.seen["workload"] == "httpbin.org"
    assert answer.seen["server_name"] == "httpbin.org" and answer.seen["client"] == [], "no certificate of the mesh for strangers"


def test_cross_origin_fields_follow_the_policy_of_the_route(bookinfo):
    origin = lambda name: bookinfo.ask("/details/0", *bookinfo.bearer(), "-H", f"origin: {name}").fields
    assert origin("https://example.com")["access-control-allow-origin"] == "https://example.com"
    assert "access-control-allow-origin" not in origin("https://example.org")


def test_a_tenth_of_the_requests_is_mirrored(bookinfo):
    ratings = FULL_NAME.format("", "ratings")
    before = bookinfo.value(ratings, "upstream_rq_completed")
    assert bookinfo.ask_often("/details", 400) == {"details-v1": 400}
    assert 12 <= bookinfo.value(ratings, "upstream_rq_completed") - before <= 75  # 40, and 5 standard deviations


# --- weights, faults, retries

def test_weights_decide_who_answers(bookinfo):
    answers = bookinfo.ask_often("/reviews", 400)
    assert set(answers) == {"reviews-v1", "reviews-v2"} and sum(answers.values()) == 400
    assert 150 <= answers["reviews-v1"] <= 250, answers  # 200, and 5 standard deviations


def test_a_user_is_delayed(bookinfo):
    answer = bookinfo.ask("/ratings/0", *bookinfo.bearer(), "-H", "end-user: jason")
    assert answer.status == 200 and answer.seen["workload"] == "ratings-v1" and 2 <= answer.seconds < 4
    assert bookinfo.gateway.value(f"http.outbound_0.0.0.0_{PLAIN};.fault.delays_injected") == 1


def test_a_quarter_of_the_others_is_aborted(bookinfo):
    answers = bookinfo.ask_often("/ratings", 400)
    assert set(answers) == {"ratings-v1", "503"}
    assert 55 <= answers["503"] <= 145, answers  # 100, and 5 standard deviations
    assert bookinfo.gateway.value(f"http.outbound_0.0.0.0_{PLAIN};.fault.aborts_injected") == answers["503"]
    bookinfo.logs("fault_filter_abort")


def test_failures_are_retried_as_often_as_the_route_says(bookinfo):
    page = FULL_NAME.format("", "productpage")
    before = bookinfo.value(page, "upstream_rq_retry")
    answer = bookinfo.ask("/productpage", "-H", "x-fail: twice 2 503")
    assert answer.status == 200 and answer.seen["fields"]["x-envoy-attempt-count"] == "3"
    assert bookinfo.value(page, "upstream_rq_retry") - before == 2
    answer = bookinfo.ask("/productpage", "-H", "x-fail: often 9 502")
    assert answer.status == 502 and answer.seen["fields"]["x-envoy-attempt-count"] == "4", "three retries"
    assert bookinfo.value(page, "upstream_rq_retry_limit_exceeded") == 1
    answer = bookinfo.ask("/productpage", "-H", "x-fail: other 1 500")
    assert answer.status == 500, "gateway-error is 502, 503 and 504"
    answer = bookinfo.ask("/reviews/0", *bookinfo.bearer(), "-H", "x-fail: reviews 1 500")
    assert answer.status == 200 and answer.seen["fields"]["x-envoy-attempt-count"] == "2", "5xx is 500, too"


def test_a_try_that_takes_too_long_is_followed_by_another(bookinfo):
    answer = bookinfo.ask("/reviews/0", *bookinfo.bearer(), "-H", "x-stall: slow 4")
    assert answer.status == 200 and answer.seen["fields"]["x-envoy-attempt-count"] == "2"
    assert 2 <= answer.seconds < 4, "per_try_timeout is 2 s"


# --- who may ask

def test_a_good_token_opens_what_is_closed_without(bookinfo):
    token = bookinfo.token(sub="alice")
    for arguments, path in (["-H", f"authorization: Bearer {token}"], "/reviews/0"), ([], f"/reviews/0?access_token={token}"):
        answer = bookinfo.ask(path, *arguments, "-H", "x-jwt-sub: forged")
        assert answer.status == 200
        assert answer.seen["fields"]["x-jwt-sub"] == "alice"
        assert answer.seen["fields"]["x-jwt-payload"] == token.split(".")[1]
    answer = bookinfo.ask("/reviews/0")
    assert (answer.status, answer.body) == (403, "RBAC: access denied"), "no token is allowed, and gives no right"


@pytest.mark.parametrize("claims,status,body", [
    ({"exp": 1}, 401, "Jwt is expired"), ({"iss": "nobody"}, 401, "Jwt issuer is not configured"),
    ({"aud": "films"}, 403, "Audiences in Jwt are not allowed"), ({"groups": ["group3"]}, 403, "RBAC: access denied")])
def test_a_wrong_token_opens_nothing(bookinfo, claims, status, body):
    answer = bookinfo.ask("/reviews/0", *bookinfo.bearer(**claims))
    assert (answer.status, answer.body) == (status, body)


def test_a_forged_token_opens_nothing_not_even_what_is_open(bookinfo):
    answer = bookinfo.ask("/productpage", "-H", f"authorization: Bearer {Issuer().token(**ISSUER)}")
    assert (answer.status, answer.body) == (401, "Jwt verification fails")
    assert answer.fields["www-authenticate"].endswith('error="invalid_token"')


def test_either_group_is_welcome(bookinfo):
    assert bookinfo.ask("/reviews/0", *bookinfo.bearer(groups="group2")).status == 200
    assert bookinfo.ask("/reviews/0", *bookinfo.bearer(groups=["group3", "group2"])).status == 200


def test_what_no_policy_allows_is_denied(bookinfo):
    assert bookinfo.ask("/admin", *bookinfo.bearer()).status == 403
    assert bookinfo.ask("/reviews/0", *bookinfo.bearer(), "-X", "POST").status == 403, "only GET is"


def test_what_a_policy_denies_is_denied_though_another_allows_it(bookinfo):
    deleting = ["-X", "DELETE", "-H", "host: shop.Internal"]
    assert bookinfo.ask("/productpage", *deleting).status == 200
    assert bookinfo.ask("/productpage", *deleting, "-H", "x-block: yes").status == 403
    assert bookinfo.ask("/productpage", *deleting, "-H", "x-block: prefix").status == 403
    assert bookinfo.ask("/productpage", "-X", "DELETE", "-H", "x-block: yes").status == 200
    bookinfo.logs("rbac_access_denied_matched_policy[ns[default]-policy[ingress-deny]-rule[1]]")


def test_a_network_is_denied(bookinfo):
    assert bookinfo.ask("/healthz", "--interface", BLOCKED).status == 403
    bookinfo.logs("rbac_access_denied_matched_policy[ns[default]-policy[ingress-deny]-rule[0]]")


# --- mutual TLS

@pytest.mark.parametrize("path,app", [("/productpage", "productpage"), ("/reviews/0", "reviews"), ("/details/0", "details")])
def test_gateway_and_workload_know_each_other(bookinfo, path, app):
    seen = bookinfo.ask(path, *bookinfo.bearer(), "-H", "x-forwarded-client-cert: By=forged").seen
    assert seen["client"] == [GATEWAY_IDENTITY]
    subset = seen["workload"].partition("-")[2] if app == "reviews" else ""
    assert seen["server_name"] == f"outbound_.9080_.{subset}_.{app}.default.svc.cluster.local"
    assert "x-forwarded-client-cert" not in seen["fields"]


def test_a_workload_hears_nobody_without_a_certificate(bookinfo):
    workload = bookinfo.workload("details-v1")
    result = bookinfo.curl("-k", f"https://{workload.address}:{workload.port}/details/0")
    assert result.returncode != 0 and not result.stdout


def test_a_workload_with_another_identity_is_not_spoken_to(bookinfo):
    details = FULL_NAME.format("", "details")
    workload, another = bookinfo.workload("details-v1"), "spiffe://cluster.local/ns/default/sa/bookinfo-ratings"
    bookinfo.start(workload, identity=another)
    try:
        answer = bookinfo.ask("/details/0", *bookinfo.bearer())
        assert answer.status == 503 and "reset reason: remote connection failure" in answer.body and another in answer.body
        assert bookinfo.value(details, "ssl.fail_verify_san") > 0
    finally:
        bookinfo.start(workload)
    assert bookinfo.ask("/details/0", *bookinfo.bearer()).status == 200


def test_a_gateway_with_a_certificate_of_somebody_else_is_not_heard(bookinfo, tmp_path):
    stranger = Authority(tmp_path / "stranger", "stranger").issue("gateway", names=f"URI:{GATEWAY_IDENTITY}")
    workload = bookinfo.workload("details-v1")

    def present(version: str, pair) -> None:
        bookinfo.plane.update("SDS", version, secret("default", pair))
        bookinfo.plane.wait_for_ack("SDS", version)
        bookinfo.start(workload)  # for connections that are there, nothing has changed
    try:
        present("stranger", stranger)
        assert bookinfo.ask("/details/0", *bookinfo.bearer()).status == 503
    finally:
        present("own again", bookinfo.trust.gateway)
    assert bookinfo.ask("/details/0", *bookinfo.bearer()).seen["client"] == [GATEWAY_IDENTITY]


# --- the way of the packets

def test_every_packet_of_requests_passes_the_port(bookinfo):
    requests, before = 50, bookinfo.gateway.port_packets()
    assert bookinfo.ask_often("/productpage?", requests) == {"productpage-v1": requests}
    received, sent = (after - packets for after, packets in zip(bookinfo.gateway.port_packets(), before))
    assert received >= 2 * requests and sent >= 2 * requests, "to and from client and workload, each request in packets of its own"
    for counter in ("accepted", "connects"):
        assert bookinfo.gateway.value(f"millrace.worker.0.host.{counter}") == 0, "no connection of a worker is the kernel's"
    foreign = [line for line in bookinfo.gateway.kernel_sockets() if f"127.0.0.1]:{bookinfo.plane.port}" not in line]
    assert foreign == [], "the kernel's sockets are those of the control plane"


# --- updates under traffic

@pytest.fixture(params=FORMS)
def updated(request, issuer, names, tmp_path):
    with Bookinfo(tmp_path, request.param, names, issuer).serving("istiod-update-gateway-delta", until=START) as made:
        yield made


def test_updates_fail_no_request(updated):
    """While weights move from 50/50 to 90/10 and back, an endpoint of reviews-v1 comes and goes, and a service."""
    reviews = FULL_NAME.format("v1", "reviews")
    joining = updated.network.address_of("127.0.1.8")
    service = FULL_NAME.format("", "newsvc")
    with MeshLoad(updated) as load:
        updated.say_until(6)
        wait_until(lambda: updated.ask_often("/reviews", 40)["reviews-v2"] < 15, 5, "the other weights")
        answers = updated.ask_often("/reviews", 600)
        assert set(answers) == {"reviews-v1", "reviews-v2"} and 24 <= answers["reviews-v2"] <= 96, answers  # 60, and 5 deviations
        updated.say_until(8)
        wait_until(lambda: updated.ask_often("/reviews", 40)["reviews-v2"] > 8, 5, "the first weights")
        updated.say_until(9)
        wait_until(lambda: f"{reviews}::{joining}:9080::" in updated.gateway.admin("/clusters"), 5, "the endpoint that joins")
        counter = lambda: re.search(rf"{re.escape(f'{reviews}::{joining}:9080')}::rq_success::(\d+)", updated.gateway.admin("/clusters"))
        wait_until(lambda: counter() and int(counter().group(1)) > 10, 5, "its share of the requests")
        updated.say_until(10)
        wait_until(lambda: f"{reviews}::{joining}:9080::" not in updated.gateway.admin("/clusters"), 10, "its leave")
        updated.say_until(14)
        wait_until(lambda: f"{service}::" in updated.gateway.admin("/clusters"), 5, "the new service")
        updated.say_until(18)
        wait_until(lambda: f"{service}::" not in updated.gateway.admin("/clusters"), 15, "the end of the service")
    assert load.requests > 200
    for stem in ("cluster_manager.cds", "listener_manager.lds", f"http.outbound_0.0.0.0_{PLAIN};.rds.http.{PLAIN}"):
        assert updated.gateway.value(f"{stem}.update_rejected") == 0
    assert updated.gateway.value("listener_manager.lds.update_success") == 5, "the same listeners under five versions"
    assert updated.gateway.value("listener_manager.listener_modified") == 0


class MeshLoad(Load):
    """wrk at the reviews, whose connections to workloads end after ten requests each."""

    def __init__(self, bookinfo: Bookinfo):
        super().__init__(bookinfo.namespace, bookinfo.gateway, connections=4, name=f"outbound_0.0.0.0_{PLAIN};",
                         url=f"http://{GATEWAY}:{PLAIN}/reviews/0")
        self.command[1:1] = bookinfo.bearer()
