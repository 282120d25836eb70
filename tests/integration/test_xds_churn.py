"""A thousand changes of configuration from a control plane under load, of every kind: no request may fail. Clusters go while routes still lead
there, and listeners that have changed end their last connections while others come."""

import json
import subprocess
import time

import pytest

from certificates import Authority
from conftest import ORIGIN_PORT
from lab import GATEWAY, wait_until
from test_xds import subject
from xds_lab import (ADS, FORMS, PORTS, Load, ads_bootstrap, assignment, eds_cluster, first_snapshot, generation_of, listener,
                     management_cluster, routes, secret, serving, static_cluster)

ROUNDS = 200
KINDS = ("listener chain", "cluster", "route", "endpoint", "secret")  # each in every round, in this order
CERTIFICATES = 2
DRAIN_SECONDS = 3  # of connections that a changed listener has accepted: more than any request takes on a busy machine
PAUSE_SECONDS = 4.3  # longer: whoever says nothing for as long is closed meanwhile


# Keeps connections on which it asks now and then, until its input ends. Says how often it asked, what was no answer with 200, and how often a
# connection was closed that had not been told to close, which is only seen before the next request.
PATIENT_CLIENT = r"""
import json, select, socket, sys, time
address, count, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
connections, said = [None] * count, {"requests": 0, "failed": [], "ended": 0}
def ask(connection):
    connection.sendall(b"GET /ok HTTP/1.1\r\nhost: any\r\n\r\n")
    answer = b""
    while not answer.endswith(b"ok\n"):
        data = connection.recv(65536)
        if not data: raise OSError(f"an end after {answer}")
        answer += data
    if not answer.startswith(b"HTTP/1.1 200"): raise OSError(str(answer))
    return b"\r\nconnection: close" in answer.lower()
while not select.select([sys.stdin], [], [], pause / count)[0]:
    at = said["requests"] % count
    connection = connections[at]
    if connection and select.select([connection], [], [], 0)[0]:
        said["ended"] += 1
        connection = None
    said["requests"] += 1
    try:
        connection = connection or socket.create_connection((address, 80), 10)
        connections[at] = None if ask(connection) else connection
    except OSError as error:
        said["failed"].append(str(error))
        connections[at] = None
print(json.dumps(said))
"""


class PatientLoad:
    """Beside Load: connections that are silent when their listener's drain ends. Every request must have been answered with 200."""

    def __init__(self, namespace):
        self.namespace = namespace
        self.ended = 0

    def __enter__(self) -> "PatientLoad":
        self.process = self.namespace.start(["/usr/bin/python3", "-c", PATIENT_CLIENT, GATEWAY, "8", str(PAUSE_SECONDS)], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, kind, *_) -> None:
        said = json.loads(self.process.communicate(timeout=30)[0])
        if kind is None:
            assert not said["failed"], said["failed"]
            self.ended = said["ended"]


def weighted(name: str, clusters: list[str], generation: str) -> dict:
    """Routes to each of them alike."""
    made = routes(name, "", generation)
    made["virtual_hosts"][0]["routes"][0]["route"] = {"weighted_clusters": {"clusters": [{"name": one, "weight": 1} for one in clusters]}}
    return made


def changes(generation: int, pairs: list) -> dict[str, tuple[str, list[dict]]]:
    """What each kind of change brings in a round: its type and resources, all different from the round before. The cluster of the round before is
    taken away before the routes leave it."""
    tls = {"tls_certificate_sds_secret_configs": [{"name": "edge-certificate", "sds_config": ADS}]}
    return {
        "cluster": ("CDS", [eds_cluster("found", f"{5 + generation % 3}s"), static_cluster("plain", f"{5 + generation % 4}s"),
                            static_cluster(f"extra-{generation}")]),
        "endpoint": ("EDS", [assignment("found", *[port for port in PORTS if port != PORTS[generation % len(PORTS)]])]),
        "listener chain": ("LDS", [listener("edge", 80, server=f"generation-{generation}"),
                                   listener("secure", 443, server=f"generation-{generation}", tls=tls)]),
        "route": ("RDS", [weighted("routes", ["found", "plain", f"extra-{generation}"], str(generation))]),
        "secret": ("SDS", [secret("edge-certificate", pairs[generation % CERTIFICATES])]),
    }


@pytest.mark.parametrize("form", FORMS)
def test_a_thousand_changes_fail_no_request(plane, form, tmp_path):
    authority = Authority(tmp_path / "ca", "edge")
    pairs = [authority.issue(f"leaf-{number}", names="DNS:shop.example") for number in range(CERTIFICATES)]
    first_snapshot(plane)
    for kind, resources in changes(0, pairs).values():
        plane.set(kind, "0", *resources)
    with serving(ads_bootstrap(form, management_cluster("xds", plane.address)), tmp_path,
                 arguments=["--drain-time-s", str(DRAIN_SECONDS)]) as (namespace, gateway):
        began = time.monotonic()
        tls = dict(url=f"https://{GATEWAY}/ok", name="secure")
        with (Load(namespace, gateway, connections=20) as plain, Load(namespace, gateway, connections=10, **tls) as secure,
              Load(namespace, gateway, connections=2, headers=("connection: close",), **tls) as handshakes, PatientLoad(namespace) as patient):
            for generation in range(1, ROUNDS + 1):
                made = changes(generation, pairs)
                for name in KINDS:
                    kind, resources = made[name]
                    plane.set(kind, str(generation), *resources)
                for kind, _ in made.values():
                    plane.wait_for_ack(kind, str(generation))
                wait_until(lambda: subject(namespace) == f"leaf-{generation % CERTIFICATES}", 10, "the certificate of the round")
                if generation % 20 == 0:
                    wait_until(lambda: generation_of(namespace) == str(generation), 10, f"routes of generation {generation}")
            seconds = time.monotonic() - began
        print(f"{ROUNDS * len(KINDS)} changes in {seconds:.1f} s ({form}), {plain.requests} requests in the clear, {secure.requests} over TLS, "
              f"{handshakes.requests} with a handshake each, {patient.ended} connections ended by a drain")
        assert plain.requests > 1000 and secure.requests > 100 and handshakes.requests > 100
        assert patient.ended >= 8, "connections have reached the end of their listener's drain"
        for stem in ("cluster_manager.cds", "listener_manager.lds", "http.edge.rds.routes", "cluster.found", "sds.edge-certificate"):
            assert gateway.value(f"{stem}.update_success") >= ROUNDS, stem
            assert gateway.value(f"{stem}.update_rejected") == 0, stem
        assert gateway.value("listener_manager.listener_modified") >= 2 * ROUNDS
        assert gateway.value("cluster_manager.cluster_added") >= ROUNDS
        wait_until(lambda: gateway.value("cluster_manager.cluster_removed") >= ROUNDS - 1, 10, "the end of the clusters that went")
