"""The parts of perf/bench and perf/report that need no machine: what they read, how they count, what they write."""

import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "perf"), str(ROOT / "deploy" / "lab")]

import discovery  # noqa: E402
import kernel  # noqa: E402
import machine  # noqa: E402
import records  # noqa: E402
import results_page  # noqa: E402
import soak  # noqa: E402
from lab import LabError  # noqa: E402
from sampler import RESIDENT  # noqa: E402

WRK = """Running 1s test @ http://198.18.0.2/body-64
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    43.20ms   65.12ms 337.24ms   94.96%
    Req/Sec     1.12k   566.17     1.69k    60.00%
  Latency Distribution
     50%  926.00us
     75%   37.41ms
     90%    1.20s
     99%  327.60ms
  575 requests in 2.02s, 36.47MB read
"""


def record(case, metric, value, path="memif", subject="millrace", **more):
    return {"case": case, "path": path, "subject": subject, "metric": metric, "unit": "1", "value": value} | more


def results_of(*entries, **more):
    return results_page.ResultsFile("run", {"records": list(entries)} | more)


class Wrk(unittest.TestCase):
    def test_reads_counts_and_times_in_any_unit(self):
        figures = kernel.parse_wrk(WRK)
        self.assertEqual(figures, {"requests": 575, "seconds": 2.02, "p50_us": 926, "p90_us": 1_200_000, "p99_us": 327_600, "errors": 0})

    def test_counts_every_kind_of_error(self):
        text = WRK + "  Socket errors: connect 1, read 2, write 0, timeout 4\n  Non-2xx or 3xx responses: 10\n"
        self.assertEqual(kernel.parse_wrk(text)["errors"], 17)

    def test_nothing_measured_is_an_error(self):
        for text in ("", "  0 requests in 2.02s, 0B read\n", "  575 requests in 2.02s, 36.47MB read\n"):
            with self.assertRaises(LabError):
                kernel.parse_wrk(text)


class CoreTime(unittest.TestCase):
    def test_is_all_but_idle_waiting_and_stolen_time(self):
        text = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\ncpu1 100 20 300 9999 8888 4 50 7777 0 0\n"
        time = machine.parse_core_time(text, 1)
        self.assertAlmostEqual(time.process, 420 / machine.TICKS)
        self.assertAlmostEqual(time.interrupt, 54 / machine.TICKS)
        self.assertAlmostEqual((time - machine.CoreTime(1, 0)).busy, 474 / machine.TICKS - 1)


class Comparison(unittest.TestCase):
    def test_is_the_median_of_the_pairs_and_skips_what_failed(self):
        results = records.Results({})
        kernel.compare(kernel.CASES[0], {("millrace", "tap"): [100, 50, None, 90], ("nginx", "veth"): [50, 100, 10, 30]}, results)
        self.assertEqual([(r["metric"], r["value"]) for r in results.records], [("ratio_to_nginx", 2)])


class Failures(unittest.TestCase):
    def test_a_case_that_fails_is_told_and_leaves_no_record(self):
        results = records.Results({})
        with results.case("first"):
            raise LabError("void: wrong bytes")
        self.assertEqual(results.failures, ["first: void: wrong bytes"])
        self.assertEqual(results.records, [])


class Soak(unittest.TestCase):
    @staticmethod
    def samples(values):
        class Samples:
            def series(self, name):
                return [(at, values(at) if name == RESIDENT else 7) for at in range(1, 101)]
        return Samples()

    def test_what_fills_in_the_first_quarter_is_no_leak(self):
        self.assertEqual(soak.leaks(self.samples(lambda at: 10**8 + min(at, 25) * 10**6)), [])

    def test_what_grows_on_is(self):
        found = soak.leaks(self.samples(lambda at: 10**8 + at * 10**6))
        self.assertEqual(len(found), 1)
        self.assertIn(RESIDENT, found[0])

    def test_too_few_samples_prove_nothing(self):
        with self.assertRaises(LabError):
            soak.growth([(1, 1), (2, 1)])

    def test_what_is_left_behind_is_named(self):
        start = {"millrace.worker.0.packets_in_use": 10}
        end = {"millrace.worker.0.packets_in_use": 500, "millrace.worker.0.tcp.connections.established": 2,
               "http.edge.downstream_cx_active": 0, "cluster.origin.upstream_cx_active": 1}
        self.assertEqual(len(soak.left_behind(end, start)), 3)
        self.assertEqual(soak.left_behind(start, start), [])


class Page(unittest.TestCase):
    def test_rounds_become_their_median_and_mtus_stay_apart(self):
        results = results_of(*(record("http1-bulk-64k", "busy_cycles_per_request", value, mtu=1500) for value in (1, 2, 9)),
                             record("http1-bulk-64k", "busy_cycles_per_request", 5, mtu=9000))
        table = results_page.throughput_table(results)
        self.assertIn("| http1-bulk-64k |  |  | 2 |", table)
        self.assertIn("| http1-bulk-64k, mtu 9000 |  |  | 5 |", table)

    def test_older_files_have_no_mtu(self):
        results = results_of(record("http1-latency-64", "p99_us", 18.25))
        self.assertIn("| http1-latency-64 |  |  | 18.2 |", results_page.latency_table(results))

    def test_a_page_has_what_was_measured_and_what_was_not(self):
        results = results_of(record("micro-checksum/64", "nanoseconds", 8.5, path="micro"), failures=["soak: leaks"],
                             left_out=[{"case": "envoy", "reason": "not installed"}])
        page = results_page.page([results], {"Micro-benchmarks": ["picture.png"]})
        for text in ("## Micro-benchmarks", "![Micro-benchmarks](picture.png)", "| checksum/64 | 8.5 |", "- failed: soak: leaks",
                     "- left out: envoy: not installed"):
            self.assertIn(text, page)
        self.assertNotIn("## Memory", page)


class Xds(unittest.TestCase):
    def test_the_longest_turn_is_of_the_last_bucket_that_counted(self):
        before = discovery.turns({discovery.TURNS + "64": 3, discovery.TURNS + "1024": 1, discovery.TURNS + "more": 5, "server.uptime": 9})
        after = discovery.turns({discovery.TURNS + "64": 9, discovery.TURNS + "1024": 2, discovery.TURNS + "more": 5})
        self.assertEqual(discovery.longest_turn(before, after), 1024)
        self.assertEqual(discovery.longest_turn(after, after), 0)
        self.assertEqual(discovery.longest_turn({}, {discovery.LONGER_US: 1}), discovery.LONGER_US)


if __name__ == "__main__":
    unittest.main()
