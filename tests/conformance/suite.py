"""The registry of checks, what a check gets, and the runner.

A check is a function of one argument, the Context `t`; it returns when the subject did what the RFC says and raises Failed when not.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import os
import pathlib
import queue
import random
import struct
import threading
import time
import traceback

import packet
from endpoint import Fetch, HttpOrigin, ahead, pattern
from packet import Packet
from peer import Failed, Peer
from subjects import ORIGIN_PORT, RAW_ORIGINS, SUBJECTS, raw_numbers, raw_origin
from wire import ROUTER, ROUTER6, Host, Wire

# The files of checks, in the order of the table.
GROUPS = ["link", "ip", "fragments", "icmp", "handshake", "options", "data", "sack", "window", "congestion", "close", "reset",
          "attack", "ipv6", "active_open"]
AT_ONCE, RETRIED_AT_ONCE = 32, 4


@dataclasses.dataclass(frozen=True)
class Check:
    """One behaviour. `alone`: floods and the like, which would disturb others."""
    group: str
    rfc: str
    text: str
    function: object
    alone: bool = False

    @property
    def name(self) -> str:
        return f"{self.group}.{self.function.__name__}"


@dataclasses.dataclass
class Outcome:
    check: Check
    passed: bool
    seconds: float
    failure: str = ""
    retried: bool = False


CHECKS: list[Check] = []


def check(rfc: str, text: str, alone: bool = False):
    """Registers a function as the check of one behaviour: where the RFC says it, and what it says."""
    def register(function):
        CHECKS.append(Check(function.__module__.rpartition(".")[2], rfc, text, function, alone))
        return function
    return register


def load() -> list[Check]:
    CHECKS.clear()
    for group in GROUPS:
        if (pathlib.Path(__file__).parent / "checks" / f"{group}.py").exists():
            importlib.import_module(f"checks.{group}")
    names = [one.name for one in CHECKS]
    rows = [(one.group, one.rfc, one.text) for one in CHECKS]
    assert len(set(names)) == len(names) and len(set(rows)) == len(rows), "two checks have one name"
    return list(CHECKS)


def unique(packets: list[Packet]) -> list[Packet]:
    """Segments in the order of their sequence numbers, retransmissions left out."""
    found: dict[int, Packet] = {}
    for p in packets:
        found.setdefault(p.seq, p)
    first = packets[0].seq if packets else 0
    return sorted(found.values(), key=lambda p: ahead(p.seq, first))


class RawOrigin:
    """An origin that the check plays: the subject connects to it when a client asks for `path`."""

    def __init__(self, context: "Context", number: int):
        self.context, self.number = context, number
        self.host = context.claim_host(raw_origin(number))
        self.path = f"/raw/{number}/x"

    def expect_syn(self, within: float = 5, **options) -> Peer:
        """The subject's SYN (or SYN to a port of its own choice), as a Peer in the passive role; nothing is answered yet."""
        syn = self.context.expect_packet(self.host, lambda p: p.kind == "tcp" and "S" in p.flags and "A" not in p.flags,
                                         within, "the subject's SYN to the origin")
        made = self.context.peer(host=self.host, port=ORIGIN_PORT, peer_port=syn.sport, **options)
        made.take_syn(syn)
        made.got.append(syn)
        return made

    def accept(self, within: float = 5, **options) -> Peer:
        """A whole passive handshake."""
        made = self.expect_syn(within, **options)
        made.answer_syn()
        made.expect("A", ack=made.snd_nxt, within=within, what="the handshake's last ACK")
        # The ACK may carry the request already; hand it out again.
        if made.got[-1].data:
            made.put_back(made.got.pop())
        return made


