#!/usr/bin/env python3
"""Fails on an #include that runs against the plan of docs/architecture.md.

usage: check_includes.py [ROOT]    prints one line per wrong include; exit code 1 if there is any

The plan is the three tables below: which folder may include which, which library's headers belong where, and what a pure state
machine may not include at all. A folder is governed by its own row or, without one, by that of its nearest parent.
"""

import pathlib
import re
import sys

CODE_FOLDERS = ("nic", "tls", "config", "dataplane", "control-agent", "perf", "tests")
SUFFIXES = {".h", ".cc", ".def", ".c", ".hpp", ".cpp"}

# The part of nic/ that names no DPDK type.
PACKETS = ("nic/packet.h", "nic/port.h", "nic/heap_pool.h")
BASE = ("dataplane/base/",)
# What every room of the data plane above base may see besides those to its left.
AROUND = BASE + PACKETS + ("dataplane/report/", "tls/")
TRANSPORT = AROUND + ("config/model/", "dataplane/stream/")
# Of TLS, the agent knows what is configured and what is shown of it.
TLS_CONTEXTS = ("tls/certificate.h", "tls/context.h", "tls/context_slot.h", "tls/digest.h", "tls/dns_name.h", "tls/library_client.h", "tls/signature.h")
ALL = ("nic/", "tls/", "config/", "dataplane/", "control-agent/")

# Folder or file -> what it may include besides what lies in itself.
ROOMS = {
    "dataplane/base": (),
    "dataplane/report": BASE,
    "nic": BASE + PACKETS + ("tls/", "nic/rules/"),
    "nic/rules": BASE + PACKETS + ("dataplane/wire/",),
    "nic/model": BASE + PACKETS + ("dataplane/wire/", "nic/rules/"),  # as a card does, it knows headers
    "nic/packet.h": BASE,
    "nic/port.h": BASE + PACKETS,
    "nic/heap_pool.h": BASE + PACKETS,
    "tls": BASE + PACKETS,
    "config/model": BASE + ("dataplane/report/",),  # a snapshot points to the cells of counters
    "config/compile": BASE + ("config/model/", "dataplane/report/"),
    "config/proto": (),
    "dataplane/wire": AROUND,
    "dataplane/ip": AROUND + ("config/model/", "dataplane/wire/"),
    "dataplane/stream": AROUND,
    "dataplane/tcp": TRANSPORT + ("dataplane/wire/", "dataplane/ip/"),
    "dataplane/host": TRANSPORT,
    "dataplane/secure": TRANSPORT,  # over any transport
    # A codec never hears of routes, and the contract never of its implementations.
    "dataplane/http": AROUND + ("dataplane/stream/",),
    "dataplane/http/http1": AROUND + ("dataplane/stream/", "dataplane/http/*"),
    "dataplane/http/http2": AROUND + ("dataplane/stream/", "dataplane/http/*"),
    # Of a transport, the proxy sees the byte stream only.
    "dataplane/proxy": TRANSPORT + ("dataplane/http/", "dataplane/secure/"),
    "dataplane/worker": TRANSPORT
    + tuple(f"dataplane/{room}/" for room in ("wire", "ip", "tcp", "host", "http", "secure", "proxy")),
    "dataplane/app": ALL,
    "control-agent": BASE + ("config/", "control-agent/secrets/", "dataplane/report/") + TLS_CONTEXTS,
    "control-agent/secrets": BASE + ("config/compile/",) + TLS_CONTEXTS,
    "perf": ALL + ("tests/",),
    "tests": ALL + ("perf/",),
}
FOLDERS = tuple(sorted((room for room in ROOMS if not room.endswith(".h")), key=len, reverse=True))

