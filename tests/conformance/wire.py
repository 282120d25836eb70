"""The wire: everything that the subject can reach, made up in one process.

One thread reads the subject's frames, answers ARP and neighbour discovery for the made-up hosts and hands each packet to the host
that it is for. Checks run in threads of their own and wait on their hosts' inboxes, so many wait for real timers at once.
"""

from __future__ import annotations

import collections
import ctypes
import fcntl
import heapq
import itertools
import os
import queue
import select
import socket
import struct
import threading
import time

import packet
from packet import Packet

GATEWAY, GATEWAY6 = "198.18.0.2", "2001:db8:18::2"    # the subject
ROUTER, ROUTER6 = "198.18.0.1", "2001:db8:18::1"      # its default route; the well-behaved origin lives here too
ROUTER6_LINK_LOCAL = "fe80::1"                        # as who ROUTER6 advertises itself
BROADCAST = b"\xff" * 6
CLONE_NEWNET = 0x40000000


def in_namespace(name: str, function):
    """Runs `function` in a thread that has entered the network namespace; sockets made there stay there."""
    result = []

    def enter():
        try:
            with open(f"/run/netns/{name}") as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns {name}")
            result.append(function())
        except OSError as error:
            result.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]


class PacketSocket:
    """The kernel's end of a TAP whose other end the subject holds: frames by AF_PACKET. One socket takes the frames of all
    interfaces, also of those to come, and another sends: a socket that is bound while frames come would lose some."""

    _SO_SNDBUFFORCE, _SO_RCVBUFFORCE, _SOL_PACKET, _PACKET_IGNORE_OUTGOING = 32, 33, 263, 23
    _ALL, _NONE = 3, 0

    def __init__(self, namespace: str):
        self._receiver = in_namespace(namespace, lambda: self._open(self._ALL))
        self._receiver.setsockopt(socket.SOL_SOCKET, self._SO_RCVBUFFORCE, 64 << 20)
        self._receiver.setsockopt(self._SOL_PACKET, self._PACKET_IGNORE_OUTGOING, 1)
        self._sender = in_namespace(namespace, lambda: self._open(self._NONE))
        self._sender.setsockopt(socket.SOL_SOCKET, self._SO_SNDBUFFORCE, 16 << 20)

    def send_to(self, interface: str) -> None:
        """From now on frames can be sent, to this interface."""
        self._sender.bind((interface, self._NONE))

    @staticmethod
    def _open(protocol: int) -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
        made.setblocking(False)
        return made

    def fileno(self) -> int:
        return self._receiver.fileno()

    def receive(self) -> bytes | None:
        try:
            return self._receiver.recv(65536)
        except (BlockingIOError, OSError):
            return None

    def send(self, frame: bytes) -> None:
        for _ in range(2000):
            try:
                self._sender.send(frame)
                return
            except (BlockingIOError, OSError):  # the queue is full (ENOBUFS): give the subject time
                time.sleep(0.0005)

    def close(self) -> None:
        self._receiver.close()
        self._sender.close()


class Tap:
    """A TAP of our own: the suite holds the descriptor, the subject's kernel the interface."""

    def __init__(self, namespace: str, interface: str):
        self._fd = in_namespace(namespace, lambda: self._open(interface))

    @staticmethod
    def _open(interface: str) -> int:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", interface.encode(), 0x1002))  # TUNSETIFF: IFF_TAP, IFF_NO_PI
        return fd

    def fileno(self) -> int:
        return self._fd

    def receive(self) -> bytes | None:
        try:
            return os.read(self._fd, 65536)
        except OSError:
            return None

    def send(self, frame: bytes) -> None:
        try:
            os.write(self._fd, frame)
        except OSError:
            pass  # the interface is down; whoever waits for an answer will say so

    def close(self) -> None:
        os.close(self._fd)


