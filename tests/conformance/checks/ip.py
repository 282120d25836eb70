"""IPv4: what is accepted, what is dropped, and what is answered by an ICMP error."""

import packet
from suite import check
from wire import GATEWAY


def is_error(p, kind=3):
    return p.kind == "icmp" and p.type == kind


def send_udp(t, *, host=None, port=9, data=b"anyone there?", **fields):
    host = host or t.host
    host.send(packet.UDP, packet.udp(host.address, fields.get("target", GATEWAY), 5353, port, data), **fields)


@check("RFC 1122 3.2.2.6", "an echo request is answered with its identifier, sequence number and data")
def echo(t):
    p = t.echo(bytes(range(256)) * 4)
    t.require(p, "no echo reply")
    t.require(p.data == bytes(range(256)) * 4, "the data differ")
    t.require(p.src == GATEWAY and p.code == 0, f"wrong source or code: {p}")


@check("RFC 1122 3.2.2.6", "an echo request with a wrong ICMP checksum is dropped")
def echo_bad_checksum(t):
    t.host.send(packet.ICMP, packet.icmp(8, 0, b"\1\2\3\4", b"data", bad_checksum=True))
    t.require(not t.echo_reply(b"\1\2\3\4", within=0.7), "answered")


@check("RFC 1122 3.2.2", "ICMP messages of unknown types and unasked replies are dropped silently")
def icmp_unknown(t):
    for kind in (0, 1, 2, 7, 14, 42, 255):
        t.host.send(packet.ICMP, packet.icmp(kind, 0, b"\0\1\0\2", b"data" * 10))
    t.expect_no_packet(t.host, 0.7)
    t.served()


@check("RFC 1122 3.2.1.2", "a datagram with a wrong header checksum is dropped")
def bad_header_checksum(t):
    t.require(not t.echo(bad_checksum=True), "answered")


@check("RFC 1122 3.2.1.1", "a datagram whose version is not 4 is dropped")
def bad_version(t):
    for version in (0, 3, 5, 6, 15):
        raw = packet.ip4(t.host.address, GATEWAY, packet.ICMP, packet.icmp(8, 0, b"\0\1\0\2", b"x" * 40), version=version)
        t.host.send_frame(packet.ethernet(t.host.mac, t.wire.gateway_mac, packet.ETH_IP4, raw))
    t.require(not t.echo_reply(b"\0\1\0\2", within=0.7), "answered")


@check("RFC 791 3.1", "a datagram whose header length is below 20 or beyond its end is dropped")
def bad_header_length(t):
    for words in (0, 1, 4, 15):
        t.host.send(packet.ICMP, packet.icmp(8, 0, b"\0\1\0\2", b"x" * 8), ihl=words)
    t.require(not t.echo_reply(b"\0\1\0\2", within=0.7), "answered")


@check("RFC 791 3.1", "a datagram whose total length exceeds the frame or is below its header is dropped")
def bad_total_length(t):
    for length in (0, 19, 20, 1000, 65535):
        t.host.send(packet.ICMP, packet.icmp(8, 0, b"\0\1\0\2", b"x" * 40), length=length)
    t.require(not t.echo_reply(b"\0\1\0\2", within=0.7), "answered")


@check("RFC 894", "padding behind the total length is not data")
def padding(t):
    c = t.connect()
    request = t.request("/echo", b"0123456789")
    for at in range(0, len(request), 7):
        raw = packet.ip4(t.host.address, GATEWAY, packet.TCP, c.build("PA", request[at:at + 7]))
        t.host.send_ip(raw + b"\xee" * 20)
    t.require(c.read_response() == b"0123456789", "the body is not what was sent")


@check("RFC 791 3.1", "a datagram with options (no-operation, record route, timestamp) is accepted")
def ip_options(t):
    t.require(t.echo(options=b"\1\1\1\0"), "no answer to one with no-operation")
    t.require(t.echo(options=b"\7\x0b\4" + bytes(8) + b"\0"), "no answer to one with record route")
    t.require(t.echo(options=b"\x44\x0c\5\0" + bytes(8)), "no answer to one with timestamp")


