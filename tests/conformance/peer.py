"""A scripted TCP peer: sends exactly what a check says, and says what it expected when something else comes.

Nothing is automatic except the bookkeeping of sequence numbers and, once negotiated, the timestamps option.
"""

from __future__ import annotations

import queue
import random
import time

import packet
from endpoint import ahead
from packet import Packet


class Failed(AssertionError):
    """A check found something else than it expected."""


def matches_flags(p: Packet, flags: str) -> bool:
    """S, F and R must be as given, A present if given; P, U, E, W do not matter (a check asks for them itself)."""
    if any((letter in p.flags) != (letter in flags) for letter in "SFR"):
        return False
    return "A" not in flags or "A" in p.flags


class Peer:
    """One end of one connection with the subject, on a made-up host."""

    def __init__(self, check, host, port: int, peer_port: int, *, mss: int | None = 1460, wscale: int | None = None,
                 sack: bool = False, ts: bool = False, win: int = 65535, iss: int | None = None, ecn: bool = False):
        self.check, self.host, self.port, self.peer_port = check, host, port, peer_port
        self.mss, self.wscale, self.sack, self.ts, self.win, self.ecn = mss, wscale, sack, ts, win, ecn
        self.iss = random.getrandbits(32) if iss is None else iss
        self.snd_nxt = self.iss            # next sequence number that this peer sends
        self.rcv_nxt = 0                   # next that it expects
        self.irs = 0
        self.got: list[Packet] = []        # everything taken from the inbox, in order
        self.ts_offset, self.ts_recent = random.getrandbits(31), 0
        self.ts_on, self.subject_shift = False, 0
        self.tos = 0                       # of the packets that this peer sends
        self.inbox: queue.SimpleQueue = queue.SimpleQueue()
        self.syn: Packet | None = None
        self._again: list[Packet] = []
        host.connections[port, peer_port] = self

    def deliver(self, p: Packet) -> None:
        self.inbox.put(p)

    # -- sending --
    def ts_now(self) -> int:
        return (int(time.monotonic() * 1000) + self.ts_offset) % packet.MOD

    def syn_options(self) -> bytes:
        raw = b""
        if self.mss is not None:
            raw += packet.opt_mss(self.mss)
        if self.sack:
            raw += packet.opt_sack_permitted()
        if self.ts:
            raw += packet.opt_timestamps(self.ts_now(), self.ts_recent)
        if self.wscale is not None:
            raw += packet.opt_wscale(self.wscale)
        return raw

    def build(self, flags: str = "A", data: bytes = b"", *, seq: int | None = None, ack: int | None = None, win: int | None = None,
              options: bytes | None = None, urg: int = 0, ts: tuple[int, int] | None = None, extra: bytes = b"", **wrong) -> bytes:
        """A segment as bytes. Without `seq` it takes the next sequence number and advances it; `extra` follows the timestamps."""
        if seq is None:
            seq = self.snd_nxt
            self.snd_nxt = (self.snd_nxt + len(data) + ("S" in flags) + ("F" in flags)) % packet.MOD
        if options is None:
            options = packet.opt_timestamps(*(ts or (self.ts_now(), self.ts_recent))) if self.ts_on or ts else b""
        acknowledge = (self.rcv_nxt if ack is None else ack) if "A" in flags else (ack or 0)
        return packet.tcp(self.host.address, self.host.gateway, self.port, self.peer_port, seq, acknowledge, flags,
                          self.win if win is None else win, options + extra, data, urg, **wrong)

    def send(self, flags: str = "A", data: bytes = b"", **fields) -> None:
        if "P" not in flags and data and "S" not in flags:
            flags += "P"
        self.host.send(packet.TCP, self.build(flags, data, **fields), **self._ip_fields())

    def _ip_fields(self) -> dict:
        if not self.tos:
            return {}
        return {"traffic_class": self.tos} if self.host.version == 6 else {"tos": self.tos}

    def ack(self, **fields) -> None:
        self.send("A", **fields)

    def send_syn(self, flags: str = "S", data: bytes = b"", options: bytes | None = None, **fields) -> None:
        if self.ecn and flags == "S":
            flags = "SEW"
        self.snd_nxt = self.iss
        self.send(flags, data, options=self.syn_options() if options is None else options, win=fields.pop("win", min(self.win, 65535)),
                  **fields)

    def reset(self) -> None:
        self.host.send(packet.TCP, self.build("RA", seq=self.snd_nxt, options=b""))

    # -- opening --
    def open(self, within: float = 5, delay: float = 0) -> "Peer":
        """The client's three-way handshake; `delay` before the last ACK is the round trip that the subject measures."""
        self.send_syn()
        self.take_syn_ack(self.expect("SA", within=within, what="a SYN-ACK"))
        time.sleep(delay)
        self.ack()
        return self

    def take_syn_ack(self, p: Packet) -> None:
        self.syn, self.irs = p, p.seq
        self.rcv_nxt = (p.seq + 1) % packet.MOD
        self.subject_shift = p.options.get("wscale", 0) if self.wscale is not None else 0
        self.ts_on = self.ts and "ts" in p.options
        self.note(p)

    def take_syn(self, p: Packet) -> None:
        """The subject's SYN, for the passive role."""
        self.syn, self.irs = p, p.seq
        self.rcv_nxt = (p.seq + 1) % packet.MOD
        self.ts_on = self.ts and "ts" in p.options
        self.subject_shift = p.options.get("wscale", 0) if self.wscale is not None else 0
        self.note(p)

    def answer_syn(self, **fields) -> None:
        """SYN-ACK with the options that both sides want, then expects nothing yet."""
        options = b""
        if self.mss is not None:
            options += packet.opt_mss(self.mss)
        if self.sack and "sack_ok" in self.syn.options:
            options += packet.opt_sack_permitted()
        if self.ts_on:
            options += packet.opt_timestamps(self.ts_now(), self.ts_recent)
        if self.wscale is not None and "wscale" in self.syn.options:
            options += packet.opt_wscale(self.wscale)
        self.send("SA", options=fields.pop("options", options), **fields)

    def note(self, p: Packet) -> None:
        if "ts" in p.options:
            self.ts_recent = p.options["ts"][0]

    # -- receiving --
    def next(self, within: float = 1) -> Packet | None:
        """The next segment, or None."""
        try:
            p = self._again.pop(0) if self._again else self.inbox.get(timeout=max(within, 0.0001))
        except queue.Empty:
            return None
        self.got.append(p)
        if p.valid and "ts" in p.options and ahead(p.seq, self.rcv_nxt) <= 0:
            self.note(p)
        return p

    def put_back(self, *packets: Packet) -> None:
        """Segments that next() returns again, before all others."""
        self._again = list(packets) + self._again

    def drain(self) -> None:
        while self.next(0) is not None:
            pass

    def expect(self, flags: str | None = None, *, seq: int | None = None, ack: int | None = None, data: bytes | None = None,
               length: int | None = None, where=None, within: float = 3, what: str = "") -> Packet:
        """The first segment within `within` seconds that is as described; others are passed over."""
        deadline = time.monotonic() + within
        came = []
        while (left := deadline - time.monotonic()) > 0:
            p = self.next(left)
            if p is None:
                break
            came.append(p)
            if ((flags is None or matches_flags(p, flags)) and (seq is None or p.seq == seq % packet.MOD)
                    and (ack is None or ("A" in p.flags and p.ack == ack % packet.MOD)) and (data is None or p.data == data)
                    and (length is None or len(p.data) == length) and (where is None or where(p))):
                return p
        wanted = {"flags": flags, "seq": seq, "ack": ack, "data": data and f"{len(data)} bytes", "length": length}
        text = ", ".join(f"{name} {value if not isinstance(value, int) else value % packet.MOD}"
                         for name, value in wanted.items() if value is not None)
        raise Failed(f"expected {what or 'a segment'} ({text}) within {within:g} s; came: "
                     + ("nothing" if not came else "; ".join(str(p) for p in came[-6:])))

    def expect_none(self, seconds: float, where=lambda p: True, what: str = "a segment") -> None:
        """No segment that `where` holds for arrives in the time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            p = self.next(left)
            if p is None:
                return
            if where(p):
                raise Failed(f"expected no {what} for {seconds:g} s; came: {p}")

    def collect(self, seconds: float, quiet: float | None = None, started: bool = False) -> list[Packet]:
        """All segments of a time, or until `quiet` seconds without one (after the first, unless `started`)."""
        deadline, found = time.monotonic() + seconds, []
        while (left := deadline - time.monotonic()) > 0:
            p = self.next(min(left, quiet) if quiet and (found or started) else left)
            if p is None:
                break
            found.append(p)
        return found

    def read(self, size: int, within: float = 8, acknowledge: bool = True, every: int = 1) -> bytes:
        """At least `size` bytes in order, each `every`th segment acknowledged."""
        data, held, count = bytearray(), {}, 0
        deadline = time.monotonic() + within
        while len(data) < size:
            p = self.next(max(deadline - time.monotonic(), 0))
            if p is None:
                raise Failed(f"expected {size} bytes within {within:g} s; came {len(data)}")
            if "R" in p.flags:
                raise Failed(f"expected {size} bytes; came {len(data)}, then a reset: {p}")
            if not p.data:
                continue
            if ahead(p.seq, self.rcv_nxt) <= 0 < ahead(p.seq + len(p.data), self.rcv_nxt):
                part = p.data[ahead(self.rcv_nxt, p.seq):]
                data += part
                self.rcv_nxt = (self.rcv_nxt + len(part)) % packet.MOD
                self.note(p)
                while self.rcv_nxt in held:
                    part = held.pop(self.rcv_nxt)
                    data += part
                    self.rcv_nxt = (self.rcv_nxt + len(part)) % packet.MOD
            elif ahead(p.seq, self.rcv_nxt) > 0:
                held[p.seq] = p.data
            count += 1
            if acknowledge and (count % every == 0 or len(data) >= size):
                self.ack()
        return bytes(data)

    def read_response(self, within: float = 8) -> bytes:
        """A whole HTTP response with a content-length, acknowledged; returns its body."""
        from endpoint import response_body
        data = b""
        deadline = time.monotonic() + within
        while (body := response_body(data)) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failed(f"expected a whole response within {within:g} s; came {len(data)} bytes")
            data += self.read(1, left)
        return body

    def in_flight(self, packets: list[Packet]) -> int:
        """Bytes beyond RCV.NXT that `packets` carry, retransmissions counted once."""
        return max([ahead(p.seq + len(p.data), self.rcv_nxt) for p in packets if p.data], default=0)
