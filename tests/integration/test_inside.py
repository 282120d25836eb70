"""What an operator sees of the inside of a running gateway: its connections, and its frames as tcpdump reads them."""

import json
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from conftest import ORIGIN_PORT, Origin, bootstrap, http_listener
from lab import GATEWAY, HOST, Gateway, Namespace, static_cluster, wait_until


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    directory = tmp_path_factory.mktemp("inside")
    text = bootstrap(http_listener("edge", 80, "[{match: {prefix: /}, route: {cluster: origin}}]"),
                     static_cluster("origin", [(HOST, ORIGIN_PORT)]))
    with Namespace() as namespace, Gateway(namespace, text) as gateway:
        origin = Origin(namespace, directory)
        origin.add_file("large", 64 << 20)
        yield namespace, gateway


def connections(gateway, query: str = "") -> list[dict]:
    return json.loads(gateway.admin(f"/millrace/connections?format=json{query}"))["connections"]


def refused(gateway, path: str) -> str:
    """The text of a 400."""
    with pytest.raises(urllib.error.HTTPError) as error:
        gateway.admin(path)
    assert error.value.code == 400
    return error.value.read().decode()


def request(namespace, path: str = "/ok", *options) -> None:
    namespace.run(["curl", "-sS", "--fail", "-o", "/dev/null", *options, f"http://{GATEWAY}{path}"])


def capture(gateway, query: str) -> subprocess.Popen:
    """curl that writes a capture into tcpdump's standard input; what tcpdump says is its standard output."""
    url = f"http://127.0.0.1:{gateway.admin_port}/millrace/pcap?{query}"
    return subprocess.Popen(f"curl -sSN '{url}' | tcpdump -nn -tt -r - 2>/dev/null", shell=True, stdout=subprocess.PIPE, text=True)


def test_connections_of_a_slow_download(lab):
    namespace, gateway = lab
    port = 42_042
    client = namespace.start(["curl", "-sS", "--limit-rate", "10k", "--local-port", str(port), "-o", "/dev/null",
                              f"http://{GATEWAY}/large"])
    mine = f"&peer={HOST}:{port}"
    wait_until(lambda: [c for c in connections(gateway, mine + "&state=established") if c["send_queue"]["unsent"] > 0], 10, "a full send queue")
    one = connections(gateway, mine)[0]
    assert one["state"] == "ESTABLISHED" and one["direction"] == "accepted" and one["local"] == f"{GATEWAY}:80"
    assert one["rtt_us"] > 0 and one["cwnd"] >= one["mss"] > 1000 and one["sack"] and one["timestamps"]
    assert 0 <= one["idle_ms"] < 10_000 and one["age_seconds"] < 60
    upstream = connections(gateway, f"&port={ORIGIN_PORT}&state=established")
    assert upstream and all(c["direction"] == "opened" and c["peer"] == f"{HOST}:{ORIGIN_PORT}" for c in upstream)
    lines = gateway.admin(f"/millrace/connections?peer={HOST}:{port}").splitlines()
    assert lines[0].split()[:3] == ["State", "Recv-Q", "Send-Q"] and len(lines) == 2
    assert lines[1].startswith("ESTABLISHED") and " rtt:" in lines[1] and " cwnd:" in lines[1]
    client.terminate()
    client.wait(10)
    wait_until(lambda: not connections(gateway, mine + "&state=established"), 10, "the connection's end")


def test_connections_beyond_the_limit_are_counted(lab):
    namespace, gateway = lab
    idle = ("import socket, sys, time\n"
            "kept = [socket.create_connection((sys.argv[1], 80)) for _ in range(5)]\n"
            "time.sleep(60)")
    client = namespace.start(["/usr/bin/python3", "-c", idle, GATEWAY])
    wait_until(lambda: len(connections(gateway, "&local=198.18.0.0/24&port=80&state=established")) >= 5, 5, "five connections")
    assert len(connections(gateway, "&port=80&limit=2")) == 2
    assert "more are not shown" in gateway.admin("/millrace/connections?port=80&limit=2")
    client.terminate()
    client.wait(10)