@check("RFC 1122 3.2.1.8", "a TCP segment in a datagram with options is accepted")
def tcp_behind_options(t):
    c = t.peer()
    t.host.send(packet.TCP, c.build("S", options=c.syn_options()), options=b"\1\1\1\1")
    c.expect("SA", ack=c.iss + 1)


@check("RFC 1122 3.2.1.8", "a datagram with malformed options does no harm")
def bad_ip_options(t):
    for options in (b"\7\0\4\0", b"\7\1\1\1", b"\7\xff\4\0", b"\x44\4\xff\0", b"\x83\3\0\0", b"\x99\2\x99\0"):
        t.host.send(packet.ICMP, packet.icmp(8, 0, b"\0\1\0\2", b"x"), options=options)
    t.served()


@check("RFC 1122 3.2.1.8", "a source route that is not at its end is not followed")
def source_route(t):
    other = t.extra_host()
    route = b"\x83\7\4" + packet.ip_bytes(other.address) + b"\0"
    t.host.send(packet.ICMP, packet.icmp(8, 0, b"\0\1\0\2", b"x"), options=route)
    t.expect_no_packet(other, 0.8, what="forwarded packet")


@check("RFC 1122 3.2.1.7", "a datagram with a time to live of 1 is accepted")
def ttl_one(t):
    t.require(t.echo(ttl=1), "no answer")


@check("RFC 1122 3.2.1.7", "outgoing datagrams have a time to live of 64")
def ttl_sent(t):
    c = t.connect()
    t.require(c.syn.ttl == 64, f"the SYN-ACK has {c.syn.ttl}")


@check("RFC 2474 3", "a datagram with any DSCP is accepted")
def any_dscp(t):
    for tos in (0x28, 0xB8, 0xE0, 0xFC):
        t.require(t.echo(tos=tos), f"no answer to DSCP {tos >> 2}")
    c = t.peer()
    c.tos = 0xB8
    t.exchange(c.open())


@check("RFC 1122 3.2.1.3", "a datagram to another host's address is neither answered nor forwarded")
def other_destination(t):
    other = t.extra_host()
    for target in (other.address, "198.18.77.78", "198.19.1.1"):
        t.host.send(packet.ICMP, packet.icmp(8, 0, b"\0\1\0\2", b"x"), target=target)
    t.expect_no_packet(other, 0.5, what="forwarded packet")
    t.require(not t.echo_reply(b"\0\1\0\2", within=0.3), "answered for another host")


def spoofed_syn(t, source, target=GATEWAY):
    segment = packet.tcp(source, target, 4242, 80, 1000, 0, "S", 65535, packet.opt_mss(1460))
    return lambda: t.host.send_ip(packet.ip4(source, target, packet.TCP, segment))


@check("RFC 9293 3.9.2.3", "a SYN from a broadcast or multicast address is dropped silently")
def source_multicast(t):
    for source in ("255.255.255.255", "198.18.255.255", "224.0.0.1", "239.1.2.3"):
        t.silent(source, spoofed_syn(t, source), 0.4)


@check("RFC 1122 3.2.1.3", "a SYN whose source is the subject's own address does not make it talk to itself")
def land(t):
    segment = packet.tcp(GATEWAY, GATEWAY, 80, 80, 1000, 0, "S", 65535, packet.opt_mss(1460))
    t.silent(GATEWAY, lambda: t.host.send_ip(packet.ip4(GATEWAY, GATEWAY, packet.TCP, segment)), 0.6)
    t.served()


@check("RFC 1122 3.2.1.3", "a SYN from a loopback address or from 0.0.0.0 is dropped silently")
def source_martian(t):
    for source in ("127.0.0.1", "127.9.9.9", "0.0.0.0"):
        t.silent(source, spoofed_syn(t, source), 0.4)


