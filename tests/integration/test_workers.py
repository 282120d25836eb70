"""Several workers on one TAP: who owns which connection, that nobody else handles it, and that the counters add up."""

import hashlib
import json
import re
import socket
import struct
import subprocess
import time

import pytest

from conftest import ORIGIN_PORT, Origin, bootstrap, http_listener
from lab import GATEWAY, GATEWAY6, HOST, HOST6, Gateway, Namespace, static_cluster, wait_until

CONNECTIONS = 96
SYMMETRIC_KEY = bytes.fromhex("6d5a" * 20)
TABLE_ENTRIES = 128


def toeplitz(data: bytes) -> int:
    """Microsoft's receive side scaling hash, bit by bit: not the gateway's way to compute it."""
    key = int.from_bytes(SYMMETRIC_KEY, "big")
    bits = 8 * len(SYMMETRIC_KEY)
    result = 0
    for i in range(8 * len(data)):
        if data[i // 8] >> (7 - i % 8) & 1:
            result ^= key >> (bits - 32 - i) & 0xFFFFFFFF
    return result


def owner(connection: dict, workers: int) -> int:
    def split(text: str):
        address, port = text.rsplit(":", 1)
        address = address.strip("[]")
        return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address), int(port)
    peer, peer_port = split(connection["peer"])
    local, local_port = split(connection["local"])
    return toeplitz(peer + local + struct.pack("!HH", peer_port, local_port)) % TABLE_ENTRIES % workers


def test_the_hash_of_this_test_is_symmetric():
    a, b = socket.inet_aton("198.18.0.1"), socket.inet_aton("198.18.0.2")
    assert toeplitz(a + b + struct.pack("!HH", 1, 80)) == toeplitz(b + a + struct.pack("!HH", 80, 1))


@pytest.fixture(scope="module", params=[2, 4, 8], ids=lambda workers: f"{workers} workers")
def lab(request, tmp_path_factory):
    workers = request.param
    route = "[{match: {prefix: /}, route: {cluster: origin}}]"
    text = bootstrap(http_listener("edge", 80, route) + http_listener("edge6", 80, route, address=GATEWAY6),
                     static_cluster("origin", [(HOST, ORIGIN_PORT)]))
    with Namespace() as namespace:
        dataplane = (f"packet_buffers: 8192\n"
                     f"ports:\n"
                     f"- name: edge\n"
                     f"  tap: {{interface: mr0, netns: {namespace.name}}}\n"
                     f"  addresses: [{GATEWAY}/24, \"{GATEWAY6}/64\"]\n")
        with Gateway(namespace, text, dataplane=dataplane, arguments=["--concurrency", str(workers)]) as gateway:
            yield workers, namespace, gateway, Origin(namespace, tmp_path_factory.mktemp("origin"))


def per_worker(gateway, name: str, workers: int, stats: dict | None = None) -> list[int]:
    """One counter of every worker, of now or of `stats`, one answer: what is compared with each other has to be of one moment."""
    stats = stats or gateway.stats("millrace.worker")
    return [stats[f"millrace.worker.{worker}.{name}"] for worker in range(workers)]


def all_taken(gateway, workers: int) -> dict:
    """Counters of a moment in which everything handed over had been taken: the kernel may send a frame at any time."""
    seen = {}

    def add_up():
        seen.update(gateway.stats("millrace.worker"))
        handed, taken, overheard = (sum(per_worker(gateway, f"io.{name}", workers, seen)) for name in ("handed_over", "taken_over", "overheard"))
        return handed == taken + overheard
    wait_until(add_up, 10, "what was handed over to be taken")
    return seen


def settled(gateway, name: str, workers: int) -> list[int]:
    """Workers publish ten times a second, and once more when they wake up."""
    before = per_worker(gateway, name, workers)
    while True:
        time.sleep(0.5)
        now = per_worker(gateway, name, workers)
        if now == before:
            return now
        before = now


def test_every_connection_is_with_its_owner(lab):
    workers, namespace, gateway, _ = lab
    load = namespace.start(["wrk", "-t1", f"-c{CONNECTIONS}", "-d4s", f"http://{GATEWAY}/ok"], stdout=subprocess.PIPE, text=True)
    seen = {"accepted": set(), "opened": set()}
    wait_until(lambda: sum(per_worker(gateway, "tcp.connections.established", workers)) > CONNECTIONS, 10, "connections")
    for _ in range(5):
        for connection in json.loads(gateway.admin("/millrace/connections?format=json&limit=10000"))["connections"]:
            assert connection["worker"] == owner(connection, workers), connection
            seen[connection["direction"]].add((connection["worker"], connection["peer"], connection["local"]))
        time.sleep(0.2)
    output, _ = load.communicate(timeout=60)
    assert len(seen["accepted"]) >= CONNECTIONS and len(seen["opened"]) >= 1
    share = len(seen["accepted"]) / workers
    for worker in range(workers):
        mine = [key for key in seen["accepted"] if key[0] == worker]
        assert len(mine) > share / 3, f"worker {worker} has {len(mine)} of {len(seen['accepted'])} connections"
        assert any(key[0] == worker for key in seen["opened"]), "each has upstream connections of its own"
    assert int(re.search(r"(\d+) requests in", output).group(1)) > 100
    assert "Non-2xx" not in output and "Socket errors" not in output, output


