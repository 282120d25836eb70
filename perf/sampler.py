"""The gateway's own figures, read again and again while something else goes on."""

from __future__ import annotations

import threading
import time

RESIDENT = "server.memory_physical_size"
EDGE = "http.edge."  # the connection manager's figures


class Sampler:
    """A context manager. `samples` are (seconds since the start, {name: value})."""

    def __init__(self, gateway, interval: float):
        self.gateway, self.interval = gateway, interval
        self.samples: list[tuple[float, dict]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Sampler":
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._end.set()
        self._thread.join()

    def series(self, name: str) -> list[tuple[float, int]]:
        return [(at, values[name]) for at, values in self.samples if name in values]

    def most(self, name: str) -> int:
        return max((value for _, value in self.series(name)), default=0)

    def _run(self) -> None:
        while not self._end.wait(self.interval):
            try:
                values = self.gateway.stats()
            except OSError:
                continue  # busy, or gone: who needs the figures finds too few
            self.samples.append((time.monotonic() - self._began, values))
