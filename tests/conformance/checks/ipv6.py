"""IPv6, ICMPv6 and neighbour discovery."""

import packet
from suite import check, pattern
from wire import GATEWAY6

ALL_NODES = "ff02::1"


def solicit(t, host, target=GATEWAY6, *, to=None, source=None, hop_limit=255, option=True, bad_checksum=False):
    """Sends a neighbour solicitation; `to` is the destination address (default: the solicited-node group)."""
    source, to = source or host.address, to or packet.solicited_node(target)
    body = bytes(4) + packet.ip_bytes(target) + (bytes((1, 1)) + host.mac if option else b"")
    raw = packet.ip6(source, to, packet.ICMP6, packet.icmp6(source, to, 135, 0, body, bad_checksum=bad_checksum), hop_limit=hop_limit)
    mac = packet.multicast_mac(to) if to.startswith("ff") else t.wire.gateway_mac
    host.send_frame(packet.ethernet(host.mac, mac, packet.ETH_IP6, raw))


def is_advertisement(p):
    return p.kind == "icmp6" and p.type == 136


def is_solicitation(host):
    return lambda p: p.kind == "icmp6" and p.type == 135 and p.data[:16] == packet.ip_bytes(host.address)


def is_error(kind, code=None):
    return lambda p: p.kind == "icmp6" and p.type == kind and (code is None or p.code == code)


# ---- neighbour discovery -----------------------------------------------------------------------------------------------------

@check("RFC 4861 7.2.4", "a multicast solicitation is answered by a solicited advertisement with the link-layer address")
def solicitation(t):
    solicit(t, t.host6)
    p = t.expect_packet(t.host6, is_advertisement, what="an advertisement")
    t.require(p.rest[0] & 0x60 == 0x60, f"the flags are {p.rest[0]:#x}: solicited and override are missing")
    t.require(p.data[:16] == packet.ip_bytes(GATEWAY6) and p.data[16:24] == b"\2\1" + t.wire.gateway_mac, "target or address are wrong")
    t.require(p.ttl == 255, f"the hop limit is {p.ttl}")


@check("RFC 4861 7.2.4", "a unicast solicitation is answered")
def solicitation_unicast(t):
    solicit(t, t.host6, to=GATEWAY6)
    t.expect_packet(t.host6, is_advertisement, what="an advertisement")


@check("RFC 4861 7.2.3", "a solicitation for another's address is not answered")
def solicitation_other(t):
    solicit(t, t.host6, target="2001:db8:18::77:77", to=GATEWAY6)
    t.expect_no_packet(t.host6, 0.7, is_advertisement, "advertisement")


@check("RFC 4861 7.1.1", "solicitations with a hop limit below 255, a wrong checksum or a wrong target are dropped")
def solicitation_invalid(t):
    solicit(t, t.host6, hop_limit=254)
    solicit(t, t.host6, bad_checksum=True)
    solicit(t, t.host6, target="ff02::1", to=GATEWAY6)
    t.expect_no_packet(t.host6, 0.7, is_advertisement, "advertisement")


@check("RFC 4862 5.4.3", "a solicitation from the unspecified address (another's duplicate detection) is answered to all nodes")
def solicitation_dad(t):
    came = []
    watch = lambda p: came.append(p) if is_advertisement(p) and p.dst == ALL_NODES and p.data[:16] == packet.ip_bytes(GATEWAY6) else None
    t.wire.monitors.append(watch)
    solicit(t, t.host6, source="::", option=False)
    t.sleep(1.5)
    t.wire.monitors.remove(watch)
    t.require(came, "no advertisement to all nodes")
    t.require(came[0].rest[0] & 0x40 == 0, "the advertisement claims to be solicited")


