"""The load generator against the real binary over shared memory: what it counts is right, and what is wrong voids the record."""

import os
import pathlib
import subprocess
import sys

import pytest

from conftest import ROOT, bootstrap, http_listener

sys.path.insert(0, str(ROOT / "perf"))

from memif import MemifLab  # noqa: E402

SHORT = {"seconds": 1.5, "warm_up": 0.3}


def several_listeners(addresses: list[tuple[str, int]], clusters: str) -> str:
    routes = "[{match: {prefix: /}, route: {cluster: origin}}]"
    return bootstrap("".join(http_listener(f"edge{port}", port, routes, address=address) for address, port in addresses), clusters)


def millload() -> pathlib.Path:
    return pathlib.Path(os.environ["MILLRACE_BUILD_DIR"]) / "millload"


@pytest.fixture(scope="module")
def lab():
    with MemifLab(several_listeners, millload(), buffers=32_768) as made:
        yield made


def test_keep_alive(lab):
    before = lab.gateway.stats("downstream_rq_2xx")
    figures = lab.run("keep-alive", **SHORT)
    assert figures["requests_per_second"] > 500 and figures["errors"] == 0
    assert figures["busy_cycles_per_request"] > 0 and 0 < figures["gateway_busy_share"] <= 1.1
    assert 0 < figures["p50_us"] <= figures["p99_us"] <= figures["p999_us"] <= figures["max_us"]
    served = sum(lab.gateway.stats("downstream_rq_2xx").values()) - sum(before.values())
    assert served >= figures["requests_per_second"] * 1.4, "the gateway has seen them"


def test_a_connection_per_request(lab):
    figures = lab.run("close", "--close", **SHORT)
    assert figures["errors"] == 0
    assert figures["connections_per_second"] == pytest.approx(figures["requests_per_second"], rel=0.1)


def test_bodies_both_ways(lab):
    figures = lab.run("bulk", "--request-bytes", "20000", "--response-bytes", "65536", "--connections", "16", **SHORT)
    assert figures["requests_per_second"] > 10 and figures["errors"] == 0


def test_pipelined(lab):
    figures = lab.run("pipelined", "--pipeline", "4", "--connections", "16", **SHORT)
    assert figures["requests_per_second"] > 500 and figures["errors"] == 0


def test_an_open_loop_keeps_its_rate(lab):
    figures = lab.run("open", "--rate", "200", **SHORT)
    assert figures["requests_per_second"] == pytest.approx(200, rel=0.1)


def test_a_wrong_body_voids_the_record(lab):
    figures = lab.run("corrupt", "--corrupt-every", "100", check=False, **SHORT)
    assert not figures["valid"] and "wrong bytes" in figures["error"]
    assert "VOID" in figures["text"]


def test_nothing_leaks(lab):
    lab.run("churn", "--requests-per-connection", "3", "--connections", "200", **SHORT)
    stats = lab.gateway.stats("connections|packets_in_use")
    assert stats["millrace.worker.0.packets_in_use"] < 8_000, "receive rings and a few"


def test_without_a_gateway_it_says_so(tmp_path):
    config = tmp_path / "load.yaml"
    config.write_text(f"ports:\n- name: edge\n  memif: {{socket: {tmp_path}/none.sock, role: CLIENT}}\n  addresses: [198.18.0.1/24]\n")
    done = subprocess.run([str(millload()), "--dataplane", str(config), "--target", "nonsense"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "--target" in done.stderr
