"""Frames as bytes and back: Ethernet, ARP, IPv4, IPv6, ICMP, UDP, TCP.

Building knows how to be wrong on purpose (every field can be overridden, checksums included). Parsing is lenient and only says
whether lengths and checksums were right, so that what the subject sends can be judged.
"""

from __future__ import annotations

import ipaddress
import socket
import struct

ETH_ARP, ETH_IP4, ETH_IP6 = 0x0806, 0x0800, 0x86DD
ICMP, TCP, UDP, ICMP6, FRAGMENT6 = 1, 6, 17, 58, 44
MOD = 1 << 32
FLAGS = "FSRPAUEWN"  # bits 0 to 8: FIN SYN RST PSH ACK URG ECE CWR NS


def checksum(data: bytes) -> int:
    """The Internet checksum. Ones' complement addition is addition modulo 65535, which Python does on the whole buffer at once."""
    if len(data) & 1:
        data += b"\0"
    remainder = int.from_bytes(data, "big") % 0xFFFF
    return 0xFFFF - remainder if remainder or not any(data) else 0


def checksum_holds(data: bytes) -> bool:
    if len(data) & 1:
        data += b"\0"
    return int.from_bytes(data, "big") % 0xFFFF == 0


def ip_bytes(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def ip_text(raw: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET6 if len(raw) == 16 else socket.AF_INET, raw)


def mac_text(raw: bytes) -> str:
    return raw.hex(":")


def solicited_node(address: str) -> str:
    """The multicast group on which neighbours ask for an IPv6 address."""
    return str(ipaddress.IPv6Address(bytes.fromhex("ff0200000000000000000001ff") + ip_bytes(address)[13:]))


def multicast_mac(address: str) -> bytes:
    raw = ip_bytes(address)
    return b"\x33\x33" + raw[12:] if len(raw) == 16 else bytes((1, 0, 0x5E, raw[1] & 0x7F)) + raw[2:]


def pseudo_header(source: str, target: str, protocol: int, length: int) -> bytes:
    if ":" in source:
        return ip_bytes(source) + ip_bytes(target) + struct.pack("!II", length, protocol)
    return ip_bytes(source) + ip_bytes(target) + struct.pack("!BBH", 0, protocol, length)


# ---- TCP options -------------------------------------------------------------------------------------------------------------

def opt_mss(value: int) -> bytes:
    return struct.pack("!BBH", 2, 4, value)


def opt_wscale(shift: int) -> bytes:
    return bytes((1, 3, 3, shift))


def opt_sack_permitted() -> bytes:
    return bytes((1, 1, 4, 2))


def opt_timestamps(value: int, echo: int) -> bytes:
    return struct.pack("!BBBBII", 1, 1, 8, 10, value % MOD, echo % MOD)


def opt_sack(*blocks: tuple[int, int]) -> bytes:
    body = b"".join(struct.pack("!II", left % MOD, right % MOD) for left, right in blocks)
    return bytes((1, 1, 5, 2 + len(body))) + body


def parse_options(raw: bytes) -> dict:
    """mss, wscale, sack_ok, ts (value, echo), sack (blocks), and kinds in their order."""
    found: dict = {"kinds": []}
    at = 0
    while at < len(raw):
        kind = raw[at]
        if kind == 0:
            break
        if kind == 1:
            at += 1
            continue
        if at + 1 >= len(raw) or raw[at + 1] < 2 or at + raw[at + 1] > len(raw):
            found["malformed"] = True
            break
        body = raw[at + 2:at + raw[at + 1]]
        found["kinds"].append(kind)
        if kind == 2 and len(body) == 2:
            found["mss"] = int.from_bytes(body, "big")
        elif kind == 3 and len(body) == 1:
            found["wscale"] = body[0]
        elif kind == 4:
            found["sack_ok"] = True
        elif kind == 5:
            found["sack"] = [struct.unpack_from("!II", body, i) for i in range(0, len(body) - 7, 8)]
        elif kind == 8 and len(body) == 8:
            found["ts"] = struct.unpack("!II", body)
        at += raw[at + 1]
    return found


# ---- Building ----------------------------------------------------------------------------------------------------------------

def flag_bits(flags: str) -> int:
    return sum(1 << FLAGS.index(letter) for letter in flags)


def tcp(source: str, target: str, sport: int, dport: int, seq: int, ack: int = 0, flags: str = "A", win: int = 65535,
        options: bytes = b"", data: bytes = b"", urg: int = 0, *, offset: int | None = None, bad_checksum: bool = False,
        reserved: int = 0) -> bytes:
    """A TCP segment. `offset` overrides the header length in 32-bit words; `options` are padded to a multiple of four."""
    options += b"\0" * (-len(options) % 4)
    words = 5 + len(options) // 4 if offset is None else offset
    head = struct.pack("!HHIIHHHH", sport, dport, seq % MOD, ack % MOD, words << 12 | reserved << 9 | flag_bits(flags), win, 0, urg)
    raw = head + options + data
    value = checksum(pseudo_header(source, target, TCP, len(raw)) + raw)
    if bad_checksum:
        value ^= 0x5555
    return raw[:16] + struct.pack("!H", value) + raw[18:]


def udp(source: str, target: str, sport: int, dport: int, data: bytes = b"", *, bad_checksum: bool = False) -> bytes:
    raw = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    value = checksum(pseudo_header(source, target, UDP, len(raw)) + raw) or 0xFFFF
    if bad_checksum:
        value ^= 0x5555
    return raw[:6] + struct.pack("!H", value) + data


def icmp(kind: int, code: int, rest: bytes, body: bytes = b"", *, bad_checksum: bool = False) -> bytes:
    """ICMP for IPv4; `rest` is the second word of the header, four bytes."""
    raw = struct.pack("!BBH", kind, code, 0) + rest + body
    value = checksum(raw) ^ (0x5555 if bad_checksum else 0)
    return raw[:2] + struct.pack("!H", value) + raw[4:]


def icmp6(source: str, target: str, kind: int, code: int, body: bytes, *, bad_checksum: bool = False) -> bytes:
    raw = struct.pack("!BBH", kind, code, 0) + body
    value = checksum(pseudo_header(source, target, ICMP6, len(raw)) + raw) ^ (0x5555 if bad_checksum else 0)
    return raw[:2] + struct.pack("!H", value) + raw[4:]


def ip4(source: str, target: str, protocol: int, payload: bytes, *, ttl: int = 64, tos: int = 0, ident: int = 0, df: bool = True,
        mf: bool = False, frag: int = 0, options: bytes = b"", version: int = 4, ihl: int | None = None,
        length: int | None = None, bad_checksum: bool = False) -> bytes:
    """An IPv4 packet. `frag` is the fragment offset in bytes."""
    words = 5 + len(options) // 4 if ihl is None else ihl
    total = 20 + len(options) + len(payload) if length is None else length
    head = struct.pack("!BBHHHBBH4s4s", version << 4 | words, tos, total, ident, df << 14 | mf << 13 | frag // 8, ttl, protocol, 0,
                       ip_bytes(source), ip_bytes(target)) + options
    value = checksum(head) ^ (0x5555 if bad_checksum else 0)
    return head[:10] + struct.pack("!H", value) + head[12:] + payload


def ip6(source: str, target: str, protocol: int, payload: bytes, *, hop_limit: int = 64, traffic_class: int = 0, flow: int = 0,
        length: int | None = None, version: int = 6) -> bytes:
    """An IPv6 packet; extension headers are part of `payload`, the first one's number is `protocol`."""
    return struct.pack("!IHBB", version << 28 | traffic_class << 20 | flow, len(payload) if length is None else length, protocol,
                       hop_limit) + ip_bytes(source) + ip_bytes(target) + payload


def fragment6(payload: bytes, protocol: int, offset: int, more: bool, ident: int) -> bytes:
    return struct.pack("!BBHI", protocol, 0, offset | more, ident) + payload


def ethernet(source: bytes, target: bytes, kind: int, payload: bytes) -> bytes:
    return target + source + struct.pack("!H", kind) + payload


def arp(operation: int, sender_mac: bytes, sender: str, target_mac: bytes, target: str) -> bytes:
    return struct.pack("!HHBBH", 1, ETH_IP4, 6, 4, operation) + sender_mac + ip_bytes(sender) + target_mac + ip_bytes(target)


# ---- Parsing -----------------------------------------------------------------------------------------------------------------

class Packet:
    """One received frame. `kind` is "arp", "tcp", "udp", "icmp", "icmp6" or "other"; fields of other kinds are absent."""

    def __init__(self, frame: bytes, time: float):
        self.frame, self.time = frame, time
        self.kind, self.valid, self.src, self.dst = "other", True, "", ""
        self.eth_dst, self.eth_src = frame[:6], frame[6:12]
        self.ethertype = int.from_bytes(frame[12:14], "big")
        try:
            if self.ethertype == ETH_ARP:
                self._parse_arp(frame[14:])
            elif self.ethertype == ETH_IP4:
                self._parse_ip4(frame[14:])
            elif self.ethertype == ETH_IP6:
                self._parse_ip6(frame[14:])
        except (struct.error, IndexError, OSError, ValueError):
            self.valid = False

    def _parse_arp(self, raw: bytes) -> None:
        self.operation = struct.unpack_from("!H", raw, 6)[0]
        self.sender_mac, self.src = raw[8:14], ip_text(raw[14:18])
        self.target_mac, self.dst = raw[18:24], ip_text(raw[24:28])
        self.kind = "arp"

    def _parse_ip4(self, raw: bytes) -> None:
        first, self.tos, total, self.ident, frag, self.ttl, self.protocol, _, src, dst = struct.unpack_from("!BBHHHBBH4s4s", raw)
        header = (first & 15) * 4
        self.version, self.src, self.dst = 4, ip_text(src), ip_text(dst)
        self.df, self.mf, self.frag = bool(frag & 0x4000), bool(frag & 0x2000), (frag & 0x1FFF) * 8
        self.ip_options, self.payload = raw[20:header], raw[header:total]
        self.valid = first >> 4 == 4 and header >= 20 and total <= len(raw) and checksum_holds(raw[:header])
        self.ip_length = total
        if not self.frag and not self.mf:
            self._parse_transport()

    def _parse_ip6(self, raw: bytes) -> None:
        word, length, self.protocol, self.ttl = struct.unpack_from("!IHBB", raw)
        self.version, self.src, self.dst = 6, ip_text(raw[8:24]), ip_text(raw[24:40])
        self.tos, self.flow, self.mf, self.frag, self.df = word >> 20 & 0xFF, word & 0xFFFFF, False, 0, True
        self.payload, self.ip_length = raw[40:40 + length], 40 + length
        self.valid = word >> 28 == 6 and 40 + length <= len(raw)
        while self.protocol in (0, 43, 60):
            self.protocol, self.payload = self.payload[0], self.payload[8 + self.payload[1] * 8:]
        if self.protocol == FRAGMENT6:
            self.protocol, field = self.payload[0], int.from_bytes(self.payload[2:4], "big")
            self.frag, self.mf, self.payload = field & ~7, bool(field & 1), self.payload[8:]
        if not self.frag and not self.mf:
            self._parse_transport()

    def _parse_transport(self) -> None:
        raw = self.payload
        sums = lambda: checksum_holds(pseudo_header(self.src, self.dst, self.protocol, len(raw)) + raw)
        if self.protocol == TCP:
            self.sport, self.dport, self.seq, self.ack, field, self.win, _, self.urg = struct.unpack_from("!HHIIHHHH", raw)
            header = (field >> 12) * 4
            self.flags = "".join(letter for bit, letter in enumerate(FLAGS) if field >> bit & 1)
            self.options, self.data, self.tcp_header = parse_options(raw[20:header]), raw[header:], header
            self.kind = "tcp"
            self.valid = self.valid and 20 <= header <= len(raw) and sums() and "malformed" not in self.options
        elif self.protocol == UDP:
            self.sport, self.dport = struct.unpack_from("!HH", raw)
            self.data, self.kind = raw[8:], "udp"
            self.valid = self.valid and sums()
        elif self.protocol == ICMP and self.version == 4:
            self.type, self.code, self.rest, self.data = raw[0], raw[1], raw[4:8], raw[8:]
            self.kind = "icmp"
            self.valid = self.valid and checksum_holds(raw)
        elif self.protocol == ICMP6 and self.version == 6:
            self.type, self.code, self.rest, self.data = raw[0], raw[1], raw[4:8], raw[8:]
            self.kind = "icmp6"
            self.valid = self.valid and sums()

    @property
    def span(self) -> int:
        """Sequence numbers that the segment takes."""
        return len(self.data) + ("S" in self.flags) + ("F" in self.flags)

    def __str__(self) -> str:
        wrong = "" if self.valid else " INVALID"
        if self.kind == "tcp":
            options = {key: value for key, value in self.options.items() if key != "kinds"}
            return (f"{self.src}:{self.sport} > {self.dst}:{self.dport} {self.flags or '-'} seq={self.seq} ack={self.ack}"
                    f" win={self.win} len={len(self.data)}{f' urg={self.urg}' if self.urg else ''}"
                    f"{f' tos={self.tos:#x}' if self.tos else ''} {options or ''}{wrong}")
        if self.kind in ("icmp", "icmp6"):
            return (f"{self.src} > {self.dst} {self.kind} type={self.type} code={self.code} rest={self.rest.hex()}"
                    f" len={len(self.data)}{wrong}")
        if self.kind == "udp":
            return f"{self.src}:{self.sport} > {self.dst}:{self.dport} udp len={len(self.data)}{wrong}"
        if self.kind == "arp":
            return f"arp {self.operation} {self.src} ({mac_text(self.sender_mac)}) > {self.dst}"
        if self.src:
            return (f"{self.src} > {self.dst} protocol {self.protocol} fragment {self.frag} more={self.mf}"
                    f" len={len(self.payload)}{wrong}")
        return f"frame of {len(self.frame)} bytes, type {self.ethertype:#x}"