@check("RFC 4861 7.2.2", "an unknown neighbour is solicited by its solicited-node group before the first packet to it")
def resolves(t):
    host = t.extra_host6()
    host.sees_arp = True
    c = t.peer(host=host)
    c.send_syn()
    p = t.expect_packet(host, is_solicitation(host), what="a solicitation")
    t.require(p.dst == packet.solicited_node(host.address) and p.eth_dst == packet.multicast_mac(p.dst), f"sent to {p.dst}")
    t.require(p.ttl == 255 and p.data[16:18] == b"\1\1" and p.data[18:24] == t.wire.gateway_mac, "hop limit or source address are wrong")
    t.require(c.expect("SA").eth_dst == host.mac, "the SYN-ACK went to another MAC address")


@check("RFC 4861 7.2.2", "an unanswered solicitation is repeated three times at most, a second apart")
def resolves_repeats(t):
    host = t.extra_host6(answers=False)
    host.sees_arp = True
    t.peer(host=host).send_syn()
    t.sleep(2.7)
    times = []
    while not host.inbox.empty():
        p = host.inbox.get()
        if is_solicitation(host)(p):
            times.append(p.time)
    t.require(2 <= len(times) <= 4, f"{len(times)} solicitations in 2.7 s")
    t.require(all(b - a >= 0.8 for a, b in zip(times, times[1:])), "less than a second apart")


@check("RFC 4861 7.2.2", "the latest packet for an unresolved neighbour is kept and sent once it answers")
def resolves_queue(t):
    host = t.extra_host6(answers=False)
    host.sees_arp = True
    ident = b"\x21\x43\0\1"
    host.send(packet.ICMP6, packet.icmp6(host.address, GATEWAY6, 128, 0, ident + b"kept"))
    p = t.expect_packet(host, is_solicitation(host), what="a solicitation")
    t.wire.advertise(host, p.src, p.eth_src)
    t.require(t.echo_reply(ident, host), "the echo reply was lost while its neighbour was unresolved")


@check("RFC 4861 7.2.5", "an advertisement with the override flag changes the neighbour's link-layer address")
def advertisement_override(t):
    host = t.extra_host6()
    t.require(t.echo(host=host), "no echo reply")
    host.mac = b"\x02\x98" + host.mac[2:]
    t.wire.advertise(host, GATEWAY6, t.wire.gateway_mac, 0x20)
    t.sleep(0.2)
    reply = t.echo(host=host)
    t.require(reply and reply.eth_dst == host.mac, "packets still go to the old MAC address")


@check("RFC 4861 7.3.3", "a neighbour not heard of for some time is probed by unicast before it is given up")
def unreachability(t):
    host = t.extra_host6()
    host.sees_arp = True
    solicit(t, host, to=GATEWAY6)  # the subject learns the address unconfirmed: STALE
    t.expect_packet(host, is_advertisement, what="an advertisement")
    t.require(t.echo(host=host), "no echo reply")
    p = t.expect_packet(host, is_solicitation(host), within=9, what="a probe after five seconds of DELAY")
    t.require(p.dst == host.address and p.eth_dst == host.mac, f"the probe is not unicast but to {p.dst}")


@check("RFC 4862 5.4", "an own address is tested for duplicates before it is used")
def duplicate_detection(t):
    own = packet.ip_bytes(GATEWAY6)
    tests = [p for p in t.wire.startup if p.kind == "icmp6" and p.type == 135 and p.src == "::" and p.data[:16] == own]
    t.require(tests, "no solicitation from the unspecified address at start")
    t.require(tests[0].dst == packet.solicited_node(GATEWAY6), f"it was sent to {tests[0].dst}")


@check("RFC 4861 6.3.7", "routers are solicited at start")
def router_solicitation(t):
    found = [p for p in t.wire.startup if p.kind == "icmp6" and p.type == 133]
    t.require(found and found[0].dst == "ff02::2" and found[0].ttl == 255, "no router solicitation among the first frames")


# ---- the header and what follows it ------------------------------------------------------------------------------------------

@check("RFC 4443 4.2", "an echo request is answered with its identifier, sequence number and data")
def echo(t):
    p = t.echo(bytes(range(256)) * 4, host=t.host6)
    t.require(p and p.data == bytes(range(256)) * 4, "no reply, or other data")


