"""The micro-benchmarks: shown as Google Benchmark shows them, recorded as everything else is."""

from __future__ import annotations

import json
import pathlib
import statistics
import subprocess
import tempfile

import records
from lab import LabError


HANDSHAKE_LIMIT = "tls-handshake-limit"
HANDSHAKES = ["ecdsa_mutual", "resumed_mutual"]
MOST_ABOVE_BARE = 0.10  # of the server's time: the goal

ROUTES = "routes"
ROUTE_COUNTS = [10, 1_000, 100_000]
PATHS_ASKED = {"": 64, "_any": 16_384}  # as few as the caches hold, and more than they do
MOST_ABOVE_FEWEST = 2.0  # of the time with the fewest routes: the goal, while the caches hold what is asked for


def benchmarks(program: pathlib.Path, *arguments: str, quiet: bool = False) -> list[dict]:
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / "micro.json"
        done = subprocess.run([program, f"--benchmark_out={out}", "--benchmark_out_format=json", *arguments], check=False,
                              stdout=subprocess.DEVNULL if quiet else None)
        if done.returncode != 0:
            raise LabError(f"{program} ended with {done.returncode}")
        return json.loads(out.read_text())["benchmarks"]


def run(program: pathlib.Path, results: records.Results) -> None:
    for benchmark in benchmarks(program):
        figures = {"nanoseconds": round(benchmark["cpu_time"], 2)}
        allocations = 0
        if "allocs" in benchmark:  # handshakes, which are OpenSSL's, do not count them
            allocations = round(benchmark["allocs"], 3)  # a few around the loop are none of an operation's
            figures["allocations"] = allocations
        results.add(f"micro-{benchmark['name']}", "micro", "millrace", figures)
        if allocations:
            results.fail(benchmark["name"], f"{allocations:g} allocations per operation")


def routes(program: pathlib.Path, results: records.Results) -> None:
    """Time to find the virtual host and the route of a request among 10, 1,000 and 100,000 of one virtual host: medians of turns about."""
    measured = benchmarks(program, "--benchmark_filter=route_in_one_host|paths_alone", "--benchmark_repetitions=7",
                          "--benchmark_enable_random_interleaving=true", "--benchmark_min_time=0.2", quiet=True)

    def runs_of(name: str) -> list[dict]:
        return [run for run in measured if run["run_type"] == "iteration" and run["run_name"] == name]

    def median(runs: list[dict]) -> float:
        return round(statistics.median(run["cpu_time"] for run in runs), 1)

    times = {}
    for count in ROUTE_COUNTS:
        figures = {}
        for suffix, paths in PATHS_ASKED.items():
            runs = runs_of(f"route_in_one_host/{count}/{paths}")
            figures[f"nanoseconds{suffix}"] = median(runs)
            figures["build_ms"] = round(statistics.median(run["build_ms"] for run in runs), 2)
            figures["index_bytes"] = round(runs[0]["index_bytes"])
        times[count] = figures["nanoseconds"]
        results.add(f"{ROUTES}-{count}", "micro", "millrace", figures)
        print(f"{ROUTES:<20} {count:,}: {figures['nanoseconds']:,.0f} ns for 64 paths in turn, {figures['nanoseconds_any']:,.0f} ns for 16,384; "
              f"index {figures['index_bytes'] / 1e6:,.2f} MB in {figures['build_ms']:,.1f} ms", flush=True)
    alone = {f"nanoseconds{suffix}": median(runs_of(f"paths_alone/{ROUTE_COUNTS[-1]}/{paths}")) for suffix, paths in PATHS_ASKED.items()}
    results.add(f"{ROUTES}-paths-alone", "micro", "millrace", alone)
    print(f"{ROUTES:<20} of which the walk over the paths alone: {alone['nanoseconds']:,.1f} ns for 64, {alone['nanoseconds_any']:,.1f} ns for 16,384",
          flush=True)
    above = times[ROUTE_COUNTS[-1]] / times[ROUTE_COUNTS[0]]
    if above > MOST_ABOVE_FEWEST:
        results.fail(ROUTES, f"{above:.1f} times the time of {ROUTE_COUNTS[0]} routes are more than {MOST_ABOVE_FEWEST:g}")


def handshake_limit(program: pathlib.Path, results: records.Results) -> None:
    """What a server's half of a handshake costs with us, beside a bare loop around SSL_do_handshake: medians of turns about."""
    measured = benchmarks(program, f"--benchmark_filter=handshake/({'|'.join(HANDSHAKES)})$", "--benchmark_repetitions=7",
                          "--benchmark_enable_random_interleaving=true", "--benchmark_min_time=0.5", quiet=True)
    for kind in HANDSHAKES:
        ours, bare = (statistics.median(run["server_us"] for run in measured
                                        if run["run_type"] == "iteration" and run["run_name"].startswith(f"{who}/{kind}"))
                      for who in ("handshake", "bare_handshake"))
        above = ours / bare - 1
        results.add(f"{HANDSHAKE_LIMIT}-{kind}", "micro", "millrace", {"server_us": round(ours, 1), "bare_server_us": round(bare, 1)})
        print(f"{HANDSHAKE_LIMIT:<20} {kind}: {ours:,.0f} us of the server's CPU, in a bare loop {bare:,.0f} us: {above * 100:+.1f} %",
              flush=True)
        if above > MOST_ABOVE_BARE:
            results.fail(HANDSHAKE_LIMIT, f"{kind}: {above * 100:.1f} % above a bare loop are more than {MOST_ABOVE_BARE * 100:.0f} %")
