"""The part of the suite whose packets never pass a kernel: millload drives an unmodified gateway over shared memory."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile

from lab import Gateway, LabError, static_cluster

EDGE, INSIDE = "198.18.0", "198.18.1"  # networks of the clients and of the origin
PORTS = range(80, 84)                  # listeners: a client has 64,000 ports to each

DATAPLANE = """workers: {{count: 1, idle: POLL}}
packet_buffers: {buffers}
ports:
- name: edge
  memif: {{socket: {directory}/edge.sock, role: {role}}}
  addresses: [{edge}/24]
- name: inside
  memif: {{socket: {directory}/inside.sock, role: {role}}}
  addresses: [{inside}/24]
"""


@dataclasses.dataclass(frozen=True)
class MemifCase:
    name: str
    response_bytes: int
    arguments: tuple[str, ...] = ()
    half_load_of: str = ""  # an open loop at half of the rate that this case reached


CASES = [MemifCase("http1-keepalive-64", 64), MemifCase("http1-keepalive-1k", 1024), MemifCase("http1-bulk-64k", 64 * 1024),
         MemifCase("http1-close-64", 64, ("--close",)), MemifCase("http1-close-1k", 1024, ("--close",)),
         MemifCase("http1-close-64k", 64 * 1024, ("--close",)),
         MemifCase("http1-latency-64", 64, half_load_of="http1-keepalive-64"),
         MemifCase("http1-latency-1k", 1024, half_load_of="http1-keepalive-1k"),
         MemifCase("http1-latency-64k", 64 * 1024, half_load_of="http1-bulk-64k")]


class MemifLab:
    """A gateway on two memif ports, and millload at their other ends."""

    def __init__(self, bootstrap, millload: pathlib.Path, buffers: int = 65_536):
        """`bootstrap(addresses, clusters)` is the text of a configuration that listens on the addresses."""
        self.millload, self.buffers = millload, buffers
        self.directory = tempfile.TemporaryDirectory(prefix="millrace-memif-")
        text = bootstrap([(f"{EDGE}.2", port) for port in PORTS], static_cluster("origin", [(f"{INSIDE}.1", 8000)]))
        self.gateway = Gateway(None, text, dataplane=self._dataplane("SERVER", 2), arguments=["-l", "warning"])
        self.load_path = pathlib.Path(self.directory.name) / "load.yaml"
        self.load_path.write_text(self._dataplane("CLIENT", 1))

    def _dataplane(self, role: str, host: int) -> str:
        return DATAPLANE.format(buffers=self.buffers, directory=self.directory.name, role=role, edge=f"{EDGE}.{host}",
                                inside=f"{INSIDE}.{host}")

    def __enter__(self) -> "MemifLab":
        self.gateway.start()
        return self

    def __exit__(self, kind, *_) -> None:
        self.gateway.close(show_log=kind is not None)
        self.directory.cleanup()

    def load_cpu(self) -> int:
        """A CPU that is not the worker's, if there is one."""
        worker = self.gateway.stats("core")["millrace.worker.0.core"]
        return next((cpu for cpu in sorted(os.sched_getaffinity(0)) if cpu != worker), worker)

    def run(self, name: str, *arguments: str, seconds: float = 5, warm_up: float = 1, timeout: float = 300, check: bool = True) -> dict:
        """One measurement: {metric: value}, "valid", "text" and "records" beside. A void one is an error, if `check`."""
        result = pathlib.Path(self.directory.name) / "result.json"
        result.unlink(missing_ok=True)
        targets = [argument for port in PORTS for argument in ("--target", f"{EDGE}.2:{port}")]
        command = [str(self.millload), "--dataplane", str(self.load_path), *targets, "--origin", f"{INSIDE}.1:8000", "--admin",
                   f"127.0.0.1:{self.gateway.admin_port}", "--name", name, "--duration", str(seconds), "--warm-up", str(warm_up),
                   "--cpu", str(self.load_cpu()), "--json", str(result), *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)
        if not result.exists():
            raise LabError(f"millload ended with {done.returncode}: {done.stderr[-2000:]}")
        document = json.loads(result.read_text())
        if check and not document["valid"]:
            raise LabError(f"{name}: void: {document['error']}\n{done.stdout}")
        metrics = {record["metric"]: record["value"] for record in document["records"]}
        return metrics | {"valid": document["valid"], "error": document["error"], "text": done.stdout, "records": document["records"]}


def run_cases(lab: MemifLab, cases: list[MemifCase], seconds: float, show) -> list[dict]:
    """All records. `show(case, metrics)` prints a line of the table."""
    records, reached = [], {}
    for case in cases:
        arguments = [*case.arguments, "--response-bytes", str(case.response_bytes)]
        if case.half_load_of:
            full = next(c for c in CASES if c.name == case.half_load_of)
            if full.name not in reached:
                reached[full.name] = lab.run(full.name, "--response-bytes", str(full.response_bytes), seconds=1)["requests_per_second"]
            arguments += ["--rate", str(reached[full.name] / 2)]
        metrics = lab.run(case.name, *arguments, seconds=seconds)
        reached[case.name] = metrics["requests_per_second"]
        records += metrics["records"]
        show(case, metrics)
    return records
