"""The main job with real clients and a real origin: curl, wrk -> TAP -> gateway -> nginx."""

import hashlib
import json
import re
import socket
import struct
import subprocess
import threading
import time

import pytest

from conftest import ORIGIN_PORT, UPLOAD_ORIGIN
from lab import GATEWAY, GATEWAY6, HOST, wait_until

BASE = f"http://{GATEWAY}"


def test_curl_gets_an_answer_through_the_gateway(gateway, origin, curl):
    assert curl(f"{BASE}/ok") == "ok\n"


def test_forwarded_headers_are_added(gateway, origin, curl):
    text = curl(f"{BASE}/headers", "-H", "Host: shop.example")
    assert "proto=http" in text and "host=shop.example" in text
    assert re.search(r"id=[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", text)


def test_response_carries_server_and_service_time(gateway, origin, curl):
    head = curl("-I", f"{BASE}/ok")
    assert re.search(r"(?im)^server: envoy\r?$", head)
    assert re.search(r"(?im)^x-envoy-upstream-service-time: \d+\r?$", head)


def test_status_of_the_origin_is_passed_on(gateway, origin, curl):
    assert curl("-o", "/dev/null", "-w", "%{http_code}", f"{BASE}/teapot") == "418"


def test_ping_is_answered(gateway, namespace):
    namespace.run(["ping", "-c", "2", "-i", "0.2", "-W", "2", GATEWAY], stdout=subprocess.DEVNULL)
    namespace.run(["ping", "-6", "-c", "2", "-i", "0.2", "-W", "2", GATEWAY6], stdout=subprocess.DEVNULL)


def test_closed_port_is_refused_at_once(gateway, namespace):
    result = namespace.run(["curl", "-sS", "--max-time", "5", f"{BASE}:81/"], check=False, capture_output=True, text=True)
    assert result.returncode == 7, result.stderr


def test_ten_thousand_requests_over_a_hundred_connections(gateway, origin, namespace):
    requests, errors = 0, ""
    for _ in range(6):  # slow machines and sanitizers need more rounds to come to 10,000
        text = namespace.output(["wrk", "-t1", "-c100", "-d5s", "--timeout", "10s", f"{BASE}/ok"])
        requests += int(re.search(r"(\d+) requests in", text).group(1))
        errors += "".join(re.findall(r"(?:Socket errors|Non-2xx).*", text))
        if requests >= 10_000 or errors:
            break
    assert not errors
    assert requests >= 10_000


def test_bulk_download_is_intact(gateway, origin, namespace, bulk_bytes):
    expected = origin.add_file("bulk", bulk_bytes)
    client = namespace.start(["curl", "-sS", "--max-time", "300", f"{BASE}/bulk"], stdout=subprocess.PIPE)
    digest, size = hashlib.sha256(), 0
    while block := client.stdout.read(1 << 20):
        digest.update(block)
        size += len(block)
    assert client.wait() == 0
    assert size == bulk_bytes
    assert digest.hexdigest() == expected


def test_bulk_upload_is_intact(gateway, origin, namespace, curl, bulk_bytes):
    expected = origin.add_file("up", bulk_bytes)
    with origin.replaced_by(UPLOAD_ORIGIN):
        assert curl("-T", str(origin.files / "up"), "-H", "Expect:", f"{BASE}/up", timeout=300) == expected


CHURN = r"""
import socket, sys
address, connections, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
request = b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"
good = 0
for _ in range(rounds):
    open_now = []
    for _ in range(connections):
        s = socket.create_connection((address, 80), timeout=20)
        open_now.append(s)
    for s in open_now: s.sendall(request)
    for s in open_now:
        data = b""
        while not data.endswith(b"ok\n"):
            part = s.recv(4096)
            if not part: break
            data += part
        good += data.startswith(b"HTTP/1.1 200")
        s.close()
print(good)
"""


