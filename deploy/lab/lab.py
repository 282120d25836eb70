"""A network on one machine: namespaces, processes in them, and a gateway on a TAP. See README.md."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]

# RFC 2544's benchmarking network: never routed, so it collides with nothing on the host.
NETWORK = "198.18.0.0/24"
HOST = "198.18.0.1"
GATEWAY = "198.18.0.2"
HOST6 = "2001:db8:18::1"
GATEWAY6 = "2001:db8:18::2"


class LabError(RuntimeError):
    """Something that the lab stands on did not do its part; the text says what and what to do."""


def require_root() -> None:
    if os.geteuid() != 0:
        raise LabError("this needs root: it makes network namespaces and a TAP. Run it with sudo.")


def wait_until(condition, seconds: float, what: str, interval: float = 0.05):
    """Polls `condition` until it is true and returns its value; raises LabError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {seconds:g} s")
        time.sleep(interval)


def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Namespace:
    """A network namespace of our own, and what was started in it. A context manager."""

    _made = 0

    def __init__(self, name: str | None = None):
        require_root()
        Namespace._made += 1
        self.name = name or f"mr-{os.getpid()}-{Namespace._made}"
        self._processes: list[subprocess.Popen] = []

    def __enter__(self) -> "Namespace":
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.run(["ip", "link", "set", "lo", "up"])
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        for process in reversed(self._processes):
            stop(process)
        self._processes.clear()
        subprocess.run(["ip", "netns", "del", self.name], check=False, stderr=subprocess.DEVNULL)

    def command(self, command: list[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def run(self, command: list[str], check: bool = True, **options) -> subprocess.CompletedProcess:
        return subprocess.run(self.command(command), check=check, **options)

    def output(self, command: list[str], timeout: float = 120) -> str:
        return self.run(command, stdout=subprocess.PIPE, text=True, timeout=timeout).stdout

    def start(self, command: list[str], **options) -> subprocess.Popen:
        process = subprocess.Popen(self.command(command), **options)
        self._processes.append(process)
        return process

    def wait_for_port(self, address: str, port: int, seconds: float = 10) -> None:
        """Until something listens on address:port in the namespace."""
        ours = re.escape(address)  # gRPC listens on an IPv6 socket for both families
        pattern = re.compile(rf"(^|\s)({ours}|\[::ffff:{ours}\]|0\.0\.0\.0|\*):{port}\s")
        wait_until(lambda: pattern.search(self.output(["ss", "-Hltn"])), seconds, f"nothing listens on {address}:{port}")

    def attach_interface(self, interface: str, addresses: list[str]) -> None:
        """Waits for `interface` (a gateway's TAP appears when the gateway starts), gives it addresses and brings it up."""
        exists = lambda: self.run(["ip", "link", "show", interface], check=False, capture_output=True).returncode == 0
        wait_until(exists, 60, f"interface {interface} in namespace {self.name}")
        for address in addresses:
            options = ["nodad"] if ":" in address else []
            self.run(["ip", "address", "add", address, "dev", interface, *options])
        self.run(["ip", "link", "set", interface, "up"])


def stop(process: subprocess.Popen, seconds: float = 10) -> int:
    """SIGTERM, then SIGKILL after `seconds`; returns the exit status."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


class Gateway:
    """A gateway process on a TAP in `namespace`, or, without one, on the ports that `dataplane` names. A context manager that waits
    until the gateway is ready.

    `bootstrap` is the text of an Envoy bootstrap without `admin`, which is added here with a free port. `tls` is that field of the
    dataplane, in YAML; the dataplane has it already where it is given.
    """

    def __init__(self, namespace: Namespace | None, bootstrap: str, *, interface: str = "mr0", dataplane: str | None = None, tls: str = "",
                 host_addresses: list[str] | None = None, arguments: list[str] | None = None, binary: str | None = None,
                 log: pathlib.Path | None = None):
        self.namespace = namespace
        self.interface = interface
        self.binary = binary or os.environ.get("MILLRACE_BINARY") or str(ROOT / "build" / "millrace")
        self.admin_port = free_port()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="millrace-lab-"))
        self.log_path = log or self.directory / "gateway.log"
        self.host_addresses = [f"{HOST}/24", f"{HOST6}/64"] if host_addresses is None else host_addresses
        self.arguments = arguments or []
        self.process: subprocess.Popen | None = None
        self._log = None
        self.bootstrap_path = self.directory / "bootstrap.yaml"
        self.bootstrap_path.write_text(
            f"admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {self.admin_port}}}}}}}\n{bootstrap}")
        self.dataplane_path = self.directory / "dataplane.yaml"
        self.dataplane_path.write_text(dataplane or self.default_dataplane() + (f"tls: {tls}\n" if tls else ""))

    def default_dataplane(self) -> str:
        return (f"workers: {{count: 1, idle: ADAPTIVE}}\n"
                f"ports:\n"
                f"- name: edge\n"
                f"  tap: {{interface: {self.interface}, netns: {self.namespace.name}}}\n"
                f"  addresses: [{GATEWAY}/24, \"{GATEWAY6}/64\"]\n"
                f"  routes: [{{to: 0.0.0.0/0, via: {HOST}}}]\n")

    def command(self) -> list[str]:
        return [self.binary, "-c", str(self.bootstrap_path), "--dataplane", str(self.dataplane_path), *self.arguments]

    def __enter__(self) -> "Gateway":
        self.start()
        return self

    def __exit__(self, kind, *_) -> None:
        self.close(show_log=kind is not None)

    def start(self) -> None:
        if not pathlib.Path(self.binary).exists():
            raise LabError(f"{self.binary} does not exist: run ./dev build")
        self._log = open(self.log_path, "ab")
        self.process = subprocess.Popen(self.command(), stdout=self._log, stderr=subprocess.STDOUT)
        try:
            if self.namespace is not None:
                self.namespace.attach_interface(self.interface, self.host_addresses)
            wait_until(self._is_ready, 60, "the gateway's /ready")
        except (LabError, subprocess.CalledProcessError) as error:
            text = self.log_text()
            self.close()
            raise LabError(f"the gateway did not start: {error}\n{text}") from error

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise LabError(f"the gateway exited with {self.process.returncode}")
        try:
            return self.admin("/ready").strip() == "LIVE"
        except (urllib.error.URLError, OSError):
            return False

    def log_text(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def admin(self, path: str, method: str = "GET", timeout: float = 10) -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin_port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return response.read().decode()

    def stats(self, filter_expression: str = "") -> dict[str, int]:
        """Counters and gauges by name."""
        query = f"&filter={filter_expression}" if filter_expression else ""
        document = json.loads(self.admin(f"/stats?format=json{query}"))
        return {stat["name"]: stat["value"] for stat in document["stats"] if "name" in stat}

    def port_packets(self, port: str = "edge") -> tuple[int, int]:
        """Packets that the port received and sent."""
        stats = self.stats(f"^millrace.port.{port}")
        return stats[f"millrace.port.{port}.rx_packets"], stats[f"millrace.port.{port}.tx_packets"]

    def kernel_sockets(self) -> list[str]:
        """The gateway's kernel TCP sockets, the admin server's left out; there should be none, in any namespace."""
        found = []
        for prefix in ([], ["ip", "netns", "exec", self.namespace.name]):
            text = subprocess.run([*prefix, "ss", "-Htanp"], check=True, stdout=subprocess.PIPE, text=True).stdout
            found += [line for line in text.splitlines()
                      if f"pid={self.process.pid}," in line and f"127.0.0.1:{self.admin_port}" not in line]
        return found

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self, seconds: float = 30) -> int:
        """SIGTERM (a drain); returns the exit status."""
        return stop(self.process, seconds)

    def close(self, show_log: bool = False) -> None:
        if self.process is not None:
            stop(self.process, 15)
        if self._log is not None:
            self._log.close()
            self._log = None
        if show_log:
            print(f"---- gateway log ----\n{self.log_text()}\n---- end of gateway log ----")
        shutil.rmtree(self.directory, ignore_errors=True)


def static_cluster(name: str, endpoints: list[tuple[str, int]], extra: str = "") -> str:
    """A STATIC cluster as a line of YAML for `static_resources.clusters`."""
    lb = ", ".join(f"{{endpoint: {{address: {{socket_address: {{address: \"{a}\", port_value: {p}}}}}}}}}" for a, p in endpoints)
    return f"  - {{name: {name}, type: STATIC, load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{lb}]}}]}}{extra}}}\n"