class Host:
    """A made-up host with one address: what it receives goes to its connections, its listeners or its inbox."""

    def __init__(self, wire: "Wire", address: str, mac: bytes, answers: bool = True):
        self.wire, self.address, self.mac = wire, address, mac
        self.answers = answers          # ARP and neighbour solicitations
        self.sees_arp = False           # also puts them into the inbox
        self.inbox: queue.SimpleQueue = queue.SimpleQueue()
        self.connections: dict[tuple[int, int], object] = {}   # (our port, the subject's port) -> has deliver(packet)
        self.listeners: dict[int, object] = {}                 # our port -> function(packet), in the wire's thread
        self.trace: collections.deque = collections.deque(maxlen=600)
        self.closed = False
        self._idents = itertools.count(1)

    @property
    def gateway(self) -> str:
        return GATEWAY6 if ":" in self.address else GATEWAY

    @property
    def version(self) -> int:
        return 6 if ":" in self.address else 4

    def deliver(self, received: Packet) -> None:
        if self.closed:
            return
        self.trace.append((received.time, "<", received))
        if received.kind == "tcp":
            connection = self.connections.get((received.dport, received.sport)) or self.connections.get((received.dport, 0))
            if connection is not None:
                connection.deliver(received)
                return
            listener = self.listeners.get(received.dport)
            if listener is not None:
                listener(received)
                return
        self.inbox.put(received)

    def send_frame(self, frame: bytes, record: bool = True) -> None:
        if record:
            self.trace.append((time.monotonic(), ">", frame))
        self.wire.send(frame)

    def send_ip(self, raw: bytes) -> None:
        """An IP packet (bytes) to the subject's MAC."""
        kind = packet.ETH_IP6 if raw[0] >> 4 == 6 and self.version == 6 else packet.ETH_IP4
        self.send_frame(packet.ethernet(self.mac, self.wire.gateway_mac, kind, raw))

    def send(self, protocol: int, payload: bytes, **fields) -> None:
        """A payload in an IP packet from this host to the subject; `fields` are those of packet.ip4 or packet.ip6."""
        target = fields.pop("target", self.gateway)
        if self.version == 6:
            self.send_ip(packet.ip6(self.address, target, protocol, payload, **fields))
        else:
            fields.setdefault("ident", next(self._idents) & 0xFFFF)
            self.send_ip(packet.ip4(self.address, target, protocol, payload, **fields))

    def text(self, start: float, last: int = 40) -> str:
        """The packets of this host as lines, times relative to `start`."""
        lines = []
        for when, direction, what in list(self.trace)[-last:]:
            lines.append(f"    {when - start:8.3f} {direction} {what if isinstance(what, Packet) else Packet(what, when)}")
        return "\n".join(lines)


