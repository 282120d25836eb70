"""ICMP errors about TCP: path MTU discovery, and errors that must not end a connection."""

import packet
from endpoint import ahead
from suite import check, pattern

FRAGMENTATION_NEEDED = (3, 4)


def next_hop(mtu):
    return b"\0\0" + mtu.to_bytes(2, "big")


def rest_of(t, c, size=100_000):
    """Reads the whole answer and returns the length of its longest segment from here on."""
    before = len(c.got)
    data = c.read(size - 1000, within=20)
    return max(len(p.data) for p in c.got[before:]), data


@check("RFC 1191 3", "TCP segments are sent with the don't-fragment bit")
def dont_fragment(t):
    c, packets = t.flight()
    t.require(c.syn.df and all(p.df for p in packets), "not every segment has it")


@check("RFC 1191 6.4", "a too-big message about a segment in flight makes it come again in smaller pieces")
def too_big(t):
    c, packets = t.flight(size=100_000)
    t.icmp_error(packets[0], *FRAGMENTATION_NEEDED, next_hop(1000))
    p = c.expect(where=lambda p: p.data and p.seq == packets[0].seq, within=5, what="the first segment again")
    t.require(len(p.data) <= 960, f"it has {len(p.data)} bytes; 960 fit")
    longest, _ = rest_of(t, c)
    t.require(500 <= longest <= 960, f"the longest segment has {longest} bytes")


@check("RFC 1191 3", "another connection to the same host starts with the smaller path MTU")
def too_big_remembered(t):
    c, packets = t.flight(size=100_000)
    t.icmp_error(packets[0], *FRAGMENTATION_NEEDED, next_hop(1000))
    c.expect(where=lambda p: p.data and p.seq == packets[0].seq, within=5, what="the first segment again")
    other, packets = t.flight(size=20_000)
    t.require(max(len(p.data) for p in packets) <= 960, "segments of the old size")


@check("RFC 5927 4.1", "a too-big message about a sequence number that is not in flight is ignored")
def too_big_forged(t):
    c, packets = t.flight(size=100_000)
    for seq in (packets[0].seq - 100_000, packets[-1].seq + 1_000_000, packets[0].seq ^ 0x80000000):
        t.icmp_error(packets[0], *FRAGMENTATION_NEEDED, next_hop(700), seq=seq)
    t.sleep(0.1)
    longest, _ = rest_of(t, c)
    t.require(longest > 1200, f"the longest segment has {longest} bytes: the forged message was believed")


@check("RFC 5927 4.1", "a too-big message about data already acknowledged is ignored")
def too_big_stale(t):
    c, packets = t.flight(size=100_000)
    for p in packets:
        c.rcv_nxt = (p.seq + len(p.data)) % packet.MOD
        c.ack()
    t.sleep(0.2)
    t.icmp_error(packets[0], *FRAGMENTATION_NEEDED, next_hop(700))
    t.sleep(0.1)
    c.drain()
    new = [p for p in c.got if p.data and ahead(p.seq, c.rcv_nxt) >= 0]
    t.require(new, "no second flight")
    c.rcv_nxt = new[0].seq
    longest, _ = rest_of(t, c, 60_000)
    t.require(longest > 1200, f"the longest segment has {longest} bytes: the message was believed")


@check("RFC 1191 3", "too-big messages with tiny or no MTU do not stop a connection")
def too_big_tiny(t):
    for mtu in (68, 20, 0):
        c, packets = t.flight(size=20_000)
        t.icmp_error(packets[0], *FRAGMENTATION_NEEDED, next_hop(mtu))
        t.require(c.read_response(15) == pattern(20_000), "the body is not what the origin sent")


@check("RFC 1191 3", "a too-big message does not make segments larger")
def too_big_larger(t):
    c, packets = t.flight(size=100_000, mss=1000)
    t.icmp_error(packets[0], *FRAGMENTATION_NEEDED, next_hop(1400))
    t.icmp_error(packets[0], *FRAGMENTATION_NEEDED, next_hop(9000))
    longest, _ = rest_of(t, c)
    t.require(longest <= 1000, f"the longest segment has {longest} bytes")


@check("RFC 4821 7.7", "a path that swallows large segments silently is found out, and smaller ones are sent (black hole)")
def black_hole(t):
    c, packets = t.flight(size=30_000)
    p = c.expect(where=lambda p: len(p.data) > 1 and p.seq == c.rcv_nxt and len(p.data) <= 1160, within=28,
                 what="the first segment in pieces of at most 1160 bytes")
    t.require(p.data == packets[0].data[:len(p.data)], "the content has changed")


def survives(t, kind, codes, rest=bytes(4)):
    c, packets = t.flight(size=60_000)
    for code in codes:
        t.icmp_error(packets[0], kind, code, rest)
    t.require(c.read_response(15) == pattern(60_000), "the body is not what the origin sent")


@check("RFC 9293 3.9.2.2", "destination unreachable of codes 0, 1 and 5 does not end a connection")
def soft_unreachable(t):
    survives(t, 3, (0, 1, 5))


@check("RFC 9293 3.9.2.2", "time exceeded does not end a connection")
def soft_time_exceeded(t):
    survives(t, 11, (0, 1))


@check("RFC 9293 3.9.2.2", "parameter problem does not end a connection")
def soft_parameter_problem(t):
    survives(t, 12, (0, 1), b"\x14\0\0\0")


@check("RFC 5927 5.2", "hard errors (protocol or port unreachable) do not end an open connection")
def hard_errors(t):
    survives(t, 3, (2, 3))


@check("RFC 6633 5", "source quench is ignored")
def source_quench(t):
    c, packets = t.flight(size=100_000)
    before = c.in_flight(packets)
    for _ in range(3):
        t.icmp_error(packets[0], 4, 0)
    for p in packets:
        c.rcv_nxt = (p.seq + len(p.data)) % packet.MOD
        c.ack()
    flight = c.in_flight(c.collect(1, quiet=0.1))
    t.require(flight > before, f"{flight} bytes in the next flight, {before} before: slowed down")


@check("RFC 1122 4.2.3.9", "ICMP errors about unknown connections, or that quote too little, do no harm")
def errors_malformed(t):
    c, packets = t.flight(size=20_000)
    for size in (0, 4, 19, 20, 21, 24, 27):
        t.icmp_error(packets[0], 3, 4, next_hop(700), size=size)
        t.icmp_error(packets[0], 3, 1, size=size)
    stranger = packet.ip4("198.18.0.2", "198.18.9.9", packet.TCP, packet.tcp("198.18.0.2", "198.18.9.9", 80, 7, 1))
    t.host.send(packet.ICMP, packet.icmp(3, 4, next_hop(600), stranger[:28]))
    t.require(c.read_response(15) == pattern(20_000), "the body is not what the origin sent")