@check("RFC 1122 3.2.1.3", "a SYN from a host of network 0 is dropped silently")
def source_network_zero(t):
    t.silent("0.1.2.3", spoofed_syn(t, "0.1.2.3"), 0.4)


@check("RFC 9293 3.9.2.3", "a SYN to a broadcast or multicast address is dropped silently")
def destination_multicast(t):
    for target in ("255.255.255.255", "198.18.255.255", "224.0.0.1"):
        segment = packet.tcp(t.host.address, target, 4242, 80, 1000, 0, "S", 65535, packet.opt_mss(1460))
        t.host.send(packet.TCP, segment, target=target)
    t.expect_no_packet(t.host, 0.8)


@check("RFC 1122 4.1.3.1", "a UDP datagram to a closed port is answered by port unreachable that quotes it")
def port_unreachable(t):
    send_udp(t)
    p = t.expect_packet(t.host, is_error, what="port unreachable")
    t.require(p.code == 3, f"the code is {p.code}")
    t.require(len(p.data) >= 28 and p.data[12:16] == packet.ip_bytes(t.host.address) and p.data[16:20] == packet.ip_bytes(GATEWAY)
              and p.data[20:24] == b"\x14\xe9\0\x09", "the error does not quote header and first eight bytes of the datagram")
    t.require(p.src == GATEWAY, "the error's source is not the address that was asked")


@check("RFC 1122 4.1.3.4", "a UDP datagram with a wrong checksum is dropped silently")
def udp_bad_checksum(t):
    t.host.send(packet.UDP, packet.udp(t.host.address, GATEWAY, 5353, 9, b"data", bad_checksum=True))
    t.expect_no_packet(t.host, 0.7, is_error, "ICMP error")


@check("RFC 1122 3.2.2.1", "a datagram of an unknown protocol is answered by protocol unreachable")
def protocol_unreachable(t):
    t.host.send(253, b"what is this" * 3)
    p = t.expect_packet(t.host, is_error, what="protocol unreachable")
    t.require(p.code == 2, f"the code is {p.code}")


@check("RFC 1122 3.2.2", "no ICMP error is sent about an ICMP error")
def no_error_about_error(t):
    quoted = packet.ip4(GATEWAY, t.host.address, packet.UDP, packet.udp(GATEWAY, t.host.address, 1, 2, b""))
    for kind, code in ((3, 3), (11, 0), (12, 0), (3, 200), (4, 0)):
        t.host.send(packet.ICMP, packet.icmp(kind, code, bytes(4), quoted[:28]))
    t.expect_no_packet(t.host, 0.8)


@check("RFC 1122 3.2.2", "no ICMP error is sent about a datagram to a broadcast or multicast address")
def no_error_about_broadcast(t):
    for target in ("255.255.255.255", "198.18.255.255", "224.0.0.1"):
        send_udp(t, target=target)
    t.expect_no_packet(t.host, 0.8, is_error, "ICMP error")


@check("RFC 1122 3.2.2", "no ICMP error is sent about a fragment that is not the first")
def no_error_about_fragment(t):
    send_udp(t, frag=64, df=False)
    t.expect_no_packet(t.host, 0.8, is_error, "ICMP error")


@check("RFC 1122 3.2.2", "no ICMP error is sent to a source that is no single host")
def no_error_to_multicast(t):
    for source in ("224.0.0.5", "255.255.255.255", "127.0.0.1", "0.0.0.0"):
        datagram = packet.udp(source, GATEWAY, 5353, 9, b"x")
        t.silent(source, lambda: t.host.send_ip(packet.ip4(source, GATEWAY, packet.UDP, datagram)), 0.3)


@check("RFC 1812 4.3.2.8", "ICMP errors are limited in rate", alone=True)
def icmp_rate(t):
    for _ in range(2000):
        send_udp(t)
    t.sleep(1)
    count = t.host.inbox.qsize()
    t.require(1 <= count <= 1000, f"{count} errors about 2000 datagrams within a second or so")
