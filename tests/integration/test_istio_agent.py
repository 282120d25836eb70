"""The gateway where Istio's agent starts Envoy: with the bootstrap and the command line that the agent hands over, the Unix sockets that it
serves, and the ports that it asks. The agent is the test's; what it says was recorded with the bootstrap."""

from __future__ import annotations

import json
import pathlib
import shutil
import socket
import tempfile

import pytest

from bookinfo import Trust, read_conversation
from control_plane import DATA, ControlPlane
from lab import GATEWAY, LabError, Namespace, stop, wait_until
from test_host_endpoints import LOOPBACK, HostGateway, curl

HANDED_OVER = DATA.parent / "envoy"
CONVERSATION = "pilot-agent-xds-delta"
ADMIN, METRICS, READINESS, AGENT = 15000, 15090, 15021, 15020  # ports of the bootstrap


# What the agent answers at its status port: whether the proxy is ready.
STATUS = r"""
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/healthz/ready" else 404)
        self.send_header("x-asked-by", self.headers["x-envoy-internal"] or "nobody")
        self.end_headers()
    def log_message(self, *a): pass
http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


class AgentsGateway(HostGateway):
    """Started by the agent: its command line and bootstrap, in its folder."""

    def __init__(self, host: Namespace, outside: Namespace, folder: pathlib.Path):
        super().__init__(host, outside, "", dataplane=f"ports:\n"
                                                      f"- name: edge\n"
                                                      f"  tap: {{interface: mr0, netns: {outside.name}}}\n"
                                                      f"  addresses: [{GATEWAY}/24]\n")
        self.folder, self.admin_port = folder, ADMIN
        _, *self.arguments = (HANDED_OVER / "istio_agent_arguments.txt").read_text().split()

    def command(self) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.host.name}", "env", "-C", str(self.folder), self.binary, *self.arguments,
                "--dataplane", str(self.dataplane_path)]


class Agent:
    """Its folder and its sockets: one for all configuration, one for secrets."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        for part in ("etc/istio/proxy", "var/run/secrets/workload-spiffe-uds"):
            (folder / part).mkdir(parents=True)
        self.bootstrap = folder / "etc/istio/proxy/envoy-rev.json"
        shutil.copy(HANDED_OVER / "istio_agent_bootstrap.json", self.bootstrap)
        self.plane = ControlPlane(f"unix:{folder}/etc/istio/proxy/XDS", f"unix:{folder}/var/run/secrets/workload-spiffe-uds/socket")

    def say(self) -> None:
        self.plane.tell("replay", folder=str(DATA / CONVERSATION), skip=["SDS"])
        self.plane.set("SDS", "1", *Trust(self.folder).secrets(read_conversation(self.plane, DATA / CONVERSATION)))


@pytest.fixture(scope="module")
def agent():
    """Its gateway is live. The folder's path is short: those of Unix sockets have 107 characters."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mr-agent-"))
    try:
        made = Agent(folder)
        with Namespace() as made.host, Namespace() as made.outside, made.plane:
            made.say()
            made.status = made.host.start(["/usr/bin/python3", "-c", STATUS, LOOPBACK, str(AGENT)])
            made.host.wait_for_port(LOOPBACK, AGENT)
            with AgentsGateway(made.host, made.outside, folder) as made.gateway:
                yield made
    finally:
        shutil.rmtree(folder)


def test_the_bootstrap_is_what_the_agent_writes(agent):
    assert [argument for argument in agent.gateway.arguments if argument.endswith(".json")] == ["etc/istio/proxy/envoy-rev.json"]
    clusters = {cluster["name"]: cluster["load_assignment"] for cluster in json.loads(agent.bootstrap.read_text())["static_resources"]["clusters"]}
    for name, address in (("xds-grpc", agent.plane.addresses[0]), ("sds-grpc", agent.plane.addresses[1])):
        path = clusters[name]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["pipe"]["path"]
        assert not path.startswith("/") and str((agent.folder / path).resolve()) == str(pathlib.Path(address.removeprefix("unix:")).resolve())


def test_the_admin_pages_are_at_the_port_that_the_agent_asks(agent):
    assert curl(agent.host, f"http://{LOOPBACK}:{ADMIN}/ready") == "LIVE\n"
    options = json.loads(curl(agent.host, f"http://{LOOPBACK}:{ADMIN}/server_info"))["command_line_options"]
    assert (options["concurrency"], options["drain_time"], options["drain_strategy"]) == (2, "45s", "Immediate")
    assert options["config_path"] == "etc/istio/proxy/envoy-rev.json"


def test_metrics_are_scraped_at_their_own_port(agent):
    here = curl(agent.host, f"http://{LOOPBACK}:{METRICS}/stats/prometheus")
    assert "\nenvoy_cluster_manager_cds_update_success " in here and "\nenvoy_server_live 1\n" in here
    assert "\nenvoy_server_live 1\n" in curl(agent.outside, f"http://{GATEWAY}:{METRICS}/stats/prometheus"), "Prometheus is elsewhere"
    assert curl(agent.host, "-o", "/dev/null", "-w", "%{http_code}", f"http://{LOOPBACK}:{METRICS}/quitquitquit") == "404"


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_readiness_is_the_agents_to_say(agent, where):
    namespace, address = (agent.host, LOOPBACK) if where == "inside" else (agent.outside, GATEWAY)
    ask = lambda path: curl(namespace, "-o", "/dev/null", "-w", "%{http_code}", f"http://{address}:{READINESS}{path}")
    assert ask("/healthz/ready") == "200"
    assert ask("/") == "404"


def test_an_agent_that_is_away_is_not_ready(agent):
    ask = lambda: curl(agent.host, "-o", "/dev/null", "-w", "%{http_code}", f"http://{LOOPBACK}:{READINESS}/healthz/ready")
    stop(agent.status)
    assert ask() == "503"
    agent.status = agent.host.start(["/usr/bin/python3", "-c", STATUS, LOOPBACK, str(AGENT)])
    agent.host.wait_for_port(LOOPBACK, AGENT)
    assert ask() == "200"


def test_everything_comes_by_the_agents_sockets(agent):
    streams = {(stream["type"], stream["form"]) for stream in agent.plane.streams()}
    assert streams == {("ADS", "delta"), ("SDS", "sotw")}
    first = agent.plane.requests_for("Cluster")[0]
    assert first["node"]["id"] == json.loads(agent.bootstrap.read_text())["node"]["id"] and first["node"]["metadata"]["ISTIO_VERSION"] == "1.27.9"
    agent.plane.wait_for_ack("SDS", "1")
    clusters = agent.gateway.admin("/clusters")
    for name in ("outbound|9080|v1|reviews.default.svc.cluster.local", "agent", "prometheus_stats"):
        assert f"\n{name}::" in f"\n{clusters}", name
    stats = agent.gateway.stats("(warming|control_plane)")
    assert stats["cluster_manager.warming_clusters"] == 0 and stats["listener_manager.total_listeners_warming"] == 0