def test_time_wait_is_shown(lab):
    namespace, gateway = lab
    request(namespace, "/ok", "-H", "Connection: close")
    assert connections(gateway, "&state=time_wait&local=198.18.0.2:80")


def test_wrong_parameters_are_explained(lab):
    _, gateway = lab
    assert "ESTABLISHED" in refused(gateway, "/millrace/connections?state=open")
    assert "unknown parameter" in refused(gateway, "/millrace/connections?stat=established")
    assert "(edge)" in refused(gateway, "/millrace/pcap?port=inside")
    assert "filter: " in refused(gateway, "/millrace/pcap?filter=tcp+prot+80")


def test_capture_shows_the_handshake_and_both_directions(lab):
    namespace, gateway = lab
    reader = capture(gateway, "seconds=3&port=edge&filter=" + urllib.parse.quote("tcp port 80"))
    time.sleep(1)
    request(namespace)
    text = reader.communicate(timeout=20)[0]
    assert f"> {GATEWAY}.80: Flags [S]," in text, text
    assert f"IP {GATEWAY}.80 > {HOST}." in text and "Flags [S.]" in text
    assert "HTTP: GET /ok HTTP/1.1" in text and "HTTP: HTTP/1.1 200 OK" in text
    assert f".{ORIGIN_PORT}" not in text, "the filter leaves the origin's side out"
    when = float(text.split()[0])
    assert abs(when - time.time()) < 30, "the wall clock's time"


def test_capture_ends_after_its_packets(lab):
    namespace, gateway = lab
    reader = capture(gateway, "seconds=60&packets=5&snaplen=64")
    time.sleep(0.5)
    request(namespace)
    assert len(reader.communicate(timeout=20)[0].splitlines()) >= 5


def test_captures_are_bounded_and_end_when_their_readers_go(lab, tmp_path):
    _, gateway = lab
    files = [tmp_path / f"{i}.pcap" for i in range(4)]
    url = f"http://127.0.0.1:{gateway.admin_port}/millrace/pcap?seconds=60"
    # Another test's capture may be about to end: its place is waited for.
    patient = ["curl", "-sSN", "--fail", "--retry", "10", "--retry-delay", "1"]
    readers = [subprocess.Popen([*patient, "-o", str(file), url]) for file in files]
    header_bytes = 24
    wait_until(lambda: all(file.exists() and file.stat().st_size >= header_bytes for file in files), 10, "four captures run")

    def fifth() -> int:
        try:
            with urllib.request.urlopen(url.replace("seconds=60", "seconds=1"), timeout=5) as response:
                return response.status
        except urllib.error.HTTPError as error:
            return error.code

    assert fifth() == 503
    for reader in readers:
        reader.terminate()
        reader.wait(10)
    wait_until(lambda: fifth() == 200, 10, "their places are free again")


def test_a_busy_gateway_serves_while_it_is_watched(lab):
    namespace, gateway = lab
    reader = subprocess.Popen(["curl", "-sSN", "-o", "/dev/null", f"http://127.0.0.1:{gateway.admin_port}/millrace/pcap?seconds=30"])
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            connections(gateway)

    watcher = threading.Thread(target=look)
    watcher.start()
    for _ in range(3):
        request(namespace, "/large")
    done.set()
    watcher.join()
    reader.terminate()
    reader.wait(10)


def test_exit_does_not_wait_for_a_capture(tmp_path):
    text = bootstrap(http_listener("edge", 80, "[{match: {prefix: /}, direct_response: {status: 200}}]"), "  []\n")
    with Namespace() as namespace, Gateway(namespace, text, arguments=["--drain-time-s", "1"]) as gateway:
        reader = capture(gateway, "seconds=600")
        time.sleep(0.5)
        before = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - before < 8
        reader.communicate(timeout=10)

