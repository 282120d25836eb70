"""What strangers may send: floods, garbage and exhaustion. Good clients stay served, open connections stay open."""

import os
import random
import threading

import packet
from endpoint import ahead
from suite import SLOWNESS, check, pattern
from wire import BROADCAST, GATEWAY, GATEWAY6


def spoofed_syns(t, count, sources=None):
    """SYNs from addresses behind the router at which nobody is."""
    for number in range(count):
        source = sources or f"198.19.{random.randrange(1, 90)}.{random.randrange(1, 255)}"
        segment = packet.tcp(source, GATEWAY, random.randrange(1024, 65536), 80, random.getrandbits(32), 0, "S", 65535,
                             packet.opt_mss(1460))
        t.wire.send(packet.ethernet(t.wire.router.mac, t.wire.gateway_mac, packet.ETH_IP4,
                                    packet.ip4(source, GATEWAY, packet.TCP, segment, ident=number & 0xFFFF)))


@check("RFC 4987 3", "after 20,000 spoofed SYNs a good client is served at once", alone=True)
def syn_flood(t):
    spoofed_syns(t, 20_000)
    t.served("after the flood", within=3)


@check("RFC 4987 3", "good clients on a path of 100 ms that come during a SYN flood are served", alone=True)
def syn_flood_during(t):
    stop = threading.Event()

    def flood():
        while not stop.is_set():
            spoofed_syns(t, 100)
            stop.wait(0.005 * (SLOWNESS - 1))

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        for _ in range(10):
            c = t.peer()
            c.take_syn_ack(insist(t, c))
            t.sleep(0.1)
            c.drain()
            for _ in range(5):  # what a client does whose segments get lost
                c.send(data=t.request("/bytes/1000"), seq=c.iss + 1)
                if c.next(0.5) is not None:
                    break
            t.require(c.got[-1].ack == (c.iss + 1 + len(t.request("/bytes/1000"))) & 0xFFFFFFFF and "R" not in c.got[-1].flags,
                      f"a good client's request was not taken: {c.got[-1]}")
    finally:
        stop.set()
        thread.join()


@check("RFC 4987 3", "a good client whose ACK comes after 3000 more spoofed SYNs is served", alone=True)
def syn_flood_slow_client(t):
    spoofed_syns(t, 3000)
    c = t.peer()
    c.take_syn_ack(insist(t, c))
    spoofed_syns(t, 3000)
    t.sleep(0.3)
    c.drain()
    c.ack()
    t.exchange(c)


def insist(t, c):
    """The SYN-ACK for one of four SYNs: the flood may have cost a SYN its place in a queue."""
    for _ in range(4):
        c.send_syn()
        p = c.next(1)
        if p is not None:
            t.require("S" in p.flags and "A" in p.flags, f"a SYN drew {p}")
            return p
    return c.expect("SA", within=0.1, what="a SYN-ACK for one of four SYNs")


@check("RFC 4987 3.6", "under a SYN flood a connection keeps segment size and timestamps (cookies carry them)", alone=True)
def syn_cookie_options(t):
    spoofed_syns(t, 6000)
    c = t.peer(mss=900, ts=True, wscale=7, sack=True)
    c.take_syn_ack(insist(t, c))
    c.ack()
    c.send(data=t.request("/bytes/20000"))
    t.require(c.read_response() == pattern(20_000), "the body is not what the origin sent")
    t.require(max(len(p.data) for p in c.got) <= 888, "the peer's segment size was forgotten")
    t.require(c.ts_on and all("ts" in p.options for p in c.got if p.data), "timestamps were forgotten")


@check("RFC 4987 3.6", "an ACK that answers no SYN-ACK opens nothing, flood or not", alone=True)
def forged_cookie(t):
    spoofed_syns(t, 6000)
    for _ in range(300):
        c = t.peer()
        c.send("A", t.request(), seq=random.getrandbits(32), ack=random.getrandbits(32))
        p = c.next(0.2)
        t.require(p is None or "R" in p.flags, f"a forged ACK was answered by {p}")


@check("RFC 4987 2", "an open connection is not disturbed by a SYN flood", alone=True)
def syn_flood_open_connection(t):
    c = t.connect()
    t.exchange(c)
    spoofed_syns(t, 8000)
    t.exchange(c, 20_000)


@check("RFC 9293 3.8.6.1", "300 connections with a closed window and data waiting leave good clients served (sockstress)", alone=True)
def sockstress(t):
    t.exchange(t.connect())  # so that the gateway knows where its many SYN-ACKs are to go
    peers = []
    for _ in range(300):
        c = t.peer(win=0)
        c.send_syn()
        peers.append(c)
        if len(peers) % 50 == 0:
            t.sleep(0.02)
    for c in peers:
        c.take_syn_ack(c.expect("SA", within=5))
        c.send(data=t.request("/bytes/20000"), win=0)
    t.sleep(0.5)
    for _ in range(3):
        t.served("beside 300 closed windows", within=5)


