"""A small well-behaved TCP for the roles that a check does not script: the origin behind the proxy, and good clients.

In order, cumulative acknowledgements at once, retransmission after a timeout from SND.UNA, no SACK, no timestamps. It runs in the
wire's thread under the wire's lock. On top of it: an HTTP origin whose answers follow from the path, and a client for one request.
"""

from __future__ import annotations

import functools
import hashlib
import random
import threading

import packet

RETRANSMIT_S = 0.4
IN_FLIGHT_BYTES = 48 * 1024
SHIFT = 7


def less(a: int, b: int) -> bool:
    """a < b in sequence space."""
    return (a - b) % packet.MOD >= packet.MOD // 2


def ahead(a: int, b: int) -> int:
    """a - b in sequence space, signed."""
    distance = (a - b) % packet.MOD
    return distance - packet.MOD if distance >= packet.MOD // 2 else distance


class Endpoint:
    """One connection. `on_data(endpoint)` when `received` grew, `on_end(endpoint)` once: peer closed, reset, or gave up."""

    def __init__(self, host, port: int, peer_port: int, on_data=None, on_end=None, peer: str | None = None):
        self.host, self.port, self.peer_port, self.peer = host, port, peer_port, peer or host.gateway
        self.on_data, self.on_end = on_data or (lambda _: None), on_end or (lambda _: None)
        self.iss = random.getrandbits(32)
        self.snd_una, self.snd_nxt, self.rcv_nxt = self.iss, self.iss + 1, 0
        self.peer_window, self.peer_shift, self.peer_mss = 0, 0, 536
        self.buffer, self.received = bytearray(), bytearray()   # buffer starts at SND.UNA (once established)
        self.state, self.fin_wanted, self.fin_sent, self.peer_fin, self.ended = "syn-sent", False, False, False, ""
        self.early: dict[int, tuple[bytes, bool]] = {}
        self._timer_generation, self._retries = 0, 0
        host.connections[port, peer_port] = self

    # -- opening --
    def connect(self) -> None:
        self._segment("S", self.iss, packet.opt_mss(self._mss()) + packet.opt_wscale(SHIFT))
        self._arm()

    def accept(self, syn) -> None:
        self.state = "syn-received"
        self._learn(syn)
        self._syn_ack()
        self._arm()

    def _mss(self) -> int:
        return 1440 if self.host.version == 6 else 1460

    def _syn_ack(self) -> None:
        shift = packet.opt_wscale(SHIFT) if self.scaled else b""
        self._segment("SA", self.iss, packet.opt_mss(self._mss()) + shift)

    def _learn(self, syn) -> None:
        self.rcv_nxt = (syn.seq + 1) % packet.MOD
        self.scaled = "wscale" in syn.options
        self.peer_shift = syn.options.get("wscale", 0)
        self.peer_mss = min(syn.options.get("mss", 536), self._mss())
        self.peer_window = syn.win

    # -- using --
    def write(self, data: bytes) -> None:
        with self.host.wire.lock:
            self.buffer += data
            self._push()

    def close(self) -> None:
        with self.host.wire.lock:
            self.fin_wanted = True
            self._push()

    def abort(self) -> None:
        with self.host.wire.lock:
            if not self.ended:
                self._segment("RA", self.snd_nxt)
                self._end("aborted")

    # -- segments --
    def _segment(self, flags: str, seq: int, options: bytes = b"", data: bytes = b"") -> None:
        window = 65535 if "S" in flags else (1 << 20) >> SHIFT if getattr(self, "scaled", False) else 65535
        ack = self.rcv_nxt if "A" in flags else 0
        raw = packet.tcp(self.host.address, self.peer, self.port, self.peer_port, seq, ack, flags, window, options, data)
        self.host.send(packet.TCP, raw, target=self.peer)

    def deliver(self, p) -> None:
        with self.host.wire.lock:
            if not self.ended and p.valid:
                self._on_segment(p)

    def _on_segment(self, p) -> None:
        if "R" in p.flags:
            self._end("reset")
            return
        if self.state == "syn-sent":
            if "S" in p.flags and "A" in p.flags and p.ack == (self.iss + 1) % packet.MOD:
                self._learn(p)
                self.snd_una = self.snd_nxt = p.ack
                self.state = "open"
                self._segment("A", self.snd_nxt)
                self._push()
            return
        if "S" in p.flags:
            self._syn_ack() if self.state == "syn-received" else self._segment("A", self.snd_nxt)
            return
        if self.state == "syn-received" and p.ack == (self.iss + 1) % packet.MOD:
            self.state = "open"
            self.snd_una = self.snd_nxt = p.ack
        if self.state == "open":
            self._on_ack(p)
            self._on_bytes(p)

    def _on_ack(self, p) -> None:
        self.peer_window = p.win << self.peer_shift
        acked = ahead(p.ack, self.snd_una)
        if 0 < acked <= ahead(self.snd_nxt, self.snd_una):
            del self.buffer[:acked]
            self.snd_una = p.ack
            self._retries = 0
            self._timer_generation += 1
            if self.snd_una != self.snd_nxt:
                self._arm()
        self._push()
        if self.fin_sent and self.snd_una == self.snd_nxt and self.peer_fin:
            self._end("closed")

    def _on_bytes(self, p) -> None:
        if not p.span:
            return
        if ahead(p.seq, self.rcv_nxt) > 0:
            self.early[p.seq] = (p.data, "F" in p.flags)
        skip = ahead(self.rcv_nxt, p.seq)
        before = len(self.received)
        if 0 <= skip < p.span or skip == p.span == 0:
            self._take(p.data[skip:], "F" in p.flags)
            while self.early:
                seq = next((s for s, (d, f) in self.early.items() if ahead(s, self.rcv_nxt) <= 0), None)
                if seq is None:
                    break
                data, fin = self.early.pop(seq)
                over = ahead(self.rcv_nxt, seq)
                if over < len(data) + fin:
                    self._take(data[over:], fin)
        self._segment("A", self.snd_nxt)
        if len(self.received) > before:
            self.on_data(self)
        if self.peer_fin and not self.ended:
            self.fin_wanted = True
            self._push()
            self.on_end(self)

    def _take(self, data: bytes, fin: bool) -> None:
        self.received += data
        self.rcv_nxt = (self.rcv_nxt + len(data)) % packet.MOD
        if fin and not self.peer_fin:
            self.peer_fin = True
            self.rcv_nxt = (self.rcv_nxt + 1) % packet.MOD

    def _push(self) -> None:
        if self.state != "open" or self.ended or self.fin_sent:
            return
        while True:
            sent = ahead(self.snd_nxt, self.snd_una)
            room = min(self.peer_window, IN_FLIGHT_BYTES) - sent
            data = bytes(self.buffer[sent:sent + min(self.peer_mss, max(room, 0))])
            if not data:
                break
            was_idle = sent == 0
            self._segment("PA", self.snd_nxt, data=data)
            self.snd_nxt = (self.snd_nxt + len(data)) % packet.MOD
            if was_idle:
                self._arm()
        if self.buffer and ahead(self.snd_nxt, self.snd_una) == 0:
            self._arm()  # the window is closed: the timer probes it
        if self.fin_wanted and ahead(self.snd_nxt, self.snd_una) == len(self.buffer):
            self._segment("FA", self.snd_nxt)
            self.snd_nxt = (self.snd_nxt + 1) % packet.MOD
            self.fin_sent = True
            self._arm()

    def _arm(self) -> None:
        self._timer_generation += 1
        generation = self._timer_generation
        self.host.wire.call_later(RETRANSMIT_S * (1 << min(self._retries, 4)), lambda: self._on_timeout(generation))

    def _on_timeout(self, generation: int) -> None:
        if generation != self._timer_generation or self.ended:
            return
        self._retries += 1
        if self._retries > 8:
            self._end("timed out")
            return
        if self.state == "syn-sent":
            self._segment("S", self.iss, packet.opt_mss(self._mss()) + packet.opt_wscale(SHIFT))
        elif self.state == "syn-received":
            self._syn_ack()
        elif self.buffer:
            data = bytes(self.buffer[:self.peer_mss if self.peer_window else 1])
            self._segment("PA", self.snd_una, data=data)
            if self.snd_nxt == self.snd_una:
                self.snd_nxt = (self.snd_una + len(data)) % packet.MOD
        elif self.fin_sent and self.snd_una != self.snd_nxt:
            self._segment("FA", self.snd_una)
        else:
            return
        self._arm()

    def _end(self, why: str) -> None:
        self.ended = why
        self.host.connections.pop((self.port, self.peer_port), None)
        self.on_end(self)