class Wire:
    """Owns the descriptor and the thread. `lock` guards what both the thread and checks touch (well-behaved endpoints)."""

    def __init__(self, link: PacketSocket | Tap):
        self.link, self.hosts = link, {}
        self.gateway_mac = BROADCAST
        self.startup: list[Packet] = []       # the first frames that the subject sent, unasked
        self.invalid: collections.deque = collections.deque(maxlen=20)  # frames with a wrong checksum or length
        self.monitors: list = []              # functions that see every packet from the subject
        self.advertises_router = False        # answers router solicitations
        self.lock = threading.RLock()
        self._timers: list = []
        self._order = itertools.count()
        self._stop = False
        self.frames = 0
        self.router = self.add_host(ROUTER)
        self.router6 = self.add_host(ROUTER6)
        self._thread = threading.Thread(target=self._run, name="wire", daemon=True)
        self._thread.start()

    def add_host(self, address: str, mac: bytes | None = None, answers: bool = True) -> Host:
        raw = packet.ip_bytes(address)
        made = Host(self, address, mac or bytes((2, 4 if len(raw) == 4 else 6)) + raw[-4:], answers)
        self.hosts[address] = made
        return made

    def send(self, frame: bytes) -> None:
        self.link.send(frame)

    def call_later(self, seconds: float, function) -> None:
        with self.lock:
            heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), function))

    def resolve_gateway(self, seconds: float = 20) -> None:
        """Learns the subject's MAC address; also the sign that it is there."""
        question = packet.arp(1, self.router.mac, ROUTER, bytes(6), GATEWAY)
        deadline = time.monotonic() + seconds
        while self.gateway_mac == BROADCAST:
            if time.monotonic() > deadline:
                raise RuntimeError("the subject does not answer ARP")
            self.send(packet.ethernet(self.router.mac, BROADCAST, packet.ETH_ARP, question))
            time.sleep(0.1)

    def resolve_gateway6(self, seconds: float = 20) -> None:
        """Waits until the subject uses its IPv6 address: it may be looking for duplicates at first."""
        target = packet.ip_bytes(GATEWAY6)
        body = bytes(4) + target + bytes((1, 1)) + self.router6.mac
        group = packet.solicited_node(GATEWAY6)
        raw = packet.ip6(ROUTER6, group, packet.ICMP6, packet.icmp6(ROUTER6, group, 135, 0, body), hop_limit=255)
        answers = []
        watch = lambda p: answers.append(p) if p.kind == "icmp6" and p.type == 136 and p.dst == ROUTER6 else None
        self.monitors.append(watch)
        deadline = time.monotonic() + seconds
        while not answers:
            if time.monotonic() > deadline:
                raise RuntimeError("the subject does not answer neighbour solicitations")
            self.send(packet.ethernet(self.router6.mac, packet.multicast_mac(group), packet.ETH_IP6, raw))
            time.sleep(0.1)
        self.monitors.remove(watch)

    def close(self) -> None:
        self._stop = True
        self._thread.join()
        self.link.close()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self.link.fileno(), select.POLLIN)
        while not self._stop:
            poll.poll(5)
            for _ in range(256):
                frame = self.link.receive()
                if frame is None:
                    break
                self._receive(Packet(frame, time.monotonic()))
            now = time.monotonic()
            with self.lock:
                while self._timers and self._timers[0][0] <= now:
                    heapq.heappop(self._timers)[2]()

    def _receive(self, received: Packet) -> None:
        self.frames += 1
        if len(self.startup) < 64:
            self.startup.append(received)
        if not received.valid:
            self.invalid.append(received)
        for monitor in list(self.monitors):
            monitor(received)
        if received.kind == "arp":
            self._on_arp(received)
            return
        if received.kind == "icmp6" and received.type == 135 and len(received.data) >= 16:
            self._on_solicitation(received)
            return
        if received.kind == "icmp6" and received.type == 133 and self.advertises_router:
            self._advertise_router()
        if received.kind == "icmp6" and received.type == 136 and received.src == GATEWAY6 and received.dst == ROUTER6:
            self.gateway_mac = received.eth_src
        host = self.hosts.get(received.dst)
        if host is not None:
            host.deliver(received)

    def _on_arp(self, received: Packet) -> None:
        if received.operation == 2 and received.src == GATEWAY and received.dst == ROUTER:
            self.gateway_mac = received.sender_mac
        host = self.hosts.get(received.dst)
        if host is None:
            return
        if host.sees_arp or received.operation == 2:
            host.deliver(received)
        if received.operation == 1 and host.answers and received.src != received.dst:
            reply = packet.arp(2, host.mac, host.address, received.sender_mac, received.src)
            host.send_frame(packet.ethernet(host.mac, received.eth_src, packet.ETH_ARP, reply), record=host.sees_arp)

    def _on_solicitation(self, received: Packet) -> None:
        host = self.hosts.get(packet.ip_text(received.data[:16]))
        if host is None or received.src == "::":
            return
        if host.sees_arp:
            host.deliver(received)
        if host.answers:
            self.advertise(host, received.src, received.eth_src)

    def _advertise_router(self) -> None:
        """A router advertisement of ROUTER6, from the link-local address that it must have, for half an hour."""
        mac = self.router6.mac
        body = bytes((64, 0)) + (1800).to_bytes(2, "big") + bytes(8) + bytes((1, 1)) + mac
        icmp = packet.icmp6(ROUTER6_LINK_LOCAL, "ff02::1", 134, 0, body)
        raw = packet.ip6(ROUTER6_LINK_LOCAL, "ff02::1", packet.ICMP6, icmp, hop_limit=255)
        self.send(packet.ethernet(mac, packet.multicast_mac("ff02::1"), packet.ETH_IP6, raw))

    def advertise(self, host: Host, target: str, target_mac: bytes, flags: int = 0x60) -> None:
        """A neighbour advertisement of `host`; flags: 0x40 solicited, 0x20 override."""
        body = bytes((flags, 0, 0, 0)) + packet.ip_bytes(host.address) + bytes((2, 1)) + host.mac
        raw = packet.ip6(host.address, target, packet.ICMP6, packet.icmp6(host.address, target, 136, 0, body), hop_limit=255)
        host.send_frame(packet.ethernet(host.mac, target_mac, packet.ETH_IP6, raw), record=host.sees_arp)