class Context:
    """What one run of one check gets: hosts of its own, peers, good clients, raw origins."""

    def __init__(self, runner: "Runner", number: int):
        self.runner, self.wire = runner, runner.wire
        self.started = time.monotonic()
        self.number = number
        self._hosts: list[Host] = []
        self._peers: list[Peer] = []
        self._fetches: list[Fetch] = []
        self._ports = itertools.count(random.randrange(20000, 50000))
        self.host = self.claim_host(f"198.18.{10 + number // 200}.{10 + number % 200}")
        self.host6 = self.claim_host(f"2001:db8:18::1:{number + 1:x}")

    # -- making --
    def claim_host(self, address: str, **options) -> Host:
        made = self.wire.add_host(address, **options)
        self._hosts.append(made)
        return made

    def extra_host(self, **options) -> Host:
        """One more on-link IPv4 host."""
        number = next(self.runner.extra_numbers)
        return self.claim_host(f"198.18.{100 + number // 200}.{10 + number % 200}", **options)

    def extra_host6(self, **options) -> Host:
        return self.claim_host(f"2001:db8:18::2:{next(self.runner.extra_numbers) + 1:x}", **options)

    def far_host(self) -> Host:
        """An IPv4 host behind the router."""
        number = next(self.runner.extra_numbers)
        return self.claim_host(f"198.19.{100 + number // 200}.{10 + number % 200}", mac=self.wire.router.mac)

    def port(self) -> int:
        return next(self._ports)

    def peer(self, v: int = 4, *, host: Host | None = None, port: int | None = None, peer_port: int = 80, **options) -> Peer:
        """A scripted peer that has sent nothing yet."""
        made = Peer(self, host or (self.host6 if v == 6 else self.host), port or self.port(), peer_port, **options)
        self._peers.append(made)
        return made

    def connect(self, v: int = 4, **options) -> Peer:
        """A scripted client with an open connection to the proxy."""
        return self.peer(v, **options).open()

    def origin(self, v: int = 4) -> RawOrigin:
        numbers = self.runner.raw_numbers6 if v == 6 else self.runner.raw_numbers
        return RawOrigin(self, numbers.get_nowait())

    def flight(self, size: int = 200_000, delay: float = 0.3, v: int = 4, **options) -> tuple[Peer, list[Packet]]:
        """A client that has asked for `size` bytes and acknowledged none, and the first flight in its order. With a handshake of
        `delay` the subject's retransmission timeout is far beyond the noise of this machine."""
        c = self.peer(v, **options).open(delay=delay)
        c.send(data=self.request(f"/bytes/{size}"))
        first = c.expect(where=lambda p: p.data, within=5, what="the answer's first segment")
        packets = [first] + c.collect(2, quiet=0.15, started=True)
        return c, unique([p for p in packets if p.data])

    def icmp_error(self, about: Packet, kind: int, code: int, rest: bytes = bytes(4), seq: int | None = None, size: int = 28) -> None:
        """An ICMP error from the router that quotes the subject's own segment, or a forged one with another sequence number."""
        quoted = about.frame[14:]
        if about.version == 6:
            if seq is not None:
                quoted = quoted[:44] + struct.pack("!I", seq % packet.MOD) + quoted[48:]
            body = packet.icmp6(ROUTER6, about.src, kind, code, rest + quoted[:1200])
            self.host6.send_ip(packet.ip6(ROUTER6, about.src, packet.ICMP6, body))
            return
        if seq is not None:
            quoted = quoted[:24] + struct.pack("!I", seq % packet.MOD) + quoted[28:]
        self.host.send_ip(packet.ip4(ROUTER, about.src, packet.ICMP, packet.icmp(kind, code, rest, quoted[:size]), df=False))

    def echo(self, data: bytes = b"0123456789abcdef", *, host: Host | None = None, **fields) -> Packet | None:
        """Sends an echo request, its IP header changed by `fields`, and returns the reply if one comes within 1.5 s."""
        host = host or self.host
        ident = random.getrandbits(32).to_bytes(4, "big")
        if host.version == 6:
            body = packet.icmp6(host.address, fields.get("target", host.gateway), 128, 0, ident + data)
            host.send(packet.ICMP6, body, **fields)
        else:
            host.send(packet.ICMP, packet.icmp(8, 0, ident, data), **fields)
        return self.echo_reply(ident, host)

    def echo_reply(self, ident: bytes, host: Host | None = None, within: float = 1.5) -> Packet | None:
        kinds = (("icmp", 0), ("icmp6", 129))
        try:
            is_reply = lambda p: (p.kind, getattr(p, "type", None)) in kinds and p.rest == ident
            return self.expect_packet(host or self.host, is_reply, within)
        except Failed:
            return None

    def silent(self, address: str, send, seconds: float = 1.0, what: str = "answer") -> None:
        """Nothing is sent to `address`, which need not be a host here, within `seconds` of calling `send`."""
        came: list[Packet] = []
        watch = lambda p: came.append(p) if p.dst == address and p.kind != "arp" else None
        self.wire.monitors.append(watch)
        try:
            send()
            time.sleep(seconds)
        finally:
            self.wire.monitors.remove(watch)
        self.require(not came, f"expected no {what}; came: {came and came[0]}")

    def proxied(self, v: int = 4, client_options: dict | None = None, **options) -> tuple[Peer, Peer]:
        """(client, origin side): a client whose request the subject has carried to a raw origin that this check plays."""
        origin = self.origin(v)
        client = self.connect(**(client_options or {}))
        client.send(data=self.request(origin.path))
        return client, origin.accept(**options)

    def request(self, path: str = "/bytes/10", body: bytes = b"", length: int | None = None, extra: str = "") -> bytes:
        """An HTTP request; `length` announces more body than is there."""
        size = len(body) if length is None else length
        method = "POST" if size else "GET"
        entity = f"Content-Length: {size}\r\n" if size else ""
        return f"{method} {path} HTTP/1.1\r\nHost: suite\r\n{entity}{extra}\r\n".encode() + body

    def fetch(self, path: str = "/bytes/10", body: bytes = b"", host: Host | None = None, v: int = 4) -> Fetch:
        """A good client's request, started."""
        made = Fetch(host or (self.host6 if v == 6 else self.host), self.port(), path, body)
        self._fetches.append(made)
        return made

    # -- judging --
    def require(self, condition, text: str) -> None:
        if not condition:
            raise Failed(text)

    def served(self, what: str = "afterwards", within: float = 10, v: int = 4) -> None:
        """A good client is served."""
        self.require(self.fetch("/bytes/1000", v=v).wait(within) == pattern(1000), f"a good client was not served {what}")

    def exchange(self, peer: Peer, size: int = 1000, within: float = 8) -> None:
        """A request and its answer on an open connection."""
        peer.send(data=self.request(f"/bytes/{size}"))
        self.require(peer.read_response(within) == pattern(size), "the answer's body is not what the origin sent")

    def expect_packet(self, host: Host, where, within: float = 3, what: str = "a packet") -> Packet:
        deadline, came = time.monotonic() + within, []
        while (left := deadline - time.monotonic()) > 0:
            try:
                p = host.inbox.get(timeout=left)
            except queue.Empty:
                break
            came.append(p)
            if where(p):
                return p
        raise Failed(f"expected {what} within {within:g} s; came: " + ("; ".join(map(str, came[-6:])) or "nothing"))

    def expect_no_packet(self, host: Host, seconds: float, where=lambda p: True, what: str = "packet") -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                p = host.inbox.get(timeout=left)
            except queue.Empty:
                return
            if where(p):
                raise Failed(f"expected no {what} for {seconds:g} s; came: {p}")

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    # -- ending --
    def close(self) -> None:
        for fetch in self._fetches:
            fetch.endpoint.abort()
        for peer in self._peers:
            if peer.syn is not None:
                peer.reset()
        for host in self._hosts:
            host.closed = True

    def packets(self) -> str:
        """What the hosts of this check sent and received, for a failure's text."""
        return "\n".join(host.text(self.started) for host in self._hosts if host.trace)