@functools.lru_cache(maxsize=4)
def _pattern(size: int) -> bytes:
    return hashlib.shake_256(b"millrace").digest(size)


def pattern(size: int) -> bytes:
    """The body of /bytes/<size>: `size` reproducible bytes in which no part looks like another."""
    return _pattern(1 << 22)[:size]


class HttpOrigin:
    """HTTP/1.1 with keep-alive. /bytes/N answers N bytes; /close/N the same and closes; /echo the request's body; /hang nothing."""

    def __init__(self, host, port: int):
        self.host, self.port = host, port
        host.listeners[port] = self._on_packet

    def _on_packet(self, p) -> None:
        if p.flags.replace("E", "").replace("W", "") == "S":
            with self.host.wire.lock:
                Endpoint(self.host, self.port, p.sport, self._on_data, peer=p.src).accept(p)

    def _on_data(self, endpoint: Endpoint) -> None:
        while True:
            head, mark, rest = bytes(endpoint.received).partition(b"\r\n\r\n")
            if not mark:
                return
            first, *lines = head.decode("latin-1").split("\r\n")
            fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = int(fields.get("content-length", 0))
            if len(rest) < length:
                return
            del endpoint.received[:len(head) + 4 + length]
            self._answer(endpoint, first.split(" ")[1], bytes(rest[:length]))

    @staticmethod
    def _answer(endpoint: Endpoint, path: str, body: bytes) -> None:
        _, kind, *arguments = path.split("/")
        if kind == "hang":
            return
        if kind in ("bytes", "close"):
            body = pattern(int(arguments[0]))
        extra = "Connection: close\r\n" if kind == "close" else ""
        endpoint.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body)
        if kind == "close":
            endpoint.close()


class Fetch:
    """A good client's one request, running in the wire's thread; `wait()` returns the body or None."""

    def __init__(self, host, port: int, path: str, body: bytes = b"", target_port: int = 80):
        self.done = threading.Event()
        self.body: bytes | None = None
        self.endpoint = Endpoint(host, port, target_port, self._on_data, lambda _: self.done.set())
        method = "POST" if body else "GET"
        self.endpoint.write(f"{method} {path} HTTP/1.1\r\nHost: suite\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        with host.wire.lock:
            self.endpoint.connect()

    def _on_data(self, endpoint: Endpoint) -> None:
        self.body = response_body(bytes(endpoint.received))
        if self.body is not None:
            endpoint.close()
            self.done.set()

    def wait(self, seconds: float = 10) -> bytes | None:
        self.done.wait(seconds)
        self.endpoint.abort()
        return self.body


def response_body(raw: bytes) -> bytes | None:
    """The body of a complete response with a content-length, or None."""
    head, mark, rest = raw.partition(b"\r\n\r\n")
    if not mark:
        return None
    for line in head.decode("latin-1").lower().split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.strip() == "content-length":
            length = int(value)
            return rest[:length] if len(rest) >= length else None
    return None
