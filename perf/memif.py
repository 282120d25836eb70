"""The part of the suite whose packets never pass a kernel: millload drives an unmodified gateway over shared memory."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import subprocess
import tempfile

import records
from gateway_config import bootstrap as one_route
from lab import Gateway, LabError, static_cluster
from machine import other_cpu, thread_seconds
from tls_files import TlsFiles

EDGE, INSIDE = "198.18.0", "198.18.1"  # networks of the clients and of the origin
PORTS = range(80, 84)                  # listeners: a client has 64,000 ports to each

DATAPLANE = """workers: {{count: 1, idle: POLL}}
packet_buffers: {buffers}
hugepages: {huge_pages}
ports:
- name: edge
  memif: {{socket: {directory}/edge.sock, role: {role}}}
  addresses: [{edge}/24]
  mtu: {mtu}
- name: inside
  memif: {{socket: {directory}/inside.sock, role: {role}}}
  addresses: [{inside}/24]
  mtu: {mtu}
"""


@dataclasses.dataclass(frozen=True)
class MemifCase:
    name: str
    response_bytes: int
    arguments: tuple[str, ...] = ()
    half_load: bool = False  # an open loop at half of the rate that is reached just before
    every_mtu: bool = False  # measured at each MTU, the others at the first
    tls: str = ""            # "mutual": both sides; "edge": clients alone, with certificates of theirs
    burst: int = 0           # connections that are opened at once behind the measurement


CASES = [MemifCase("http1-keepalive-64", 64), MemifCase("http1-keepalive-1k", 1024),
         MemifCase("http1-bulk-64k", 64 * 1024, every_mtu=True),
         MemifCase("http1-close-64", 64, ("--close",)), MemifCase("http1-close-1k", 1024, ("--close",)),
         MemifCase("http1-close-64k", 64 * 1024, ("--close",)),
         MemifCase("http1-latency-64", 64, half_load=True), MemifCase("http1-latency-1k", 1024, half_load=True),
         MemifCase("http1-latency-64k", 64 * 1024, half_load=True)]
TLS_CASES = [MemifCase("tls-keepalive-1k", 1024, tls="mutual"), MemifCase("tls-bulk-64k", 64 * 1024, tls="mutual"),
             MemifCase("tls-burst-5000", 1024, ("--rate", "5000"), tls="edge", burst=5000),
             MemifCase("tls-handshake-full", 64, ("--close",), tls="edge"),
             MemifCase("tls-handshake-resumed", 64, ("--close", "--tls-resume"), tls="edge")]


BURST_LIMIT_US = 1000  # by which a burst may move the others' p99: the goal


class PortRefused(LabError):
    """The gateway does not start with such a port; the text is its own."""


class MemifLab:
    """A gateway on two memif ports, and millload at their other ends."""

    def __init__(self, bootstrap, millload: pathlib.Path, buffers: int = 65_536, mtu: int = 1500, huge_pages: str = "IF_FREE",
                 tls: str = ""):
        """`bootstrap(addresses, clusters)` is the text of a configuration that listens on the addresses; `tls` as in MemifCase."""
        self.millload, self.buffers, self.mtu, self.huge_pages = millload, buffers, mtu, huge_pages
        self.directory = tempfile.TemporaryDirectory(prefix="millrace-memif-")
        addresses, endpoints = [(f"{EDGE}.2", port) for port in PORTS], [(f"{INSIDE}.1", 8000)]
        self.tls_arguments: list[str] = []
        if tls:
            files = TlsFiles(pathlib.Path(self.directory.name) / "tls")
            self.tls_arguments = self._tls_arguments(files, tls)
            extra = files.upstream() if tls == "mutual" else ""
            text = bootstrap(addresses, static_cluster("origin", endpoints, extra), files.downstream(client_certificates=True))
        else:
            text = bootstrap(addresses, static_cluster("origin", endpoints))
        self.gateway = Gateway(None, text, dataplane=self._dataplane("SERVER", 2), arguments=["-l", "warning"])
        self.load_path = pathlib.Path(self.directory.name) / "load.yaml"
        self.load_path.write_text(self._dataplane("CLIENT", 1))

    @staticmethod
    def _tls_arguments(files: TlsFiles, tls: str) -> list[str]:
        authority = str(files.authority.certificate)
        arguments = ["--tls", "--tls-cert", str(files.client[0]), "--tls-key", str(files.client[1]), "--tls-ca", authority]
        if tls == "mutual":
            arguments += ["--origin-tls-cert", str(files.origin[0]), "--origin-tls-key", str(files.origin[1]), "--origin-tls-ca", authority]
        return arguments

    def _dataplane(self, role: str, host: int) -> str:
        return DATAPLANE.format(buffers=self.buffers, directory=self.directory.name, role=role, edge=f"{EDGE}.{host}",
                                inside=f"{INSIDE}.{host}", mtu=self.mtu, huge_pages=self.huge_pages)

    def __enter__(self) -> "MemifLab":
        try:
            self.gateway.start()
        except LabError as error:
            self.directory.cleanup()
            refusal = re.search(r'port "\w+": .*\bmtu\b.*', str(error))
            raise PortRefused(refusal.group()) if refusal else error
        return self

    def __exit__(self, kind, *_) -> None:
        self.gateway.close(show_log=kind is not None)
        self.directory.cleanup()

    def load_cpu(self) -> int:
        """A CPU that is not the worker's, if there is one."""
        return other_cpu(self.gateway.stats("core")["millrace.worker.0.core"])

    def circumstances(self) -> dict:
        """What belongs into each record."""
        return {"mtu": self.mtu, "huge_pages": json.loads(self.gateway.admin("/millrace/nic"))["huge_pages"]}

    def run(self, name: str, *arguments: str, seconds: float = 5, warm_up: float = 1, timeout: float = 300, check: bool = True,
            real_time: bool = False) -> dict:
        """One measurement: {metric: value}, "valid", "text" and "records" beside. A void one is an error, if `check`."""
        result = pathlib.Path(self.directory.name) / "result.json"
        result.unlink(missing_ok=True)
        targets = [argument for port in PORTS for argument in ("--target", f"{EDGE}.2:{port}")]
        # Threads that the generator starts are ordinary ones.
        priority = ["chrt", "--reset-on-fork", "--fifo", "1"] if real_time else []
        command = [*priority, str(self.millload), "--dataplane", str(self.load_path), *targets, "--origin", f"{INSIDE}.1:8000", "--admin",
                   f"127.0.0.1:{self.gateway.admin_port}", "--name", name, "--duration", str(seconds), "--warm-up", str(warm_up),
                   "--cpu", str(self.load_cpu()), "--json", str(result), *self.tls_arguments, *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)
        if not result.exists():
            raise LabError(f"millload ended with {done.returncode}: {done.stderr[-2000:]}")
        document = json.loads(result.read_text())
        if check and not document["valid"]:
            raise LabError(f"void: {document['error']}")
        metrics = {record["metric"]: record["value"] for record in document["records"]}
        return metrics | {"valid": document["valid"], "error": document["error"], "text": done.stdout, "records": document["records"]}


