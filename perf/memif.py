"""The part of the suite whose packets never pass a kernel: millload drives an unmodified gateway over shared memory."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import pathlib
import re
import subprocess
import tempfile
import time

import records
from gateway_config import bootstrap as one_route
from lab import Gateway, LabError, static_cluster, wait_until
from machine import other_cpu, thread_seconds
from tls_files import TlsFiles

# Networks of the clients, of the origin, and of a crowd that comes all at once.
EDGE, INSIDE, CROWD = "198.18.0", "198.18.1", "198.18.2"
PORTS = range(80, 84)                  # listeners: a client has 64,000 ports to each

DATAPLANE = """workers: {{count: 1, idle: {idle}}}
packet_buffers: {buffers}
hugepages: {huge_pages}
ports:
{ports}"""
PORT = """- name: {name}
  memif: {{socket: {directory}/{name}.sock, role: {role}}}
  addresses: [{address}/24]
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
    crypto_device: str = ""  # seals and opens the gateway's records; empty: IPsec-MB does


CASES = [MemifCase("http1-keepalive-64", 64), MemifCase("http1-keepalive-1k", 1024),
         MemifCase("http1-bulk-64k", 64 * 1024, every_mtu=True),
         MemifCase("http1-close-64", 64, ("--close",)), MemifCase("http1-close-1k", 1024, ("--close",)),
         MemifCase("http1-close-64k", 64 * 1024, ("--close",)),
         MemifCase("http1-latency-64", 64, half_load=True), MemifCase("http1-latency-1k", 1024, half_load=True),
         MemifCase("http1-latency-64k", 64 * 1024, half_load=True)]
TLS_CASES = [MemifCase("tls-keepalive-1k", 1024, tls="mutual"), MemifCase("tls-bulk-64k", 64 * 1024, tls="mutual"),
             MemifCase("tls-cryptodev-1k", 1024, tls="mutual", crypto_device="crypto_aesni_mb"),
             MemifCase("tls-cryptodev-64k", 64 * 1024, tls="mutual", crypto_device="crypto_aesni_mb"),
             MemifCase("tls-handshake-full", 64, ("--close",), tls="edge"),
             MemifCase("tls-handshake-resumed", 64, ("--close", "--tls-resume"), tls="edge")]


BURST = "tls-burst-5000"
BURST_CONNECTIONS = 5000
BURST_RATE = 5000      # requests per second on the connections that are there
BURST_LIMIT_US = 1000  # by which it may move their p99: the goal


class PortRefused(LabError):
    """The gateway does not start with such a port; the text is its own."""


