"""Rules about packets, and the offloads that carry them out: in software, and in the model of a SmartNIC before the TAP."""

import hashlib
import json
import subprocess

import pytest

from conftest import ORIGIN_PORT, Origin, bootstrap, http_listener
from lab import GATEWAY, GATEWAY6, HOST, Gateway, Namespace, static_cluster, wait_until

CLOSED, SLOW = 81, 82
STEERED_TO = 1
MODEL = "model: {checksums: true, segmentation: true, rules: true}"
RULES = f"""rules:
- name: closed
  match: {{protocol: TCP, destination_ports: {{first: {CLOSED}}}}}
  drop: {{}}
- name: ping
  match: {{source: {HOST}/32, protocol: ICMP}}
  police: {{packets_per_second: 5, burst: 10}}
- name: nobody
  match: {{source: "2001:db8:ffff::/48"}}
  drop: {{}}
  ports: [edge]
"""
STEER = f"""- name: owner
  match: {{protocol: TCP, destination_ports: {{first: 80, last: {CLOSED}}}}}
  steer: {{worker: {STEERED_TO}}}
"""


def dataplane(namespace, *, workers: int = 1, model: str = "", rules: str = RULES) -> str:
    return (f"workers: {{count: {workers}}}\n"
            f"packet_buffers: 8192\n"
            f"ports:\n"
            f"- name: edge\n"
            f"  tap: {{interface: mr0, netns: {namespace.name}}}\n"
            f"  addresses: [{GATEWAY}/24, \"{GATEWAY6}/64\"]\n"
            f"  {model}\n{rules}")


def listeners() -> str:
    route = "[{match: {prefix: /}, route: {cluster: origin}}]"
    return bootstrap(http_listener("edge", 80, route) + http_listener("closed", CLOSED, route),
                     static_cluster("origin", [(HOST, ORIGIN_PORT)]))


class Lab:
    def __init__(self, namespace, gateway, origin, model: bool):
        self.namespace, self.gateway, self.origin, self.model = namespace, gateway, origin, model

    def port(self) -> dict:
        return json.loads(self.gateway.admin("/millrace/nic"))["ports"][0]

    def rule(self, name: str) -> dict:
        return next(rule for rule in self.port()["rules"] if rule["name"] == name)

    def curl(self, *arguments, check: bool = True) -> subprocess.CompletedProcess:
        return self.namespace.run(["curl", "-sS", "--fail", *arguments], check=check, capture_output=True)


@pytest.fixture(scope="module", params=["software", "model"])
def lab(request, tmp_path_factory):
    model = request.param == "model"
    with Namespace() as namespace:
        with Gateway(namespace, listeners(), dataplane=dataplane(namespace, model=MODEL if model else "")) as gateway:
            yield Lab(namespace, gateway, Origin(namespace, tmp_path_factory.mktemp("origin")), model)


def test_a_rule_drops_what_matches_and_nothing_else(lab):
    before = lab.gateway.stats("millrace.port.edge.rx_filtered")["millrace.port.edge.rx_filtered"]
    refused = lab.curl("--max-time", "2", f"http://{GATEWAY}:{CLOSED}/ok", check=False)
    assert refused.returncode == 28, refused
    hits = lab.rule("closed")["hits"]
    assert hits >= 1 and lab.rule("closed")["dropped"] == hits
    stats = lab.gateway.stats("millrace")
    assert stats["millrace.rule.closed.hits"] == hits
    assert stats["millrace.port.edge.rx_filtered"] >= before + hits
    assert f'millrace_rule_hits{{rule="closed"}} {hits}' in lab.gateway.admin("/stats/prometheus")
    assert lab.curl(f"http://{GATEWAY}/ok").stdout == b"ok\n"
    assert lab.rule("nobody")["hits"] == 0


def test_a_rule_limits_a_rate(lab):
    pings = 100
    text = lab.namespace.run(["ping", "-q", "-i", "0.01", "-c", str(pings), "-W", "1", GATEWAY], check=False, stdout=subprocess.PIPE,
                             text=True).stdout
    answered = int(text.split(" received")[0].split()[-1])
    assert 10 <= answered <= 40, text
    rule = lab.rule("ping")
    assert rule["hits"] >= pings and rule["dropped"] == rule["hits"] - answered


def test_a_large_answer_is_right(lab):
    size = 20_000_000
    expected = lab.origin.add_file("large", size)
    assert hashlib.sha256(lab.curl("--max-time", "120", f"http://{GATEWAY}/large").stdout).hexdigest() == expected
    if lab.model:
        queues = lab.port()["queue_packets"]
        # Bursts: the stack hands over far fewer packets than go out.
        assert len(queues) == 1 and queues[0]["tx_packets"] < lab.gateway.port_packets()[1]


def test_log_and_page_say_who_does_what(lab):
    port = lab.port()
    place = "model" if lab.model else "software"
    log = lab.gateway.log_text()
    for name in ("rx_ip_checksum", "rx_l4_checksum", "tx_ip_checksum", "tx_tcp_checksum", "tx_multi_segment", "tx_tcp_segmentation"):
        offload = port["offloads"][name]
        assert offload["where"] == place and offload["used"] == lab.model, name
        assert ("why" in offload) != lab.model
    assert port["offloads"]["rss"] == {"offered": port["offloads"]["rss"]["offered"], "used": False, "where": "software",
                                       "why": port["offloads"]["rss"]["why"]}
    assert [rule["name"] for rule in port["rules"]] == ["closed", "ping", "nobody"]
    assert all(rule["where"] == place for rule in port["rules"])
    if lab.model:
        assert "offloads by model: rx_ip_checksum" in log and "rule closed: model" in log
    else:
        assert "offloads by software: " in log and f"rule closed: software ({lab.rule('closed')['why']})" in log


@pytest.mark.parametrize("model", ["", "model: {checksums: true, segmentation: true, rules: true}", "model: {}", "model: {queues: 1}"],
                         ids=["software", "model", "only queues", "one queue"])
def test_a_rule_gives_connections_to_one_worker(model, tmp_path):
    with Namespace() as namespace:
        with Gateway(namespace, listeners(), dataplane=dataplane(namespace, workers=2, model=model, rules=RULES + STEER)) as gateway:
            lab = Lab(namespace, gateway, Origin(namespace, tmp_path), bool(model))
            load = namespace.start(["wrk", "-t1", "-c32", "-d3s", f"http://{GATEWAY}/ok"], stdout=subprocess.PIPE, text=True)

            def connections(direction: str) -> list[dict]:
                every = json.loads(gateway.admin("/millrace/connections?format=json&state=established"))["connections"]
                return [connection for connection in every if connection["direction"] == direction]

            wait_until(lambda: len(connections("accepted")) >= 32, 10, "connections")
            for direction in ("accepted", "opened"):
                assert {connection["worker"] for connection in connections(direction)} == {STEERED_TO}, direction
            output, _ = load.communicate(timeout=60)
            assert "Non-2xx" not in output and "Socket errors" not in output, output
            assert lab.rule("owner")["where"] == ("model" if "rules: true" in model else "software")
            if model != "model: {queues: 1}" and model:
                assert len(lab.port()["queue_packets"]) == 2
                received = [queue["rx_packets"] for queue in lab.port()["queue_packets"]]
                if "rules: true" in model:
                    assert received[STEERED_TO] > received[1 - STEERED_TO]
            assert lab.curl("--max-time", "2", f"http://{GATEWAY}:{CLOSED}/ok", check=False).returncode == 28