SLOWNESS = 4 if os.environ.get("MILLRACE_SANITIZE") else 1  # a sanitized gateway takes that much longer for what it does
RETRIES = 3  # a busy machine must not be taken for a wrong answer; the last time each check is alone
BATCH_SECONDS = 240.0  # a check that hangs must not keep the others


class Runner:
    """Runs checks against one subject, many at once, each failed one again, with few others, the last time with none."""

    def __init__(self, subject, wire: Wire):
        self.subject, self.wire = subject, wire
        self._numbers = itertools.count()
        self.extra_numbers = itertools.count()
        self.raw_numbers: queue.SimpleQueue = queue.SimpleQueue()
        self.raw_numbers6: queue.SimpleQueue = queue.SimpleQueue()
        for number in raw_numbers():
            (self.raw_numbers if number < RAW_ORIGINS else self.raw_numbers6).put(number)
        HttpOrigin(wire.router, ORIGIN_PORT)

    def run(self, checks: list[Check], report=lambda _: None, retry=lambda _: True) -> list[Outcome]:
        by_name: dict[str, Outcome] = {}
        # Failed checks run again before the floods, whose traces would disturb them.
        for chosen, at_once, again_at_once in (([one for one in checks if not one.alone], AT_ONCE, RETRIED_AT_ONCE),
                                               ([one for one in checks if one.alone], 1, 1)):
            outcomes = self._batch(chosen, at_once, report)
            by_name.update((one.check.name, one) for one in outcomes)
            for retries_left in reversed(range(RETRIES)):
                failed = [one.check for one in outcomes if not one.passed and retry(one.check) and self.subject.alive()]
                outcomes = self._batch(failed, again_at_once if retries_left else 1, lambda one: report(dataclasses.replace(one, retried=True)))
                by_name.update((one.check.name, dataclasses.replace(one, retried=True)) for one in outcomes)
        return [by_name[one.name] for one in checks]

    def _batch(self, checks: list[Check], at_once: int, report) -> list[Outcome]:
        work: queue.SimpleQueue = queue.SimpleQueue()
        for one in checks:
            work.put(one)
        outcomes: list[Outcome] = []

        def loop():
            while True:
                try:
                    one = work.get_nowait()
                except queue.Empty:
                    return
                outcome = self._one(one)
                outcomes.append(outcome)
                report(outcome)

        threads = [threading.Thread(target=loop, daemon=True) for _ in range(min(at_once, len(checks)))]
        deadline = time.monotonic() + BATCH_SECONDS
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        ended = {one.check.name for one in outcomes}
        hanging = [Outcome(one, False, BATCH_SECONDS, "did not end") for one in checks if one.name not in ended]
        for outcome in hanging:
            report(outcome)
        return list(outcomes) + hanging

    def _one(self, one: Check) -> Outcome:
        started = time.monotonic()
        if not self.subject.alive():
            return Outcome(one, False, 0, "the subject has died before this check")
        context = Context(self, next(self._numbers))
        failure = ""
        try:
            one.function(context)
        except Failed as error:
            failure = str(error)
        except Exception:  # a mistake in the check is a failure too, with its place
            failure = traceback.format_exc()
        text = f"{failure}\n{context.packets()}" if failure else ""
        context.close()
        if not failure and not self.subject.alive():
            text = "the subject died during this check"
        return Outcome(one, not text, time.monotonic() - started, text)


def run_subject(kind: str, checks: list[Check], report=lambda _: None, retry=lambda _: True) -> list[Outcome]:
    """All `checks` against the subject "millrace" or "linux"."""
    subject = SUBJECTS[kind]()
    with subject as wire:
        return Runner(subject, wire).run(checks, report, retry)
