"""What real control planes said (tests/data/xds), said again to the gateway over gRPC: every response is taken, or what is refused of it stands
here and in docs/xds.md."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import pathlib
import re
import shutil

import pytest

from bookinfo import TYPES, Trust, form_of, mesh_plane, objects_in, read_conversation, resources_of
from control_plane import DATA, ControlPlane
from lab import GATEWAY, Namespace, wait_until
from xds_lab import ADS, XdsGateway, api_source, bootstrap_of, management_cluster, static_cluster

FROM_GATEWAYS = ["istiod-gateway-sotw", "istiod-gateway-delta", "istiod-plain-gateway-sotw", "istiod-plain-gateway-delta",
                 "istiod-update-gateway-delta"]
FROM_EXAMPLES = ["go-control-plane-sotw", "go-control-plane-example-delta"]  # its example server
FROM_TEST_SERVERS = ["go-control-plane-delta", "go-control-plane-ads-sotw", "go-control-plane-by-type-sotw"]
FROM_SIDECARS = ["istiod-sidecar-sotw", "istiod-sidecar-delta", "istiod-plain-sidecar-sotw", "istiod-plain-sidecar-delta",
                 "pilot-agent-xds-delta"]
KINDS = {"Cluster": "CDS", "ClusterLoadAssignment": "EDS", "Listener": "LDS", "RouteConfiguration": "RDS", "ScopedRouteConfiguration": "SRDS",
         "Runtime": "RTDS", "Secret": "SDS", "NameTable": "NDS"}
NOT_ASKED_FOR = ("SDS", "NDS")  # of these servers: secrets come from the agent, and Istio's table of names is for its own name server


@pytest.fixture
def plane(tmp_path):
    with mesh_plane(tmp_path) as made:
        yield made


def bootstrap_for(name: str, plane: ControlPlane) -> str:
    """Asks for all that the conversation holds, in its form; where it has a stream for each type, so has the bootstrap."""
    form = "DELTA_GRPC" if name.endswith("delta") else "GRPC"
    source = {"api_config_source": api_source(form, "xds_cluster"), "resource_api_version": "V3"} if "by-type" in name else ADS
    dynamic = {"cds_config": source, "lds_config": source} | ({"ads_config": api_source(form, "xds-grpc")} if source is ADS else {})
    # All of them at the Unix socket: that they are the agent's is not to be seen else, where only resources name them.
    servers = [management_cluster(server, plane.addresses[1]) for server in ("xds-grpc", "sds-grpc", "xds_cluster")]
    text = bootstrap_of(dynamic, *servers)
    layers = {"layers": [{"name": "recorded", "rtds_layer": {"name": "runtime-0", "rtds_config": source}}]}
    return text + (f"layered_runtime: {json.dumps(layers)}\n" if name in FROM_TEST_SERVERS else "")


class Replay:
    """A conversation that is said, and what the gateway answers. Secrets are the test's: no conversation holds keys."""

    def __init__(self, plane: ControlPlane, folder: pathlib.Path, skip: tuple[str, ...], trust: Trust, until: int | None):
        self.plane, self.folder, self.name = plane, folder, folder.name
        self.files = [file for file in sorted(folder.glob("*.pb")) if file.stem.partition("-")[2] not in skip]
        self.responses = {plane.tell("read", file=str(file), form=form_of(folder))["nonce"]: file.stem for file in self.files}
        assert len(self.responses) == len(self.files), "nonces tell responses apart"
        if secrets := trust.secrets(read_conversation(plane, folder)):
            plane.set("SDS", "1", *secrets)
        plane.tell("replay", folder=str(folder), skip=list(skip), **({} if until is None else {"until": until}))

    def verdicts(self) -> dict[str, str]:
        """By response, such as "001-CDS": what is wrong with it; empty: it was accepted."""
        found: dict[str, str] = {}
        for entry in self.plane.requests():
            request = entry["request"]
            if response := self.responses.get(request.get("response_nonce", "")):
                found.setdefault(response, request.get("error_detail", {}).get("message", ""))
        return found

    def wait(self) -> dict[str, str]:
        try:
            wait_until(lambda: len(self.verdicts()) == len(self.files), 30, "an answer to each response")
        finally:
            missing = [file.stem for file in self.files if file.stem not in self.verdicts()]
            assert not missing, f"without an answer: {missing}"
        wait_until(self.gateway.is_live, 10, "the gateway, which has all that it waits for")
        return self.verdicts()


@contextlib.contextmanager
def replaying(plane: ControlPlane, folder: pathlib.Path, directory: pathlib.Path, skip: tuple[str, ...] = (), until: int | None = None):
    """`skip`: types that are not said, beside those that nobody asks this server for. `until`: the last response to be said at first."""
    replay = Replay(plane, folder, (*NOT_ASKED_FOR, *skip), Trust(directory), until)
    listeners = resources_of(read_conversation(plane, folder), "LDS")
    own = {listener["address"]["socket_address"]["address"] for listener in listeners} - {"0.0.0.0", "127.0.0.1"}
    addresses = json.dumps([f"{one}/24" for one in sorted(own | {GATEWAY})])
    with Namespace() as namespace:
        dataplane = f"ports:\n- {{name: edge, tap: {{interface: mr0, netns: {namespace.name}}}, addresses: {addresses}}}\n"
        with XdsGateway(namespace, bootstrap_for(folder.name, plane), dataplane=dataplane).starting() as replay.gateway:
            yield replay