@check("RFC 4443 2.3", "an echo request with a wrong checksum is dropped")
def echo_bad_checksum(t):
    h = t.host6
    h.send(packet.ICMP6, packet.icmp6(h.address, GATEWAY6, 128, 0, b"\1\2\3\4data", bad_checksum=True))
    t.require(not t.echo_reply(b"\1\2\3\4", h, within=0.7), "answered")


@check("RFC 8200 3", "a hop limit of 1 and any traffic class and flow label are accepted")
def header_fields(t):
    t.require(t.echo(host=t.host6, hop_limit=1), "no answer with hop limit 1")
    t.require(t.echo(host=t.host6, traffic_class=0xB8), "no answer with a traffic class")
    t.require(t.echo(host=t.host6, flow=0xABCDE), "no answer with a flow label")


@check("RFC 8200 3", "a packet whose version is not 6 or whose payload is longer than the frame is dropped")
def header_wrong(t):
    h, ident = t.host6, b"\1\2\3\5"
    body = packet.icmp6(h.address, GATEWAY6, 128, 0, ident + b"x" * 20)
    for wrong in ({"version": 4}, {"version": 7}, {"length": 1000}, {"length": 65535}):
        raw = packet.ip6(h.address, GATEWAY6, packet.ICMP6, body, **wrong)
        h.send_frame(packet.ethernet(h.mac, t.wire.gateway_mac, packet.ETH_IP6, raw))
    t.require(not t.echo_reply(ident, h, within=0.7), "answered")


def echo_behind(t, protocol, headers, ident=b"\7\7\0\1"):
    """An echo request behind extension headers."""
    h = t.host6
    h.send(protocol, headers + packet.icmp6(h.address, GATEWAY6, 128, 0, ident + b"data"))
    return t.echo_reply(ident, h, within=1)


def options_header(option):
    """An options header with six bytes of options that ends in ICMPv6."""
    assert len(option) == 6
    return bytes((packet.ICMP6, 0)) + option


@check("RFC 8200 4.3", "a hop-by-hop options header with padding is passed over")
def hop_by_hop(t):
    t.require(echo_behind(t, 0, bytes((packet.ICMP6, 0)) + b"\1\4\0\0\0\0"), "no echo reply")


@check("RFC 8200 4.6", "destination options headers with padding are passed over, also several")
def destination_options(t):
    t.require(echo_behind(t, 60, bytes((60, 0)) + b"\1\4\0\0\0\0" + bytes((packet.ICMP6, 0)) + b"\1\4\0\0\0\0"), "no echo reply")


@check("RFC 8200 4.2", "an unknown option that says skip is skipped")
def option_skip(t):
    t.require(echo_behind(t, 60, options_header(b"\x1e\2\0\0\1\0")), "no echo reply")


@check("RFC 8200 4.2", "an unknown option that says discard makes the packet vanish silently")
def option_discard(t):
    h = t.host6
    h.send(60, options_header(b"\x5e\2\0\0\1\0") + packet.icmp6(h.address, GATEWAY6, 128, 0, b"\7\7\0\2data"))
    t.expect_no_packet(h, 0.7)


@check("RFC 8200 4.2", "an unknown option that says report is reported by parameter problem with its place")
def option_report(t):
    h = t.host6
    for option in (b"\x9e", b"\xde"):
        h.send(60, options_header(option + b"\2\0\0\1\0") + packet.icmp6(h.address, GATEWAY6, 128, 0, b"\7\7\0\3data"))
        p = t.expect_packet(h, is_error(4, 2), what=f"parameter problem about option {option.hex()}")
        t.require(p.rest == (42).to_bytes(4, "big"), f"the pointer is {p.rest.hex()}, not 42")


@check("RFC 8200 4", "an unknown next header is reported by parameter problem with its place")
def next_header_unknown(t):
    t.host6.send(253, b"what is this" * 3)
    p = t.expect_packet(t.host6, is_error(4, 1), what="parameter problem")
    t.require(p.rest == (6).to_bytes(4, "big"), f"the pointer is {p.rest.hex()}, not 6")


