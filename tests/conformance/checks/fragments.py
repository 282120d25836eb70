"""IPv4 fragments. The subject may keep few of them, but what it delivers must be what was sent."""

import packet
from suite import check

IDENT = b"\xf0\x0d\x00\x01"
DATA = bytes(i * 7 & 0xFF for i in range(1200))


def pieces(payload, size=400):
    """(offset, bytes, more) of a payload."""
    return [(at, payload[at:at + size], at + size < len(payload)) for at in range(0, len(payload), size)]


def send(t, parts, ident=77, protocol=packet.ICMP, host=None):
    for offset, data, more in parts:
        (host or t.host).send(protocol, data, frag=offset, mf=more, ident=ident, df=False)


def echo_request(ident=IDENT, data=DATA):
    return packet.icmp(8, 0, ident, data)


def require_reply(t, data=DATA, ident=IDENT):
    p = t.echo_reply(ident, within=2)
    t.require(p, "the datagram was not reassembled: no echo reply")
    t.require(p.data == data, "the reassembled data differ")


@check("RFC 791 3.2", "fragments in order are reassembled")
def in_order(t):
    send(t, pieces(echo_request()))
    require_reply(t)


@check("RFC 791 3.2", "fragments in reverse order are reassembled")
def reversed_order(t):
    send(t, reversed(pieces(echo_request())))
    require_reply(t)


@check("RFC 791 3.2", "many small fragments in mixed order are reassembled")
def shuffled(t):
    parts = pieces(echo_request(), 72)
    send(t, parts[::3] + parts[1::3] + parts[2::3])
    require_reply(t)


@check("RFC 791 3.2", "duplicate fragments do no harm")
def duplicates(t):
    parts = pieces(echo_request())
    send(t, parts[:2] + parts[:2] + parts[2:])
    require_reply(t)


@check("RFC 791 3.2", "fragments of two datagrams that arrive interleaved are kept apart")
def interleaved(t):
    first, second = pieces(echo_request()), pieces(echo_request(b"\0\2\0\2", DATA[::-1]))
    for a, b in zip(first, second):
        send(t, [a], ident=100)
        send(t, [b], ident=101)
    replies = {}
    for _ in range(2):
        p = t.expect_packet(t.host, lambda p: p.kind == "icmp" and p.type == 0, what="two echo replies")
        replies[p.rest] = p.data
    t.require(replies == {IDENT: DATA, b"\0\2\0\2": DATA[::-1]}, "the data of the two are mixed")


@check("RFC 791 3.2", "fragments of different sources with the same identification are kept apart")
def two_sources(t):
    other = t.extra_host()
    parts = pieces(echo_request())
    send(t, parts[:1], ident=5)
    send(t, parts[1:], ident=5, host=other)
    t.require(not t.echo_reply(IDENT, within=0.6), "fragments of two hosts were put together")


@check("RFC 1858 3", "overlapping fragments that disagree never deliver a mixture")
def overlapping(t):
    request = echo_request()
    forged = b"\xee" * 400
    send(t, [(0, request[:400], True), (200, forged, True), (400, request[400:], False)])
    p = t.echo_reply(IDENT, within=1)
    t.require(p is None or p.data == DATA, "forged bytes of an overlapping fragment were delivered")


@check("RFC 791 3.2", "fragments that add up to more than 65535 bytes do no harm")
def over_long(t):
    send(t, [(65528, b"x" * 400, False)], ident=9)
    send(t, [(0, echo_request(), True), (65000, b"x" * 1000, False)], ident=10)
    t.expect_no_packet(t.host, 0.5, lambda p: p.kind == "icmp" and p.type == 0, "echo reply")
    t.served()


@check("RFC 791 3.2", "a TCP SYN in two fragments is answered")
def tcp_syn(t):
    c = t.peer()
    segment = c.build("S", options=c.syn_options() + b"\1" * 8)
    send(t, pieces(segment, 24), protocol=packet.TCP)
    c.expect("SA", ack=c.iss + 1)


@check("RFC 791 3.2", "a datagram with a missing fragment is not delivered; it is when the fragment comes late")
def late(t):
    parts = pieces(echo_request())
    send(t, parts[:1] + parts[2:])
    t.require(not t.echo_reply(IDENT, within=0.7), "answered an incomplete datagram")
    send(t, [parts[1]])
    require_reply(t)


@check("RFC 791 3.1", "a fragment whose length is no multiple of eight, and is not the last, is not used")
def odd_length(t):
    request = echo_request()
    send(t, [(0, request[:401], True), (408, request[408:], False)])
    t.require(not t.echo_reply(IDENT, within=0.7), "answered")
    t.served()


@check("RFC 1858 5", "a flood of first fragments leaves good clients served", alone=True)
def flood(t):
    for ident in range(6000):
        send(t, [(0, b"y" * 400, True)], ident=ident & 0xFFFF)
    t.served("after 6000 incomplete datagrams")
