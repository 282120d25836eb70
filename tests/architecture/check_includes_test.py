"""What check_includes.py catches and what it lets pass, in small trees of its own."""

import pathlib
import tempfile
import unittest

from check_includes import violations


def judged(files):
    """The (file, included) pairs found wrong in a tree of {path: [included, ...]}; every included project file exists."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for path, includes in files.items():
            for name in [path, *includes]:
                if name == path or "/" in name and not name.endswith(".pb.h") and not name.startswith(("openssl/", "sys/")):
                    (root / name).parent.mkdir(parents=True, exist_ok=True)
                    (root / name).touch()
        for path, includes in files.items():
            lines = [f'#include "{name}"' if "/" in name and name.endswith((".h", ".def")) else f"#include <{name}>"
                     for name in includes]
            (root / path).write_text("\n".join(lines) + "\n")
        return {(source, target) for source, _, target, _ in violations(root)}


class IncludeDirections(unittest.TestCase):
    def assert_wrong(self, source, target):
        self.assertEqual(judged({source: [target]}), {(source, target)})

    def assert_right(self, source, *targets):
        self.assertEqual(judged({source: list(targets)}), set())

    def test_a_room_may_know_what_stands_to_its_left(self):
        self.assert_right("dataplane/tcp/sender.cc", "dataplane/base/time.h", "dataplane/wire/tcp.h", "dataplane/ip/ip_layer.h",
                          "dataplane/stream/chain.h", "dataplane/tcp/sender.h", "nic/packet.h", "dataplane/report/report.h",
                          "vector")

    def test_no_room_may_know_what_stands_to_its_right(self):
        self.assert_wrong("dataplane/base/time.h", "dataplane/wire/tcp.h")
        self.assert_wrong("dataplane/wire/tcp.h", "dataplane/ip/ip_layer.h")
        self.assert_wrong("dataplane/tcp/sender.cc", "dataplane/http/codec.h")
        self.assert_wrong("dataplane/http/codec.h", "dataplane/proxy/route.h")
        self.assert_wrong("dataplane/proxy/route.cc", "dataplane/worker/worker.h")
        self.assert_wrong("dataplane/worker/worker.cc", "dataplane/app/main.h")

    def test_http_and_proxy_see_only_the_stream_of_a_transport(self):
        self.assert_wrong("dataplane/http/codec.h", "dataplane/tcp/connection.h")
        self.assert_wrong("dataplane/proxy/pool.cc", "dataplane/tcp/connection.h")
        self.assert_wrong("dataplane/proxy/pool.cc", "dataplane/host/socket.h")
        self.assert_right("dataplane/proxy/pool.cc", "dataplane/stream/byte_stream.h")

    def test_http_never_hears_of_routes(self):
        self.assert_wrong("dataplane/http/codec.h", "config/model/snapshot.h")

    def test_the_two_codecs_never_meet(self):
        self.assert_wrong("dataplane/http/http1/codec.cc", "dataplane/http/http2/session.h")
        self.assert_wrong("dataplane/http/http2/session.cc", "dataplane/http/http1/codec.h")
        self.assert_wrong("dataplane/http/codec.cc", "dataplane/http/http1/codec.h")
        self.assert_right("dataplane/http/http1/codec.cc", "dataplane/http/codec.h", "dataplane/http/http1/chunked.h")
        self.assert_right("dataplane/proxy/manager.cc", "dataplane/http/http1/codec.h", "dataplane/http/http2/session.h")

    def test_the_data_plane_sees_packets_and_ports_but_not_the_rest_of_nic(self):
        self.assert_right("dataplane/worker/worker.cc", "nic/packet.h", "nic/port.h", "nic/heap_pool.h")
        self.assert_wrong("dataplane/worker/worker.cc", "nic/mbuf_pool.h")
        self.assert_right("nic/mbuf_pool.cc", "nic/mbuf_pool.h", "nic/packet.h")
        self.assert_wrong("nic/packet.h", "nic/mbuf_pool.h")

    def test_a_library_stays_in_its_room(self):
        for library in ("rte_mbuf.h", "hwloc.h"):
            self.assert_right("nic/ethdev.cc", library)
            self.assert_wrong("dataplane/worker/worker.cc", library)
        for library in ("openssl/ssl.h", "intel-ipsec-mb.h"):
            self.assert_right("tls/session.cc", library)
            self.assert_wrong("nic/ethdev.cc", library)
            self.assert_wrong("control-agent/certificates.cc", library)
        self.assert_right("control-agent/bootstrap.cc", "envoy/config/bootstrap/v3/bootstrap.pb.h")
        self.assert_wrong("config/compile/routes.cc", "envoy/config/bootstrap/v3/bootstrap.pb.h")
        self.assert_wrong("config/model/snapshot.h", "google/protobuf/message.h")

    def test_the_agent_and_the_workers_meet_in_model_and_report_only(self):
        self.assert_right("control-agent/admin.cc", "config/model/slot.h", "config/compile/routes.h", "dataplane/report/report.h",
                          "dataplane/base/time.h")
        self.assert_wrong("control-agent/admin.cc", "dataplane/worker/worker.h")
        self.assert_wrong("dataplane/worker/worker.cc", "control-agent/admin.h")

    def test_the_app_wires_everything(self):
        self.assert_right("dataplane/app/main.cc", "control-agent/admin.h", "dataplane/worker/worker.h", "nic/eal.h",
                          "tls/engine.h", "config/model/slot.h")

    def test_nobody_includes_tests_or_benchmarks(self):
        self.assert_wrong("dataplane/app/main.cc", "tests/support/pipe.h")
        self.assert_wrong("dataplane/tcp/sender.cc", "perf/load.h")
        self.assert_right("tests/unit/tcp/sender_test.cc", "tests/support/pipe.h", "dataplane/tcp/sender.h", "rte_mbuf.h")

    def test_a_state_machine_has_no_socket_clock_or_thread(self):
        self.assert_wrong("dataplane/tcp/sender.cc", "sys/socket.h")
        self.assert_wrong("dataplane/http/http1/codec.cc", "thread")
        self.assert_right("dataplane/host/socket.cc", "sys/socket.h")

    def test_paths_start_at_the_root(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "dataplane/tcp/sender.cc")
            file.parent.mkdir(parents=True)
            file.write_text('#include "sender.h"\n#include "../tcp/sender.h"\n#include "dataplane/tcp/missing.h"\n')
            self.assertEqual([number for _, number, _, _ in violations(folder)], [1, 2, 3])

    def test_an_unknown_folder_needs_a_row(self):
        self.assert_wrong("dataplane/quic/packet.cc", "dataplane/base/time.h")


if __name__ == "__main__":
    unittest.main()