@check("RFC 8200 4.7", "a packet whose next header is none is dropped silently")
def next_header_none(t):
    t.host6.send(59, b"nothing")
    t.expect_no_packet(t.host6, 0.6)


@check("RFC 5095 3", "a routing header of type 0 with segments left is refused by parameter problem, and not followed")
def routing_type_0(t):
    h, other = t.host6, t.extra_host6()
    h.send(43, bytes((packet.ICMP6, 2, 0, 1)) + bytes(4) + packet.ip_bytes(other.address)
           + packet.icmp6(h.address, other.address, 128, 0, b"\7\7\0\4data"))
    t.expect_packet(h, is_error(4, 0), what="parameter problem")
    t.expect_no_packet(other, 0.4, what="forwarded packet")


@check("RFC 8200 4.4", "a routing header of unknown type with no segments left is passed over")
def routing_unknown(t):
    t.require(echo_behind(t, 43, bytes((packet.ICMP6, 0, 250, 0)) + bytes(4)), "no echo reply")


# ---- fragments ---------------------------------------------------------------------------------------------------------------

DATA = bytes(i * 11 & 0xFF for i in range(1200))


def fragments(t, ident=b"\6\6\0\1", size=400):
    payload = packet.icmp6(t.host6.address, GATEWAY6, 128, 0, ident + DATA)
    return [(at, payload[at:at + size], at + size < len(payload)) for at in range(0, len(payload), size)]


def send_fragments(t, parts, number=0x1234, protocol=packet.ICMP6):
    for offset, data, more in parts:
        t.host6.send(packet.FRAGMENT6, packet.fragment6(data, protocol, offset, more, number))


def require_reply(t, ident=b"\6\6\0\1"):
    p = t.echo_reply(ident, t.host6, within=2)
    t.require(p, "the packet was not reassembled: no echo reply")
    t.require(p.data == DATA, "the reassembled data differ")


@check("RFC 8200 4.5", "fragments in order are reassembled")
def fragments_in_order(t):
    send_fragments(t, fragments(t))
    require_reply(t)


@check("RFC 8200 4.5", "fragments in reverse order are reassembled")
def fragments_reversed(t):
    send_fragments(t, fragments(t)[::-1])
    require_reply(t)


@check("RFC 5722 4", "a packet with overlapping fragments is dropped whole")
def fragments_overlap(t):
    parts = fragments(t)
    send_fragments(t, [parts[0], (200, b"\xee" * 400, True)] + parts[1:])
    t.require(not t.echo_reply(b"\6\6\0\1", t.host6, within=0.8), "answered")


@check("RFC 6946 4", "a packet in a single fragment is processed by itself")
def fragment_atomic(t):
    payload = packet.icmp6(t.host6.address, GATEWAY6, 128, 0, b"\6\6\0\1" + DATA)
    send_fragments(t, [(0, payload, False)])
    require_reply(t)


@check("RFC 8200 4.5", "a fragment whose length is no multiple of eight, and is not the last, draws parameter problem")
def fragment_odd(t):
    send_fragments(t, [(0, fragments(t, size=401)[0][1], True)])
    p = t.expect_packet(t.host6, is_error(4, 0), what="parameter problem")
    t.require(p.rest == (4).to_bytes(4, "big"), f"the pointer is {p.rest.hex()}, not the payload length's place")


@check("RFC 8200 4.5", "fragments that add up to more than 65535 bytes draw parameter problem")
def fragment_over_long(t):
    send_fragments(t, [(65528, b"x" * 400, False)])
    t.expect_packet(t.host6, is_error(4, 0), what="parameter problem")


@check("RFC 7112 5", "a first fragment without the whole header chain is not delivered")
def fragment_tiny_first(t):
    c = t.peer(6)
    segment = c.build("S", options=c.syn_options())
    chain = bytes((packet.TCP, 0)) + b"\1\4\0\0\0\0"
    send_fragments(t, [(0, chain, True), (8, segment, False)], protocol=60)
    c.expect_none(0.8, what="answer")