@check("RFC 9293 3.8.4", "600 idle connections stay open and leave good clients served", alone=True)
def idle_connections(t):
    t.exchange(t.connect())  # as in sockstress
    peers = []
    for _ in range(600):
        c = t.peer()
        c.send_syn()
        peers.append(c)
        if len(peers) % 50 == 0:
            t.sleep(0.02)
    for c in peers:
        c.take_syn_ack(c.expect("SA", within=10))
        c.ack()
    t.sleep(1)
    t.served("beside 600 idle connections")
    for c in random.sample(peers, 20):
        t.exchange(c)


@check("RFC 5961 3", "10,000 blind resets do not end a connection", alone=True)
def reset_storm(t):
    c = t.connect()
    t.exchange(c)
    for _ in range(10_000):
        seq = random.getrandbits(32)
        if 0 < ahead(seq, c.snd_nxt) or ahead(seq, c.snd_nxt) < 0:
            t.wire.send(packet.ethernet(t.host.mac, t.wire.gateway_mac, packet.ETH_IP4,
                                        packet.ip4(t.host.address, GATEWAY, packet.TCP, c.build("R", seq=seq, ack=0))))
    t.sleep(1)
    t.exchange(c)


@check("RFC 5961 5", "10,000 blind data segments do not reach the stream of a connection", alone=True)
def data_storm(t):
    c = t.connect()
    request = t.request("/echo", b"A" * 2000)
    c.send(data=request[:-1000])
    c.expect("A", ack=c.snd_nxt)
    for _ in range(10_000):
        seq, ack = random.getrandbits(32), random.getrandbits(32)
        if abs(ahead(seq, c.snd_nxt)) > 300_000 or abs(ahead(ack, c.rcv_nxt)) > 10_000_000:
            t.wire.send(packet.ethernet(t.host.mac, t.wire.gateway_mac, packet.ETH_IP4, packet.ip4(
                t.host.address, GATEWAY, packet.TCP, c.build("PA", b"Z" * 10, seq=seq, ack=ack))))
    t.sleep(1)
    c.drain()
    c.send(data=request[-1000:])
    t.require(c.read_response() == b"A" * 2000, "the stream has changed")


@check("RFC 9293 3.10.7", "random TCP segments with right checksums do no harm", alone=True)
def tcp_garbage(t):
    for _ in range(8000):
        flags = "".join(letter for letter in packet.FLAGS if random.random() < 0.4)
        segment = packet.tcp(t.host.address, GATEWAY, random.randrange(65536), random.choice((80, 80, 81, 0)), random.getrandbits(32),
                             random.getrandbits(32), flags, random.getrandbits(16), os.urandom(random.randrange(0, 10) * 4),
                             os.urandom(random.randrange(0, 200)), random.getrandbits(16), reserved=random.getrandbits(3))
        t.wire.send(packet.ethernet(t.host.mac, t.wire.gateway_mac, packet.ETH_IP4,
                                    packet.ip4(t.host.address, GATEWAY, packet.TCP, segment)))
    t.served("after 8000 random segments")


@check("RFC 9293 3.10.7.4", "random segments to an open connection leave the subject alive", alone=True)
def connection_garbage(t):
    for _ in range(30):
        c = t.connect(ts=True, sack=True, wscale=7)
        for _ in range(60):
            flags = "".join(letter for letter in packet.FLAGS if random.random() < 0.35).replace("R", "")
            c.host.send(packet.TCP, packet.tcp(
                t.host.address, GATEWAY, c.port, 80, c.snd_nxt + random.randrange(-3000, 70_000), c.rcv_nxt + random.randrange(-3000, 3000),
                flags, random.getrandbits(16), os.urandom(random.randrange(0, 10) * 4), os.urandom(random.randrange(0, 300)),
                random.getrandbits(16)))
    t.served("after 1800 random segments to open connections")


@check("RFC 9293 3.1", "SYNs with random options do no harm", alone=True)
def option_garbage(t):
    for _ in range(4000):
        kinds = bytes(random.choice((0, 1, 2, 3, 4, 5, 8, 30, 253, random.randrange(256))) if i % 3 == 0 else random.randrange(0, 12)
                      for i in range(random.randrange(1, 10) * 4))
        segment = packet.tcp(t.host.address, GATEWAY, random.randrange(1024, 65536), 80, random.getrandbits(32), 0, "S", 1000, kinds)
        t.wire.send(packet.ethernet(t.host.mac, t.wire.gateway_mac, packet.ETH_IP4,
                                    packet.ip4(t.host.address, GATEWAY, packet.TCP, segment)))
    t.served("after 4000 SYNs with random options")


