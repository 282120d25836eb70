"""Ethernet and ARP."""

import packet
from suite import check
from wire import BROADCAST, GATEWAY


def ask(t, host, target=GATEWAY, sender=None, to=BROADCAST, mac=None):
    """Sends an ARP request."""
    mac = mac or host.mac
    question = packet.arp(1, mac, host.address if sender is None else sender, bytes(6), target)
    host.send_frame(packet.ethernet(mac, to, packet.ETH_ARP, question))


def is_reply(p):
    return p.kind == "arp" and p.operation == 2 and p.src == GATEWAY


def is_request_for(host):
    return lambda p: p.kind == "arp" and p.operation == 1 and p.dst == host.address


@check("RFC 826", "an ARP request for the own address is answered to the asker")
def arp_reply(t):
    ask(t, t.host)
    p = t.expect_packet(t.host, is_reply, what="an ARP reply")
    t.require(p.eth_dst == t.host.mac and p.target_mac == t.host.mac, "the reply is not addressed to the asker")
    t.require(p.sender_mac == p.eth_src == t.wire.gateway_mac, "the reply's sender address is wrong")


@check("RFC 826", "an ARP request for another's address is not answered")
def arp_other_target(t):
    ask(t, t.host, target="198.18.77.77")
    t.expect_no_packet(t.host, 0.7, lambda p: p.kind == "arp" and p.operation == 2, "ARP reply")


@check("RFC 5227 2.1.1", "an ARP probe, whose sender address is 0.0.0.0, is answered")
def arp_probe(t):
    seen = []
    watch = lambda p: seen.append(p) if p.kind == "arp" and p.operation == 2 and p.eth_dst == t.host.mac else None
    t.wire.monitors.append(watch)
    ask(t, t.host, sender="0.0.0.0")
    t.sleep(1)
    t.wire.monitors.remove(watch)
    t.require(seen, "no reply to the probe")


@check("RFC 826", "an unknown neighbour is asked for by broadcast before the first packet to it")
def arp_resolves(t):
    host = t.extra_host()
    host.sees_arp = True
    c = t.peer(host=host)
    c.send_syn()
    p = t.expect_packet(host, is_request_for(host), what="an ARP request")
    t.require(p.eth_dst == BROADCAST and p.src == GATEWAY and p.sender_mac == t.wire.gateway_mac, f"the request is wrong: {p}")
    t.require(c.expect("SA").eth_dst == host.mac, "the SYN-ACK went to another MAC address")


@check("RFC 1122 2.3.2.1", "an unanswered ARP request is repeated at most once a second")
def arp_rate(t):
    host = t.extra_host(answers=False)
    host.sees_arp = True
    for port in range(5):
        c = t.peer(host=host)
        c.send_syn()
    first = t.expect_packet(host, is_request_for(host), what="an ARP request").time
    times = [first]
    t.sleep(3.2)
    while not host.inbox.empty():
        p = host.inbox.get()
        if is_request_for(host)(p):
            times.append(p.time)
    t.require(len(times) <= 5, f"{len(times)} requests in 3.2 s")
    t.require(len(times) >= 2, "the request was not repeated")


@check("RFC 1122 2.3.2.2", "the latest packet for an unresolved neighbour is kept and sent once it answers")
def arp_queue(t):
    host = t.extra_host(answers=False)
    host.sees_arp = True
    ident = b"\x12\x34\x00\x07"
    host.send(packet.ICMP, packet.icmp(8, 0, ident, b"kept"))
    p = t.expect_packet(host, is_request_for(host), what="an ARP request")
    t.sleep(0.3)
    host.send_frame(packet.ethernet(host.mac, p.eth_src, packet.ETH_ARP,
                                    packet.arp(2, host.mac, host.address, p.sender_mac, GATEWAY)))
    t.require(t.echo_reply(ident, host), "the echo reply was lost while its neighbour was unresolved")


@check("RFC 826", "an ARP packet from a known neighbour with a new MAC address updates the entry")
def arp_update(t):
    host = t.extra_host()
    t.require(t.echo(host=host), "no echo reply")
    t.sleep(1.5)
    host.mac = b"\x02\x99" + host.mac[2:]
    ask(t, host)
    t.sleep(0.2)
    reply = t.echo(host=host)
    t.require(reply, "no echo reply after the change")
    t.require(reply.eth_dst == host.mac, "the reply went to the old MAC address")


@check("RFC 826", "ARP packets of another hardware or protocol type, or cut short, are ignored")
def arp_malformed(t):
    good = packet.arp(1, t.host.mac, t.host.address, bytes(6), GATEWAY)
    for wrong in (b"\0\7" + good[2:], good[:2] + b"\x86\xdd" + good[4:], good[:4] + b"\x08\x04" + good[6:], good[:20]):
        t.host.send_frame(packet.ethernet(t.host.mac, BROADCAST, packet.ETH_ARP, wrong))
    t.expect_no_packet(t.host, 0.7, is_reply, "ARP reply")
    t.served()


@check("RFC 894", "a frame to another unicast MAC address is ignored")
def other_mac(t):
    ident = b"\0\1\0\2"
    raw = packet.ip4(t.host.address, GATEWAY, packet.ICMP, packet.icmp(8, 0, ident, b"x"))
    t.host.send_frame(packet.ethernet(t.host.mac, b"\x02\xde\xad\xbe\xef\x01", packet.ETH_IP4, raw))
    t.require(not t.echo_reply(ident, within=0.8), "answered a frame that was for another station")


@check("RFC 1122 3.3.6", "a TCP segment to the unicast address in a broadcast frame is ignored")
def broadcast_frame(t):
    c = t.peer()
    raw = packet.ip4(t.host.address, GATEWAY, packet.TCP, c.build("S", options=c.syn_options()))
    t.host.send_frame(packet.ethernet(t.host.mac, BROADCAST, packet.ETH_IP4, raw))
    c.expect_none(0.8, what="answer to a segment in a broadcast frame")


@check("RFC 1122 2.3.3", "frames of unknown types and frames too short for their headers do no harm")
def unknown_frames(t):
    mac = t.wire.gateway_mac
    for kind in (0x0000, 0x0101, 0x8100, 0x8847, 0x88CC, 0x9000, 0xFFFF):
        t.host.send_frame(packet.ethernet(t.host.mac, mac, kind, bytes(46)))
    for kind in (packet.ETH_IP4, packet.ETH_IP6, packet.ETH_ARP):
        for size in (0, 1, 7, 19):
            t.host.send_frame(packet.ethernet(t.host.mac, mac, kind, b"\x45" * size))
    t.served()