# ---- errors ------------------------------------------------------------------------------------------------------------------

def send_udp(t, port=9, target=GATEWAY6, source=None, bad_checksum=False):
    source = source or t.host6.address
    datagram = packet.udp(source, target, 5353, port, b"anyone there?", bad_checksum=bad_checksum)
    t.host6.send_ip(packet.ip6(source, target, packet.UDP, datagram))


@check("RFC 4443 3.1", "a UDP datagram to a closed port is answered by port unreachable that quotes it")
def port_unreachable(t):
    send_udp(t)
    p = t.expect_packet(t.host6, is_error(1, 4), what="port unreachable")
    t.require(p.data[8:24] == packet.ip_bytes(t.host6.address) and len(p.data) >= 48 + 13, "the datagram is not quoted whole")


@check("RFC 8200 8.1", "a UDP datagram without checksum or with a wrong one is dropped silently")
def udp_checksum(t):
    send_udp(t, bad_checksum=True)
    h = t.host6
    h.send(packet.UDP, packet.udp(h.address, GATEWAY6, 5353, 9, b"x")[:6] + b"\0\0x")
    t.expect_no_packet(h, 0.7, is_error(1), "ICMPv6 error")


@check("RFC 4443 2.4", "no ICMPv6 error is sent about an ICMPv6 error")
def no_error_about_error(t):
    h = t.host6
    for kind, code in ((1, 4), (2, 0), (3, 0), (4, 1), (100, 0)):
        h.send(packet.ICMP6, packet.icmp6(h.address, GATEWAY6, kind, code, bytes(52)))
    t.expect_no_packet(h, 0.7)


@check("RFC 4443 2.4", "no ICMPv6 error is sent about a packet to a multicast address or from one")
def no_error_about_multicast(t):
    send_udp(t, target=ALL_NODES)
    send_udp(t, source="ff02::5")
    send_udp(t, source="::")
    t.expect_no_packet(t.host6, 0.7, is_error(1), "ICMPv6 error")


@check("RFC 4443 2.4", "ICMPv6 errors are limited in rate", alone=True)
def error_rate(t):
    for _ in range(2000):
        send_udp(t)
    t.sleep(1)
    count = t.host6.inbox.qsize()
    t.require(1 <= count <= 1000, f"{count} errors about 2000 datagrams within a second or so")


@check("RFC 4443 2.4", "an informational ICMPv6 message of unknown type is dropped silently")
def icmp_unknown(t):
    h = t.host6
    for kind in (129, 150, 200, 201, 255):
        h.send(packet.ICMP6, packet.icmp6(h.address, GATEWAY6, kind, 0, b"\0\1\0\2data"))
    t.expect_no_packet(h, 0.7)


# ---- TCP over IPv6 -----------------------------------------------------------------------------------------------------------

@check("RFC 9293 3.7.1", "the SYN-ACK carries a maximum segment size for IPv6")
def mss(t):
    c = t.connect(6)
    t.require(c.syn.options.get("mss") == 1440, f"the option says {c.syn.options.get('mss')}; 1500 - 60 fit")


@check("RFC 9293 3.5", "a connection over IPv6 carries requests and answers")
def serves(t):
    c = t.connect(6, mss=1440, ts=True, sack=True, wscale=7)
    t.exchange(c, 50_000)


@check("RFC 9293 3.1", "a SYN over IPv6 with a wrong checksum is dropped")
def tcp_bad_checksum(t):
    c = t.peer(6)
    c.send_syn(bad_checksum=True)
    c.expect_none(0.7, what="answer")


@check("RFC 9293 3.10.7.1", "a SYN over IPv6 to a closed port is answered by RST")
def closed_port(t):
    c = t.peer(6, peer_port=81)
    c.send_syn()
    c.expect("R", ack=c.iss + 1)