def measure(case: MemifCase, mtu: int, options, millload: pathlib.Path, results: records.Results) -> None:
    """In a gateway of its own; a measurement with errors is a failure and leaves no record."""
    with MemifLab(one_route, millload, mtu=mtu, huge_pages="REQUIRED" if options.huge_pages else "NEVER", tls=case.tls) as lab:
        arguments = [*case.arguments, "--response-bytes", str(case.response_bytes)]
        if case.half_load:
            full = lab.run(case.name, *arguments, seconds=min(2, options.seconds))["requests_per_second"]
            arguments += ["--rate", str(full / 2)]
        beside = thread_seconds(lab.gateway.process.pid, "mr-tls-")
        if case.burst:
            arguments += ["--burst", str(case.burst)]
        metrics = lab.run(case.name, *arguments, seconds=options.seconds, timeout=options.seconds + 120, real_time=bool(case.burst))
        if case.burst:
            tell_burst(case, metrics, results)
        elif case.tls == "edge":
            tell_handshakes(case, metrics, thread_seconds(lab.gateway.process.pid, "mr-tls-") - beside, options.seconds)
        if metrics["errors"]:
            raise LabError(f"{metrics['errors']:.0f} connections were refused or broken")
        results.add_records(metrics["records"], **lab.circumstances())
        print(records.line(case.name, "memif", "millrace", mtu, metrics), flush=True)
        if case.half_load:
            print(f"{'':<20} without what was under way in the generator's {metrics['generator_gaps']:,.0f} gaps: "
                  f"p99 {metrics['undisturbed_p99_us']:,.0f} us, p99.9 {metrics['undisturbed_p999_us']:,.0f} us", flush=True)


def tell_burst(case: MemifCase, metrics: dict, results: records.Results) -> None:
    moved = metrics["burst_p99_us"] - metrics["p99_us"]
    print(f"{'':<20} {case.burst:,} new connections, all served in {metrics['burst_seconds']:.1f} s, moved the others' p99 from "
          f"{metrics['p99_us']:,.0f} us to {metrics['burst_p99_us']:,.0f} us", flush=True)
    if metrics["burst_refused"]:
        results.fail(case.name, f"{metrics['burst_refused']:.0f} connections of the burst were refused or broken")
    if moved > BURST_LIMIT_US:
        results.fail(case.name, f"the burst moved the p99 by {moved:,.0f} us, more than {BURST_LIMIT_US:,}")


def tell_handshakes(case: MemifCase, metrics: dict, thread_time: float, seconds: float) -> None:
    """What a handshake costs the threads that run them, beside what the worker spends on the connection."""
    handshakes = metrics["requests_per_second"] * (seconds + 1)  # the warm-up's, too
    microseconds = 1e6 * thread_time / max(handshakes, 1)
    metrics["records"].append({"case": case.name, "path": "memif", "subject": "millrace", "metric": "thread_us_per_handshake", "unit": "us",
                               "value": round(microseconds, 1)})
    print(f"{'':<20} a handshake costs {microseconds:,.0f} us of the threads beside the worker", flush=True)


def run(cases: list[MemifCase], options, millload: pathlib.Path, results: records.Results) -> None:
    for mtu in options.mtu:
        for case in [case for case in cases if case.every_mtu or mtu == options.mtu[0]]:
            with results.case(case.name):
                try:
                    measure(case, mtu, options, millload, results)
                except PortRefused as refusal:
                    results.leave_out(f"{case.name}, mtu {mtu}", str(refusal))
