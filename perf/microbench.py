"""The micro-benchmarks: shown as Google Benchmark shows them, recorded as everything else is."""

from __future__ import annotations

import json
import pathlib
import subprocess
import tempfile

import records
from lab import LabError


def run(program: pathlib.Path, results: records.Results) -> None:
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / "micro.json"
        done = subprocess.run([program, f"--benchmark_out={out}", "--benchmark_out_format=json"], check=False)
        if done.returncode != 0:
            raise LabError(f"{program} ended with {done.returncode}")
        for benchmark in json.loads(out.read_text())["benchmarks"]:
            figures = {"nanoseconds": round(benchmark["cpu_time"], 2)}
            allocations = 0
            if "allocs" in benchmark:  # handshakes, which are OpenSSL's, do not count them
                allocations = round(benchmark["allocs"], 3)  # a few around the loop are none of an operation's
                figures["allocations"] = allocations
            results.add(f"micro-{benchmark['name']}", "micro", "millrace", figures)
            if allocations:
                results.fail(benchmark["name"], f"{allocations:g} allocations per operation")