def errors_of(verdicts: dict[str, str]) -> dict[str, list[str]]:
    return {response: error.split("; ") for response, error in verdicts.items() if error}


@pytest.mark.parametrize("name", [*FROM_GATEWAYS, FROM_EXAMPLES[0]])
def test_every_response_is_accepted(plane, name, tmp_path):
    with replaying(plane, DATA / name, tmp_path) as replay:
        assert errors_of(replay.wait()) == {}


def test_routes_that_come_in_the_other_form_are_accepted(plane, tmp_path):
    """The example server's listeners ask xds_cluster for their routes, in state of the world: its delta stream carried them for nobody."""
    folder = DATA / FROM_EXAMPLES[1]
    plane.set("RDS", "1", file=str(folder / "003-RDS.pb"), form="delta")
    with replaying(plane, folder, tmp_path, skip=("RDS",)) as replay:
        assert errors_of(replay.wait()) == {}
        plane.wait_for_ack("RDS", "1")


@pytest.mark.parametrize("name", FROM_TEST_SERVERS)
def test_a_test_server_is_refused_its_access_logs_over_grpc(plane, name, tmp_path):
    with replaying(plane, DATA / name, tmp_path, skip=("RDS", "SRDS")) as replay:  # for listeners that are refused
        errors = errors_of(replay.wait())
        assert list(errors) == [file.stem for file in replay.files if file.stem.endswith("LDS")]
        for error in (error for each in errors.values() for error in each):
            assert "access_loggers.grpc.v3.HttpGrpcAccessLogConfig" in error or "and more" in error


def without_access_logs(plane: ControlPlane, folder: pathlib.Path, into: pathlib.Path) -> pathlib.Path:
    """The same conversation, whose listeners have none."""
    made = into / folder.name
    shutil.copytree(folder, made)
    for file in made.glob("*-LDS.pb"):
        response = plane.tell("read", file=str(file), form=form_of(folder))
        for part in objects_in(response["resources"]):
            part.pop("access_log", None)
        plane.tell("write", into=str(file), form=form_of(folder), **response)
    return made


@pytest.mark.parametrize("name", FROM_TEST_SERVERS)
def test_a_test_server_is_accepted_without_them(plane, name, tmp_path):
    with replaying(plane, without_access_logs(plane, DATA / name, tmp_path), tmp_path) as replay:
        assert errors_of(replay.wait()) == {}


@pytest.mark.parametrize("name", FROM_SIDECARS)
def test_a_sidecar_is_refused_what_only_its_place_asks_for(plane, name, tmp_path):
    with replaying(plane, DATA / name, tmp_path, skip=("RDS",)) as replay:  # for listeners that are refused
        errors = errors_of(replay.wait())
        assert list(errors) == ["001-CDS", "003-LDS"]
        for error in errors["001-CDS"]:
            assert re.search(r'(bound\|9080\|\||PassthroughCluster)"\.upstream_bind_config', error), error
        for error in errors["003-LDS"]:
            assert "listener_filters[1].filter_disabled" in error or "bind_to_port: must be true" in error, error


# --- who asks for what, and when

@dataclasses.dataclass(frozen=True)
class Event:
    """Of a client: it asks for names that it has not asked for before (none: for all, or for others than that), or answers a response."""
    kind: str
    names: frozenset[str] = frozenset()
    answers: str = ""


def recorded_requests(folder: pathlib.Path) -> list[dict]:
    """With names of fields as the control plane shows them."""
    as_shown = lambda name: re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)
    lines = (folder / "requests.jsonl").read_text().splitlines()
    return [{as_shown(name): value for name, value in json.loads(line).items()} for line in lines]


def events_of(requests: list[dict], responses: dict[str, str], skip: tuple[str, ...]) -> list[Event]:
    """`responses`: by nonce. Requests that neither ask for more nor are the first answer to a response only take names back."""
    events: list[Event] = []
    asked: dict[str, set[str]] = {}
    answered: set[str] = set()
    for request in requests:
        kind = KINDS[request["type_url"].rpartition(".")[2]]
        if kind in skip:
            continue
        response = responses.get(request.get("response_nonce", ""), "")
        if response and response not in answered:
            answered.add(response)
            events.append(Event(kind, answers=response))
        names = {*request.get("resource_names", []), *request.get("resource_names_subscribe", [])}
        if kind not in asked or names - asked[kind]:
            events.append(Event(kind, frozenset(names - asked.get(kind, set()))))
        asked.setdefault(kind, set()).update(names)
    return events