# A library's headers -> where they may be included. Tests and benchmarks may include any.
LIBRARIES = (
    ("DPDK", re.compile(r"^rte_\w+\.h$"), ("nic/",)),
    ("hwloc", re.compile(r"^hwloc(\.h$|/)"), ("nic/",)),
    ("OpenSSL", re.compile(r"^openssl/"), ("tls/",)),
    ("IPsec-MB", re.compile(r"^(intel-ipsec-mb|ipsec-mb)\.h$"), ("tls/",)),
    ("protobuf and gRPC", re.compile(r"^(google/protobuf/|grpc(pp)?/)|\.pb\.h$"), ("control-agent/", "config/proto/")),
    ("c-ares", re.compile(r"^ares"), ("control-agent/",)),
    ("libcurl", re.compile(r"^curl/"), ("control-agent/jwks/",)),
    ("PCRE2", re.compile(r"^pcre2\.h$"), ("control-agent/",)),
    ("nghttp2", re.compile(r"^nghttp2/"), ("dataplane/http/http2/",)),
    ("libpcap", re.compile(r"^pcap(\.h$|[-/])"), ("control-agent/",)),
    ("simdjson", re.compile(r"^simdjson\.h$"), ("dataplane/proxy/policy/",)),
    ("the agent's libraries", re.compile(r"^(yaml-cpp/|nlohmann/|spdlog/|prometheus/|CLI/|httplib\.h$)"),
     ("control-agent/", "dataplane/app/")),
)

# A state machine gets bytes and the time as arguments: no socket, clock, thread or lock of its own.
PURE = ("dataplane/wire/", "dataplane/ip/", "dataplane/stream/", "dataplane/tcp/", "dataplane/http/", "dataplane/proxy/", "dataplane/secure/",
        "config/compile/")
IMPURE = re.compile(r"^(sys/(socket|epoll|select|time|timerfd|eventfd|un)\.h|unistd\.h|poll\.h|netinet/.*|arpa/.*|netdb\.h"
                    r"|thread|mutex|shared_mutex|condition_variable|future|ctime|time\.h|pthread\.h)$")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def room_of(path):
    """The row that governs `path`: its own, or its nearest folder's."""
    if path in ROOMS:
        return path
    for room in FOLDERS:
        if path.startswith(room + "/"):
            return room
    return None


def covers(entry, target):
    """Whether the table entry admits the included file."""
    if entry.endswith("/*"):  # the files of this folder, not of its subfolders
        return target.rpartition("/")[0] == entry[:-2]
    return target.startswith(entry) if entry.endswith("/") else target == entry


def judge(source, target, root):
    """Why `source` may not include `target` (both from the root); None if it may."""
    room = room_of(source)
    if room is None:
        return "is in a folder that the plan does not know (a row in tests/architecture/check_includes.py)"
    outside = source.startswith(("tests/", "perf/"))
    for name, pattern, places in LIBRARIES:
        if pattern.search(target) and not outside and not source.startswith(places):
            return f"{name} belongs in {' and '.join(places)} only"
    if source.startswith(PURE) and IMPURE.match(target):
        return "a state machine has no socket, clock, thread or lock of its own"
    if target.split("/")[0] not in CODE_FOLDERS:
        return None
    if not (root / target).exists() and not (root / f"{target}.in").exists():
        return "no such file"
    if room_of(target) == room or any(covers(entry, target) for entry in ROOMS[room]):
        return None
    return f"{room} may not know {room_of(target) or target}"


def violations(root):
    """(file, line number, included file, reason) for every wrong include below `root`."""
    root = pathlib.Path(root).resolve()
    found = []
    for folder in CODE_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in SUFFIXES or not path.is_file():
                continue
            source = path.relative_to(root).as_posix()
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                quote, target = match.groups()
                reason = judge(source, target, root)
                if reason is None and quote == '"' and "/" not in target:
                    reason = 'what stands in "" is a path from the repository\'s root'
                if reason is None and ".." in target.split("/"):
                    reason = "a path from the repository's root, without '..'"
                if reason is not None:
                    found.append((source, number, target, reason))
    return found


def main():
    found = violations(sys.argv[1] if len(sys.argv) > 1 else ".")
    for source, number, target, reason in found:
        print(f"{source}:{number}: includes {target}: {reason}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