class MemifLab:
    """A gateway on two memif ports, and millload at their other ends."""

    def __init__(self, bootstrap, millload: pathlib.Path, buffers: int = 65_536, mtu: int = 1500, huge_pages: str = "IF_FREE",
                 tls: str = "", crypto_device: str = "", crowd: bool = False):
        """`bootstrap(addresses, clusters)` is the text of a configuration that listens on the addresses; `tls` and `crypto_device` as in
        MemifCase. With `crowd` a third port, for crowd(), and loads that sleep when they have nothing to do, since several share a CPU."""
        self.millload, self.buffers, self.mtu, self.huge_pages = millload, buffers, mtu, huge_pages
        self.directory = tempfile.TemporaryDirectory(prefix="millrace-memif-")
        self.idle = "ADAPTIVE" if crowd else "POLL"
        addresses, endpoints = [(f"{EDGE}.2", port) for port in PORTS], [(f"{INSIDE}.1", 8000)]
        answered = {"answered": [(f"{CROWD}.2", port) for port in PORTS]} if crowd else {}
        self.tls_arguments: list[str] = []
        if tls:
            files = TlsFiles(pathlib.Path(self.directory.name) / "tls")
            self.tls_arguments = self._tls_arguments(files, tls)
            extra = files.upstream() if tls == "mutual" else ""
            text = bootstrap(addresses, static_cluster("origin", endpoints, extra), files.downstream(client_certificates=True), **answered)
        else:
            text = bootstrap(addresses, static_cluster("origin", endpoints))
        both, third = {"edge": EDGE, "inside": INSIDE}, {"crowd": CROWD} if crowd else {}
        engine = f"tls: {{record_engine: CRYPTODEV, crypto_device: {{name: {crypto_device}}}}}\n" if crypto_device else ""
        dataplane = self._dataplane("SERVER", 2, "POLL", both | third) + engine
        self.gateway = Gateway(None, text, dataplane=dataplane, arguments=["-l", "warning"])
        self.load_path = pathlib.Path(self.directory.name) / "load.yaml"
        self.load_path.write_text(self._dataplane("CLIENT", 1, self.idle, both))
        self.crowd_path = pathlib.Path(self.directory.name) / "crowd.yaml"
        self.crowd_path.write_text(self._dataplane("CLIENT", 1, self.idle, third))

    @staticmethod
    def _tls_arguments(files: TlsFiles, tls: str) -> list[str]:
        authority = str(files.authority.certificate)
        arguments = ["--tls", "--tls-cert", str(files.client[0]), "--tls-key", str(files.client[1]), "--tls-ca", authority]
        if tls == "mutual":
            arguments += ["--origin-tls-cert", str(files.origin[0]), "--origin-tls-key", str(files.origin[1]), "--origin-tls-ca", authority]
        return arguments

    def _dataplane(self, role: str, host: int, idle: str, networks: dict[str, str]) -> str:
        ports = "".join(PORT.format(name=name, directory=self.directory.name, role=role, address=f"{network}.{host}", mtu=self.mtu)
                        for name, network in networks.items())
        return DATAPLANE.format(buffers=self.buffers, idle=idle, huge_pages=self.huge_pages, ports=ports)

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


    def crowd(self, connections: int) -> subprocess.Popen:
        """As many connections at once, each for one request that the gateway answers; it ends with them, with 0 when all were served."""
        targets = [argument for port in PORTS for argument in ("--target", f"{CROWD}.2:{port}")]
        return subprocess.Popen([str(self.millload), "--dataplane", str(self.crowd_path), *targets, "--connections", str(connections),
                                 "--once", "--response-bytes", "0", "--cpu", str(self.load_cpu()), *self.tls_arguments],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def measure_burst(options, millload: pathlib.Path, results: records.Results) -> None:
    """What connections that are there feel of many that come at once, whose handshakes take the threads beside the worker seconds."""
    with MemifLab(one_route, millload, mtu=options.mtu[0], huge_pages="REQUIRED" if options.huge_pages else "NEVER", tls="edge",
                  crowd=True) as lab:
        handshakes = lambda: sum(lab.gateway.stats(r"^listener\..*ssl\.handshake$").values())
        arguments = ["--rate", str(BURST_RATE), "--response-bytes", "1024", "--later", str(2 * options.seconds)]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            load = pool.submit(lab.run, BURST, *arguments, seconds=options.seconds, real_time=True)
            wait_until(lambda: handshakes() > 0 or load.done(), 30, "the load")
            time.sleep(1 + options.seconds)  # its warm-up, and what is measured before
            crowd = lab.crowd(BURST_CONNECTIONS)
            try:
                metrics = load.result()
                seen = handshakes()
                text, _ = crowd.communicate(timeout=120)
            finally:
                crowd.kill()
        if crowd.returncode != 0:
            raise LabError(f"not all of the burst's connections were served: {text[-1000:]}")
        moved = metrics["later_p99_us"] - metrics["p99_us"]
        keep = ("p50_us", "p99_us", "p999_us", "later_p50_us", "later_p99_us", "later_p999_us", "errors", "later_errors")
        results.add_records([record for record in metrics["records"] if record["metric"] in keep], **lab.circumstances())
        print(f"{BURST:<20} {seen:,} handshakes while {BURST_CONNECTIONS:,} connections came at once moved the others' p50 from "
              f"{metrics['p50_us']:,.0f} to {metrics['later_p50_us']:,.0f} us, their p99 from {metrics['p99_us']:,.0f} to "
              f"{metrics['later_p99_us']:,.0f} us", flush=True)
        if metrics["errors"] or metrics["later_errors"]:
            results.fail(BURST, "connections that were there were broken")
        if moved > BURST_LIMIT_US:
            results.fail(BURST, f"the burst moved the p99 by {moved:,.0f} us, more than {BURST_LIMIT_US:,}")


def measure(case: MemifCase, mtu: int, options, millload: pathlib.Path, results: records.Results) -> None:
    """In a gateway of its own; a measurement with errors is a failure and leaves no record."""
    with MemifLab(one_route, millload, mtu=mtu, huge_pages="REQUIRED" if options.huge_pages else "NEVER", tls=case.tls,
                  crypto_device=case.crypto_device) as lab:
        arguments = [*case.arguments, "--response-bytes", str(case.response_bytes)]
        if case.half_load:
            full = lab.run(case.name, *arguments, seconds=min(2, options.seconds))["requests_per_second"]
            arguments += ["--rate", str(full / 2)]
        beside = thread_seconds(lab.gateway.process.pid, "mr-tls-")
        metrics = lab.run(case.name, *arguments, seconds=options.seconds, timeout=options.seconds + 120)
        if case.tls == "edge":
            tell_handshakes(case, metrics, thread_seconds(lab.gateway.process.pid, "mr-tls-") - beside, options.seconds)
        if metrics["errors"]:
            raise LabError(f"{metrics['errors']:.0f} connections were refused or broken")
        results.add_records(metrics["records"], **lab.circumstances())
        print(records.line(case.name, "memif", "millrace", mtu, metrics), flush=True)
        if case.half_load:
            print(f"{'':<20} without what was under way in the generator's {metrics['generator_gaps']:,.0f} gaps: "
                  f"p99 {metrics['undisturbed_p99_us']:,.0f} us, p99.9 {metrics['undisturbed_p999_us']:,.0f} us", flush=True)


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