def test_nobody_handled_what_is_not_his_and_the_counters_add_up(lab):
    workers, namespace, gateway, _ = lab
    namespace.run(["wrk", "-t1", "-c32", "-d1s", "-H", "Connection: close", f"http://{GATEWAY}/ok"], stdout=subprocess.DEVNULL)
    received = settled(gateway, "tcp.segments_received", workers)
    # A segment at a worker that does not know its connection would be one of these, half of all and more. What wrk's kernel sends for
    # connections that it has just reset, at the end of a run, is one, too.
    assert sum(per_worker(gateway, "tcp.drop_no_connection", workers)) <= 2 * CONNECTIONS < sum(received) / 10
    assert sum(per_worker(gateway, "io.hand_over_dropped", workers)) == 0
    stats = all_taken(gateway, workers)
    handed, taken = per_worker(gateway, "io.handed_over", workers, stats), per_worker(gateway, "io.taken_over", workers, stats)
    assert sum(taken) > 0
    assert handed[1:] == [0] * (workers - 1) and taken[0] == 0, "worker 0 receives by the only queue"
    frames = per_worker(gateway, "io.frames_received", workers, stats)
    assert sum(frames) == frames[0]
    # The kernel may send a frame at any time, and workers publish ten times a second.
    wait_until(lambda: sum(per_worker(gateway, "io.frames_received", workers)) == gateway.stats("rx_packets")["millrace.port.edge.rx_packets"],
               10, "workers and port to agree on what came")
    wait_until(lambda: sum(per_worker(gateway, "io.frames_sent", workers)) == gateway.stats("tx_packets")["millrace.port.edge.tx_packets"],
               10, "workers and port to agree on what was sent")
    dropped = sum(value for name, value in stats.items() if re.fullmatch(r"millrace\.worker\.\d+\.ip\.drop.*", name))
    not_tcp = frames[0] - sum(per_worker(gateway, "tcp.segments_received", workers, stats)) - dropped
    assert 0 <= not_tcp < frames[0] / 20, "ARP, neighbour discovery, echo"
    accepted = gateway.stats("listener.*downstream_cx_total")
    assert sum(accepted.values()) == sum(per_worker(gateway, "tcp.passive_opens", workers))


def test_all_learn_the_neighbour_and_one_answers(lab):
    workers, namespace, gateway, _ = lab
    namespace.run(["ip", "neigh", "flush", "dev", "mr0"])
    # -D: who answers the probe; two answers would be two workers.
    output = namespace.run(["ping", "-c3", "-i0.2", GATEWAY], capture_output=True, text=True).stdout
    assert "3 received" in output and "DUP" not in output
    output = namespace.run(["ping", "-c3", "-i0.2", GATEWAY6], capture_output=True, text=True).stdout
    assert "3 received" in output and "DUP" not in output
    wait_until(lambda: all(count >= 1 for count in per_worker(gateway, "ip.neighbours", workers)), 5, "neighbours of every worker")


def test_requests_over_ipv6_reach_every_worker(lab):
    workers, namespace, gateway, _ = lab
    before = per_worker(gateway, "tcp.passive_opens", workers)
    wait_until(lambda: namespace.run(["curl", "-sS", "--max-time", "2", "-o", "/dev/null", f"http://[{GATEWAY6}]/ok"], check=False).returncode == 0,
               10, "the IPv6 address")
    for _ in range(12 * workers):
        assert namespace.run(["curl", "-sS", "--fail", "--max-time", "5", f"http://[{GATEWAY6}]/ok"], capture_output=True).stdout == b"ok\n"
    wait_until(lambda: all(now > then for now, then in zip(per_worker(gateway, "tcp.passive_opens", workers), before)), 5,
               "IPv6 connections at every worker")


def test_large_bodies_come_whole_from_every_worker(lab):
    workers, namespace, gateway, origin = lab
    digest = origin.add_file(f"large-{workers}", 4 << 20)
    clients = [namespace.start(["curl", "-sS", "--fail", "--max-time", "60", f"http://{GATEWAY}/large-{workers}"], stdout=subprocess.PIPE)
               for _ in range(8)]
    for client in clients:
        body, _ = client.communicate(timeout=90)
        assert hashlib.sha256(body).hexdigest() == digest


def test_draining_ends_all_workers(lab):
    workers, namespace, gateway, _ = lab
    download = namespace.start(["curl", "-sS", "--limit-rate", "2M", "--max-time", "60", "-o", "/dev/null", f"http://{GATEWAY}/large-{workers}"])
    time.sleep(0.5)
    gateway.process.terminate()
    assert gateway.process.wait(timeout=30) == 0
    assert download.wait(timeout=30) == 0, "what was in flight was finished"