@check("RFC 8200 4.1", "a SYN behind extension headers is answered")
def tcp_behind_headers(t):
    c = t.peer(6)
    t.host6.send(60, bytes((packet.TCP, 0)) + b"\1\4\0\0\0\0" + c.build("S", options=c.syn_options()))
    c.expect("SA", ack=c.iss + 1)


@check("RFC 4291 2.5.2", "a SYN from the unspecified address is dropped silently")
def source_unspecified(t):
    from_nowhere(t, "::", "::", "::")


@check("RFC 4291 2.5", "a SYN from a multicast, loopback or IPv4-mapped address is dropped silently")
def source_martian(t):
    from_nowhere(t, "ff02::5", "::1", "::ffff:198.18.0.1")


def from_nowhere(t, *sources):
    for source in sources:
        segment = packet.tcp(source, GATEWAY6, 4242, 80, 1000, 0, "S", 65535, packet.opt_mss(1440))
        t.silent(source, lambda: t.host6.send_ip(packet.ip6(source, GATEWAY6, packet.TCP, segment)), 0.4)


@check("RFC 9293 3.9.2.3", "a SYN over IPv6 to a multicast address is dropped silently")
def destination_multicast(t):
    segment = packet.tcp(t.host6.address, ALL_NODES, 4242, 80, 1000, 0, "S", 65535, packet.opt_mss(1440))
    t.host6.send(packet.TCP, segment, target=ALL_NODES)
    t.expect_no_packet(t.host6, 0.7)


@check("RFC 6437 3", "the packets of one connection carry one flow label that is not zero")
def flow_label(t):
    c = t.connect(6)
    t.exchange(c, 5000)
    labels = {p.flow for p in c.got if p.data}
    t.require(len(labels) == 1 and 0 not in labels, f"the labels are {labels}")


def mtu(value):
    return value.to_bytes(4, "big")


@check("RFC 8201 4", "a too-big message about a segment in flight makes it come again in smaller pieces")
def too_big(t):
    c, packets = t.flight(size=60_000, v=6)
    t.icmp_error(packets[0], 2, 0, mtu(1300))
    p = c.expect(where=lambda p: p.data and p.seq == packets[0].seq, within=5, what="the first segment again")
    t.require(len(p.data) <= 1240, f"it has {len(p.data)} bytes; 1240 fit")
    before = len(c.got)
    c.read(59_000, within=15)
    t.require(max(len(p.data) for p in c.got[before:]) <= 1240, "later segments are too long")


@check("RFC 5927 4.1", "a too-big message over IPv6 about a sequence number that is not in flight is ignored")
def too_big_forged(t):
    c, packets = t.flight(size=60_000, v=6)
    for seq in (packets[0].seq - 100_000, packets[-1].seq + 1_000_000):
        t.icmp_error(packets[0], 2, 0, mtu(1280), seq=seq)
    t.sleep(0.1)
    before = len(c.got)
    c.read(59_000, within=15)
    t.require(max(len(p.data) for p in c.got[before:]) > 1300, "the forged message was believed")


@check("RFC 8201 4", "a too-big message below 1280 does not make segments smaller than 1280 allows")
def too_big_tiny(t):
    c, packets = t.flight(size=60_000, v=6)
    for value in (0, 68, 600, 1279):
        t.icmp_error(packets[0], 2, 0, mtu(value))
    before = len(c.got)
    c.read(59_000, within=15)
    full = sorted((len(p.data) for p in c.got[before:]), reverse=True)
    t.require(full[2] >= 1200, f"the longest segments have {full[:3]} bytes")


@check("RFC 9293 3.9.2.2", "destination unreachable and time exceeded over IPv6 do not end a connection")
def soft_errors(t):
    c, packets = t.flight(size=30_000, v=6)
    for kind, code in ((1, 0), (1, 1), (1, 3), (1, 4), (3, 0), (4, 0)):
        t.icmp_error(packets[0], kind, code)
    t.require(c.read_response(15) == pattern(30_000), "the body is not what the origin sent")