def test_a_thousand_connections_twenty_times_leak_nothing(gateway, origin, namespace, curl):
    curl(f"{BASE}/ok")
    namespace.run(["bash", "-c", "ulimit -n 8192"])
    before = settled(gateway)
    text = namespace.output(["bash", "-c", f"ulimit -n 8192; exec /usr/bin/python3 -c '{CHURN}' {GATEWAY} 1000 20"], timeout=300)
    assert int(text) == 20_000
    after = settled(gateway)
    assert after["connections"] <= before["connections"] + 0
    assert after["chain_nodes"] <= before["chain_nodes"] + 8
    # What a device's ring holds varies by a burst.
    assert after["packets"] <= before["packets"] + 64, (before, after)


def settled(gateway):
    """Waits until downstream connections are gone, then what the worker holds."""
    wait_until(lambda: gateway.stats()["http.edge.downstream_cx_active"] == 0, 20, "downstream connections end")
    time.sleep(0.5)
    stats = gateway.stats()
    return {"connections": stats["http.edge.downstream_cx_active"],
            "chain_nodes": stats["millrace.worker.0.chain_nodes_in_use"],
            "packets": stats["millrace.worker.0.packets_in_use"]}


def test_no_kernel_tcp_socket_but_the_admin_server(gateway, origin, curl):
    curl(f"{BASE}/ok")
    assert gateway.kernel_sockets() == []


def test_packets_go_through_the_port(gateway, origin, curl):
    before = gateway.port_packets()
    for _ in range(20):
        curl(f"{BASE}/ok")
    after = gateway.port_packets()
    # A connection of its own each: at least SYN, ACK, request, FIN in; SYN-ACK, response, FIN out.
    assert after[0] - before[0] >= 20 * 4
    assert after[1] - before[1] >= 20 * 3


def test_idle_gateway_uses_under_five_percent_of_a_core(gateway, origin):
    def cpu_seconds():
        fields = open(f"/proc/{gateway.process.pid}/stat").read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100
    time.sleep(1)
    start, used = time.monotonic(), cpu_seconds()
    time.sleep(4)
    share = (cpu_seconds() - used) / (time.monotonic() - start)
    assert share < 0.05, f"{share:.1%} of a core while idle"


def test_pipelined_requests_are_answered_in_order(gateway, origin, namespace):
    script = ("import socket,sys;s=socket.create_connection((sys.argv[1],80),timeout=10);"
              "s.sendall(b'GET /ok HTTP/1.1\\r\\nHost: x\\r\\n\\r\\nGET /teapot HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"
              "GET /ok HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n');"
              "d=b''\nwhile True:\n p=s.recv(65536)\n if not p: break\n d+=p\nprint(d.decode())")
    text = namespace.output(["/usr/bin/python3", "-c", script, GATEWAY])
    assert re.findall(r"HTTP/1.1 (\d+)", text) == ["200", "418", "200"]


STALLED = r"""
import socket, sys, time
kept = []
for _ in range(int(sys.argv[2])):
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect((sys.argv[1], 80))
    one.sendall(b"GET /stalled HTTP/1.1\r\nHost: x\r\n\r\n")
    kept.append(one)
    time.sleep(0.02)
print("asked", flush=True)
time.sleep(60)
"""


def test_clients_that_stall_by_the_dozen_do_not_stop_the_others(gateway, origin, namespace):
    origin.add_file("stalled", 64 << 20)
    clients = namespace.start(["/usr/bin/python3", "-c", STALLED, GATEWAY, "200"], stdout=subprocess.PIPE, text=True)
    assert clients.stdout.readline() == "asked\n"
    slowest = 0.0
    for _ in range(40):
        before = time.monotonic()
        status = namespace.output(["curl", "-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", f"{BASE}/ok"])
        assert status == "200"
        slowest = max(slowest, time.monotonic() - before)
        time.sleep(0.2)
    assert slowest < 10
    clients.terminate()
    clients.wait(10)
    wait_until(lambda: gateway.stats("packets_in_use")["millrace.worker.0.packets_in_use"] < 8_000, 30, "their buffers come back")