@check("RFC 1122 3.2.1", "random IPv4 datagrams do no harm", alone=True)
def ip_garbage(t):
    for _ in range(8000):
        raw = bytearray(packet.ip4(t.host.address, GATEWAY, random.choice((1, 2, 6, 17, 58, random.randrange(256))),
                                   os.urandom(random.randrange(0, 100)), df=False, mf=random.random() < 0.2,
                                   frag=random.choice((0, 0, 8 * random.randrange(8192)))))
        if random.random() < 0.5:
            raw[random.randrange(len(raw))] ^= 1 << random.randrange(8)
        t.wire.send(packet.ethernet(t.host.mac, t.wire.gateway_mac, packet.ETH_IP4, bytes(raw)))
    t.served("after 8000 random datagrams")


@check("RFC 8200 4", "random IPv6 datagrams with random extension headers do no harm", alone=True)
def ip6_garbage(t):
    for _ in range(8000):
        first = random.choice((0, 6, 17, 43, 44, 50, 51, 58, 59, 60, random.randrange(256)))
        chain = bytes((random.choice((0, 6, 17, 43, 44, 58, 60)), random.randrange(3)))
        raw = bytearray(packet.ip6(t.host6.address, GATEWAY6, first, chain + os.urandom(random.randrange(0, 90))))
        if random.random() < 0.5:
            raw[random.randrange(8)] ^= 1 << random.randrange(8)
        t.wire.send(packet.ethernet(t.host6.mac, t.wire.gateway_mac, packet.ETH_IP6, bytes(raw)))
    t.served("after 8000 random datagrams", v=6)


@check("RFC 826", "random Ethernet frames do no harm", alone=True)
def frame_garbage(t):
    for _ in range(5000):
        kind = random.choice((packet.ETH_IP4, packet.ETH_IP6, packet.ETH_ARP, 0x8100, random.getrandbits(16)))
        t.wire.send(packet.ethernet(t.host.mac, t.wire.gateway_mac, kind, os.urandom(random.randrange(0, 120))))
    t.served("after 5000 random frames")


@check("RFC 1122 2.3.2.1", "3000 neighbours that ask by ARP do not displace a good client's service", alone=True)
def arp_flood(t):
    for number in range(3000):
        mac = bytes((2, 0x77)) + number.to_bytes(4, "big")
        question = packet.arp(1, mac, f"198.18.{220 + number // 250}.{number % 250 + 1}", bytes(6), GATEWAY)
        t.wire.send(packet.ethernet(mac, BROADCAST, packet.ETH_ARP, question))
    t.served("after 3000 ARP requests of strangers")


@check("RFC 6583 4", "3000 neighbours that solicit do not displace a good client's service", alone=True)
def nd_flood(t):
    for number in range(3000):
        mac, source = bytes((2, 0x66)) + number.to_bytes(4, "big"), f"2001:db8:18::9:{number + 1:x}"
        body = bytes(4) + packet.ip_bytes(GATEWAY6) + bytes((1, 1)) + mac
        raw = packet.ip6(source, GATEWAY6, packet.ICMP6, packet.icmp6(source, GATEWAY6, 135, 0, body), hop_limit=255)
        t.wire.send(packet.ethernet(mac, t.wire.gateway_mac, packet.ETH_IP6, raw))
    t.served("after 3000 solicitations of strangers", v=6)


@check("RFC 9293 3.10.7.4", "thousands of one-byte segments beyond gaps do no harm, and the stream stays right", alone=True)
def tiny_islands(t):
    c = t.connect()
    body = pattern(20_000)
    data, start = t.request("/echo", body), c.snd_nxt
    for at in range(400, len(data), 3):
        c.send(data=data[at:at + 1], seq=start + at)
    c.drain()
    acked = 0
    for _ in range(60):  # the whole, as often as it takes
        for at in range(acked, min(acked + 5000, len(data)), 1000):
            c.send(data=data[at:at + 1000], seq=start + at)
        for p in c.collect(1, quiet=0.05):
            acked = max(acked, ahead(p.ack, start))
            if p.data:
                c.put_back(p)
                acked = len(data)
        if acked >= len(data):
            break
    c.snd_nxt = (start + len(data)) % packet.MOD
    t.require(c.read_response(10) == body, "the bytes delivered are not those sent")


@check("RFC 1122 3.2.2", "a storm of echo requests leaves good clients served", alone=True)
def ping_flood(t):
    for _ in range(8000):
        t.wire.send(packet.ethernet(t.host.mac, t.wire.gateway_mac, packet.ETH_IP4,
                                    packet.ip4(t.host.address, GATEWAY, packet.ICMP, packet.icmp(8, 0, bytes(4), b"x" * 500))))
    t.served("after 8000 echo requests")


@check("RFC 1122 3.2.1", "every packet that the subject sent in the whole run had right lengths and checksums", alone=True)
def sent_valid(t):
    t.served()
    t.require(not t.wire.invalid, f"wrong: {t.wire.invalid and t.wire.invalid[0]}")