def as_the_gateway_asks(recorded: list[Event]) -> list[Event]:
    """The recorded client asks for whatever it can as soon as it can. On purpose the gateway does not:"""
    events = list(recorded)
    # Layers of the runtime are named by the bootstrap and asked for with the clusters.
    for layers in [event for event in events if event.kind == "RTDS" and not event.answers]:
        events.remove(layers)
        events.insert(1, layers)
    # Listeners are asked for when the first clusters are warm.
    endpoints = next((event for event in events if event.kind == "EDS" and event.answers), None)
    if endpoints:
        listeners = next(event for event in events if event.kind == "LDS" and not event.answers)
        events.remove(listeners)
        events.insert(events.index(endpoints) + 1, listeners)
    # What a listener or a scope names is asked for before the response is answered that brought it.
    for at, (answer, request) in enumerate(itertools.pairwise(events)):
        if answer.kind in ("LDS", "SRDS") and answer.answers and request.kind == "RDS" and not request.answers:
            events[at:at + 2] = [request, answer]
    return events


@contextlib.contextmanager
def step_by_step(plane: ControlPlane, name: str, directory: pathlib.Path):
    """Each response is answered before the next one is said, so that the order of requests does not depend on who is faster."""
    folder = without_access_logs(plane, DATA / name, directory) if name in FROM_TEST_SERVERS else DATA / name
    skip = ("RDS",) if name in FROM_SIDECARS or name == FROM_EXAMPLES[1] else ()
    if name == FROM_EXAMPLES[1]:
        plane.set("RDS", "1", file=str(folder / "003-RDS.pb"), form="delta")
    with replaying(plane, folder, directory, skip, until=0) as replay:
        for file in replay.files:
            plane.tell("replay", until=int(file.stem.partition("-")[0]))
            wait_until(lambda: file.stem in replay.verdicts(), 10, f"an answer to {file.stem}")
        replay.skip = (*NOT_ASKED_FOR, *skip)
        yield replay


@pytest.mark.parametrize("name", [*FROM_GATEWAYS, FROM_EXAMPLES[1], *FROM_SIDECARS, *FROM_TEST_SERVERS[:2]])
def test_requests_come_in_the_recorded_order(plane, name, tmp_path):
    with step_by_step(plane, name, tmp_path) as replay:
        ours = events_of([entry["request"] for entry in plane.requests()], replay.responses, replay.skip)
        assert ours == as_the_gateway_asks(events_of(recorded_requests(DATA / name), replay.responses, replay.skip))


@pytest.mark.parametrize("name", [FROM_EXAMPLES[0], FROM_TEST_SERVERS[2]])
def test_on_streams_of_their_own_the_same_is_asked_for(plane, name, tmp_path):
    """Of a type each, or, in the example, of routes: across streams there is no order."""
    with step_by_step(plane, name, tmp_path) as replay:
        ours = events_of([entry["request"] for entry in plane.requests()], replay.responses, replay.skip)
        recorded = events_of(recorded_requests(DATA / name), replay.responses, replay.skip)
        for kind in sorted({event.kind for event in recorded}):
            names = lambda events: frozenset().union(*(event.names for event in events if event.kind == kind))
            answers = lambda events: [event.answers for event in events if event.kind == kind and event.answers]
            assert names(ours) == names(recorded) and answers(ours) == answers(recorded), kind


# --- secrets

def test_the_agents_secret_is_accepted(plane, tmp_path):
    name = "istio-agent-secrets-sotw"
    source = {"api_config_source": api_source("GRPC", "sds-grpc"), "resource_api_version": "V3"}
    context = {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
               "common_tls_context": {"validation_context_sds_secret_config": {"name": "ROOTCA", "sds_config": source}}}
    plane.set("CDS", "1", static_cluster("trusting") | {"transport_socket": {"name": "tls", "typed_config": context}})
    plane.set("LDS", "1")
    plane.tell("replay", folder=str(DATA / name), skip=list(TYPES))
    with Namespace() as namespace, XdsGateway(namespace, bootstrap_for(name, plane)) as gateway:
        recorded = plane.tell("read", file=str(DATA / name / "001-SDS.pb"), form="sotw")
        plane.wait_for_ack("SDS", recorded["version"])
        assert gateway.value("cluster_manager.warming_clusters") == 0
        assert recorded["version"] in gateway.admin("/config_dump?resource=dynamic_active_secrets")
        assert "trusting::" in gateway.admin("/clusters")
        nonces = {recorded["nonce"]: "001-SDS"}
        ours = events_of([entry["request"] for entry in plane.requests()], nonces, TYPES)
        assert ours == events_of(recorded_requests(DATA / name), nonces, TYPES)


def test_every_conversation_is_played():
    played = {*FROM_GATEWAYS, *FROM_EXAMPLES, *FROM_TEST_SERVERS, *FROM_SIDECARS, "istio-agent-secrets-sotw"}
    assert played == {folder.name for folder in DATA.iterdir() if folder.is_dir()}
