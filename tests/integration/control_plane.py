"""A control plane for the gateway's agent: tests/control_plane as a process on the host's loopback. See its README.md for the orders."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "xds"


class ControlPlane:
    """A context manager. `addresses` as --listen takes them; with port 0, `address` is the one that was chosen."""

    def __init__(self, *addresses: str, certificate: pathlib.Path | None = None, key: pathlib.Path | None = None,
                 client_ca: pathlib.Path | None = None):
        build = pathlib.Path(os.environ.get("MILLRACE_BUILD_DIR", ROOT / "build"))
        self._command = [str(build / "tests" / "control_plane" / "control_plane")]
        for option, value in (("--certificate", certificate), ("--key", key), ("--client-ca", client_ca)):
            self._command += [option, str(value)] if value else []
        self.addresses = list(addresses) or ["127.0.0.1:0"]
        self.process: subprocess.Popen | None = None
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        return self.addresses[0]

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def __enter__(self) -> "ControlPlane":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def start(self) -> None:
        """A new process, which knows nothing of an earlier one, at the same addresses."""
        listen = [part for address in self.addresses for part in ("--listen", address)]
        self.process = subprocess.Popen([*self._command, *listen], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addresses = self._answer()["listening"]

    def kill(self) -> None:
        """As a crash: no stream is ended, only connections."""
        self.process.kill()
        self._forget()

    @contextlib.contextmanager
    def hanging(self):
        """Its connections stay, and it does nothing at all. It takes no orders meanwhile."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        if self.process is None:
            return
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._forget()

    def _forget(self) -> None:
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process = None

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        assert line, f"control_plane ended with {self.process.wait(5)}"
        return json.loads(line)

    def tell(self, do: str, **fields) -> dict:
        """One order; its answer. May be called from several threads."""
        with self._lock:
            self.process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
            self.process.stdin.flush()
            answer = self._answer()
        assert "error" not in answer, f"{do}: {answer['error']}"
        return answer

    def set(self, kind: str, version: str, *resources, **more) -> None:
        """All of a type (CDS, EDS, ...), pushed to who asked for it."""
        self.tell("set", type=kind, version=version, resources=list(resources), **more)

    def update(self, kind: str, version: str, *resources, remove: list[str] | None = None, **more) -> None:
        self.tell("update", type=kind, version=version, resources=list(resources), remove=remove or [], **more)

    def wait_for_ack(self, kind: str, version: str, seconds: float = 20) -> None:
        answer = self.tell("wait", type=kind, version=version, seconds=seconds)
        assert answer["came"], f"{kind} {version} was not accepted within {seconds:g} s: {answer['last']}"

    def wait_for_nack(self, kind: str, version: str, seconds: float = 20) -> str:
        """What the client says is wrong."""
        answer = self.tell("wait", type=kind, version=version, seconds=seconds, **{"for": "nack"})
        assert answer["came"], f"{kind} {version} was not rejected within {seconds:g} s: {answer['last']}"
        return answer["last"]["nack"]["message"]

    def requests(self, first: int = 0) -> list[dict]:
        return self.tell("requests", first=first)["requests"]

    def requests_for(self, kind_url_end: str, first: int = 0) -> list[dict]:
        """The requests of a type, such as "Cluster", without what says who asks."""
        return [entry["request"] for entry in self.requests(first) if entry["request"].get("type_url", "").endswith("." + kind_url_end)]

    def load_reports(self, first: int = 0) -> list[dict]:
        """LoadStatsRequests, also those that only say who reports."""
        return [entry["report"] for entry in self.tell("load_reports", first=first)["reports"]]

    def streams(self) -> list[dict]:
        """Those that are open."""
        return self.tell("streams")["open"]
