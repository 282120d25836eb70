"""The other side of the proxy: connections that the subject opens to an origin which the check plays, and backpressure."""

import time

import packet
from endpoint import ahead
from suite import Failed, check, pattern


def asked(t, v=4, body=b"", **options):
    """(client, the subject's SYN as a peer): a client has asked for something of a raw origin."""
    origin = t.origin(v)
    client = t.connect()
    client.send(data=t.request(origin.path, body))
    return client, origin.expect_syn(**options)


def complete(t, client, o, size=2000):
    """Handshake, request and answer on the origin's side; the client gets the body."""
    o.answer_syn()
    o.expect("A", ack=o.snd_nxt, what="the handshake's last ACK")
    if o.got[-1].data:
        o.put_back(o.got.pop())
    finish(t, client, o, size)


def finish(t, client, o, size=2000):
    """Request and answer on an open origin side."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += o.read(1)
    body = pattern(size)
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode() + body
    for at in range(0, len(answer), 1000):
        o.send(data=answer[at:at + 1000])
    t.require(client.read_response() == body, "the client did not get the origin's answer")


def status(client, within=5):
    """Status code of the client's answer."""
    data = client.read(12, within)
    return int(data[9:12])


@check("RFC 9293 3.10.1", "an active open sends a SYN with a maximum segment size, and data follow the handshake")
def syn_sent(t):
    client, o = asked(t)
    t.require(o.syn.flags.strip("EW") == "S" and not o.syn.data and o.syn.ack == 0, f"not a plain SYN: {o.syn}")
    t.require(o.syn.options.get("mss") == 1460, f"the option says {o.syn.options.get('mss')}")
    complete(t, client, o)


@check("RFC 9293 3.10.1", "an active open over IPv6")
def syn_sent6(t):
    client, o = asked(t, 6)
    t.require(o.syn.options.get("mss") == 1440, f"the option says {o.syn.options.get('mss')}")
    complete(t, client, o)


@check("RFC 7323 2.2", "an active open offers window scaling, timestamps and SACK")
def syn_options(t):
    _, o = asked(t)
    missing = {"wscale", "ts", "sack_ok"} - set(o.syn.options)
    t.require(not missing, f"not offered: {missing}")


@check("RFC 6298 5.5", "an unanswered SYN is sent again after about 1 s and then after ever longer times, with the same number")
def syn_again(t):
    _, o = asked(t)
    times = [o.syn.time]
    for _ in range(3):
        p = o.expect("S", within=12, what="the SYN again")
        t.require(p.seq == o.syn.seq, "the initial sequence number has changed")
        times.append(p.time)
    gaps = [b - a for a, b in zip(times, times[1:])]
    t.require(gaps[0] >= 0.8, f"the first time is {gaps[0]:.2f} s")
    # Linux sends the first few at a constant second (tcp_syn_linear_timeouts); the RFC doubles.
    t.require(all(1.5 <= b / a <= 2.6 for a, b in zip(gaps, gaps[1:])), f"the times between are {[round(g, 2) for g in gaps]}")


@check("RFC 9293 3.10.7.3", "a SYN that was lost is answered when it comes again")
def syn_lost(t):
    client, o = asked(t)
    o.expect("S", within=5, what="the SYN again")
    complete(t, client, o)


@check("RFC 9293 3.10.7.3", "a reset that acknowledges the SYN ends the attempt at once")
def refused(t):
    client, o = asked(t)
    o.send("RA", seq=0)
    t.require(status(client) == 503, "the client was not told 503")


@check("RFC 9293 3.10.7.3", "a reset without ACK, or for another number, does not end the attempt")
def refused_forged(t):
    client, o = asked(t)
    o.send("R", seq=0, ack=0)
    o.send("RA", seq=0, ack=o.rcv_nxt + 5)
    o.send("RA", seq=0, ack=o.rcv_nxt - 1)
    t.sleep(0.1)
    complete(t, client, o)


@check("RFC 9293 3.10.7.3", "a SYN-ACK for another number gets RST with it, and the right one still opens")
def bad_syn_ack(t):
    client, o = asked(t)
    o.send("SA", ack=o.rcv_nxt + 1000, seq=o.iss)
    p = o.expect("R", what="a reset")
    t.require(p.seq == (o.rcv_nxt + 1000) % packet.MOD, "the reset's sequence number is not that of the wrong ACK")
    complete(t, client, o)


@check("RFC 9293 3.10.7.3", "an ACK without SYN for another number gets RST, one without SYN for the right number is ignored")
def ack_in_syn_sent(t):
    client, o = asked(t)
    o.send("A", ack=o.rcv_nxt + 77, seq=o.iss)
    o.expect("R", what="a reset")
    o.send("A", ack=o.rcv_nxt, seq=o.iss)
    o.expect_none(0.3, lambda p: "R" in p.flags, "reset")
    complete(t, client, o)


@check("RFC 9293 3.5", "SYNs that cross each other open the connection (simultaneous open)")
def simultaneous_open(t):
    client, o = asked(t)
    o.send("S", options=o.syn_options())
    p = o.expect("SA", ack=o.iss + 1, what="a SYN-ACK")
    t.require(p.seq == o.syn.seq, "the SYN-ACK has another sequence number than the SYN")
    o.send("SA", seq=o.iss, options=o.syn_options())
    o.ack()
    finish(t, client, o)


@check("RFC 9293 3.10.7.4", "a reset after a simultaneous open's SYN ends the attempt")
def simultaneous_open_reset(t):
    client, o = asked(t)
    o.send("S", options=o.syn_options())
    o.expect("SA", ack=o.iss + 1, what="a SYN-ACK")
    o.send("R", ack=0)
    t.require(status(client) == 503, "the client was not told 503")


@check("RFC 9293 3.10.7.4", "a repeated SYN-ACK, as when the last ACK was lost, is acknowledged again")
def syn_ack_repeated(t):
    client, o = asked(t)
    o.answer_syn()
    o.expect("A", ack=o.snd_nxt)
    if o.got[-1].data:
        o.put_back(o.got.pop())
    t.sleep(0.2)
    kept = o.collect(0.3, quiet=0.2, started=True)
    o.send("SA", seq=o.iss, options=packet.opt_mss(1460))
    p = o.expect("A", ack=o.snd_nxt, what="the ACK again")
    t.require("S" not in p.flags and "R" not in p.flags, f"answered by {p}")
    o.put_back(*kept)
    finish(t, client, o)


@check("RFC 9293 3.10.7.3", "data with the SYN-ACK do no harm")
def data_on_syn_ack(t):
    client, o = asked(t)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + pattern(100)
    o.send("SA", answer[:20], options=o.syn_options())
    p = o.expect("A", what="an ACK")
    taken = ahead(p.ack, o.iss + 1)
    t.require(taken in (0, 20), f"acknowledges {taken} of 20 bytes")
    if p.data:
        o.put_back(o.got.pop())
    o.snd_nxt = p.ack
    data = b""
    while b"\r\n\r\n" not in data:
        data += o.read(1)
    o.send(data=answer[ahead(o.snd_nxt, o.iss + 1):])
    t.require(client.read_response() == pattern(100), "the client did not get the origin's answer")


def upload(t, size, **options):
    """A client that sends a body, and the origin's side when all of it has come."""
    origin = t.origin()
    fetch = t.fetch(origin.path, body=pattern(size))
    o = origin.expect_syn(**options)
    o.answer_syn()
    data = o.read(size, within=10)
    t.require(pattern(size)[:size - 2000] in data, "the body is not what the client sent")
    return fetch, o


@check("RFC 9293 3.7.1", "the maximum segment size of the SYN-ACK is honoured")
def mss_honoured(t):
    _, o = upload(t, 30_000, mss=600)
    t.require(max(len(p.data) for p in o.got) <= 600, "a segment is longer")


@check("RFC 9293 3.7.1", "without the option in the SYN-ACK segments carry at most 536 bytes")
def mss_absent(t):
    _, o = upload(t, 30_000, mss=None)
    t.require(max(len(p.data) for p in o.got) <= 536, "a segment is longer")


@check("RFC 7323 3.2", "timestamps that the SYN-ACK does not confirm are not used")
def timestamps_unconfirmed(t):
    _, o = upload(t, 20_000)
    t.require(not any("ts" in p.options for p in o.got if "S" not in p.flags), "timestamps are sent")


@check("RFC 7323 3.2", "timestamps that the SYN-ACK confirms are on every segment")
def timestamps_confirmed(t):
    _, o = upload(t, 20_000, ts=True)
    t.require(all("ts" in p.options for p in o.got if "R" not in p.flags), "a segment has none")


@check("RFC 7323 2.2", "a window scale that the SYN-ACK does not confirm is not applied")
def wscale_unconfirmed(t):
    _, o = asked(t)
    o.answer_syn()
    p = o.expect("A", ack=o.snd_nxt)
    t.require(p.win >= min(o.syn.win, 4096), f"the window fell from {o.syn.win} to {p.win}: it is shifted without agreement")


@check("RFC 7323 2.2", "the window of a SYN-ACK is not scaled")
def syn_ack_window(t):
    origin = t.origin()
    t.fetch(origin.path, body=pattern(100_000))
    o = origin.expect_syn(wscale=7, win=2000)
    t.require("wscale" in o.syn.options, "the SYN does not offer scaling")
    o.answer_syn()
    flight = o.in_flight(o.collect(1.5, quiet=0.4))
    t.require(500 <= flight <= 2000, f"{flight} bytes were sent into a window of 2000")


@check("RFC 6056 3", "source ports of active opens cannot be guessed from each other")
def ports_unpredictable(t):
    ports = []
    for _ in range(8):
        _, o = asked(t)
        ports.append(o.peer_port)
        o.send("RA", seq=0)
    gaps = [abs(b - a) for a, b in zip(ports, ports[1:])]
    t.require(len(set(ports)) == 8 and sum(gap > 50 for gap in gaps) >= 5, f"the ports are {ports}")


@check("RFC 6528 3", "initial sequence numbers of active opens cannot be guessed from each other")
def isn_unpredictable(t):
    numbers = []
    for _ in range(8):
        _, o = asked(t)
        numbers.append(o.syn.seq)
        o.send("RA", seq=0)
    gaps = [abs(ahead(b, a)) for a, b in zip(numbers, numbers[1:])]
    t.require(sum(gap > 1 << 24 for gap in gaps) >= 5, f"the numbers are {numbers}")


@check("RFC 9293 3.9.2.2", "port unreachable about the SYN ends the attempt")
def hard_error(t):
    client, o = asked(t)
    t.icmp_error(o.syn, 3, 3)
    t.require(status(client) == 503, "the client was not told 503")


@check("RFC 9293 3.9.2.2", "host unreachable about the SYN does not end the attempt")
def soft_error(t):
    client, o = asked(t)
    t.icmp_error(o.syn, 3, 1)
    t.icmp_error(o.syn, 11, 0)
    t.sleep(0.2)
    complete(t, client, o)


@check("RFC 5927 4.1", "an ICMP error about another sequence number than the SYN's is ignored")
def forged_error(t):
    client, o = asked(t)
    for distance in (1000, -1000, 1 << 30):
        t.icmp_error(o.syn, 3, 3, seq=o.syn.seq + distance)
    t.sleep(0.2)
    complete(t, client, o)


@check("RFC 9293 3.10.7.4", "a reset from the origin in the middle of an answer ends the client's connection")
def origin_reset(t):
    client, o = t.proxied()
    o.read(20)
    o.send(data=b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + pattern(1000))
    client.expect(where=lambda p: p.data, what="the answer's beginning")
    o.send("R", ack=0)
    client.expect(where=lambda p: "R" in p.flags or "F" in p.flags, within=5, what="FIN or RST")


@check("RFC 9293 3.6", "an origin that closes an idle connection gets its FIN acknowledged and answered by FIN")
def origin_closes(t):
    client, o = t.proxied()
    finish(t, client, o)
    o.drain()
    o.send("FA")
    o.expect(ack=o.snd_nxt, within=3, what="the FIN acknowledged")
    if "F" not in o.got[-1].flags and "R" not in o.got[-1].flags:
        o.expect(where=lambda p: "F" in p.flags or "R" in p.flags, within=5, what="the subject's FIN")


@check("RFC 9293 3.6", "an answer that ends with the origin's FIN is delivered whole, then the client's connection is closed")
def origin_answer_until_close(t):
    client, o = t.proxied()
    o.read(20)
    body = pattern(8000)
    for part in (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", body[:4000], body[4000:]):
        for at in range(0, len(part), 1460):
            o.send(data=part[at:at + 1460])
    o.send("FA")
    data = client.read(8000)
    t.require(b"200 OK" in data, "no answer")
    rest = data
    until = time.monotonic() + 5
    while body[-100:] not in rest and time.monotonic() < until:
        try:
            rest += client.read(1, 1)
        except Failed:
            break
    t.require(body[-100:] in rest, "the end of the body is missing")


@check("RFC 9293 3.8.1", "a request's segment that the origin did not get is sent again, unchanged")
def request_lost(t):
    client, o = t.proxied()
    first = o.expect(where=lambda p: p.data, what="the request")
    again = o.expect(where=lambda p: p.data and p.seq == first.seq, within=6, what="the request again")
    t.require(again.data[:len(first.data)] == first.data, "it has changed")
    finish(t, client, o)


@check("RFC 9293 3.8.6", "an origin that does not read stops the client's upload (backpressure up)")
def backpressure_up(t):
    origin = t.origin()
    size = 3_500_000
    fetch = t.fetch(origin.path, body=pattern(size))
    o = origin.accept(win=5000)
    head = o.read(2000)
    o.win = 0
    o.ack()
    last, stood = -1, time.monotonic()
    while time.monotonic() - stood < 2:
        sent = size - len(fetch.endpoint.buffer)
        if sent != last:
            last, stood = sent, time.monotonic()
        t.sleep(0.1)
        while (p := o.next(0)) is not None:
            if p.data and ahead(p.seq, o.rcv_nxt) == 0:  # sent before the window closed
                head += p.data
                o.rcv_nxt = (o.rcv_nxt + len(p.data)) % packet.MOD
            o.ack()
    t.require(last < size - 100_000, f"{last} of {size} bytes were taken although the origin reads nothing")
    o.win = 65535
    o.ack()
    data = head + o.read(size - len(head), within=25)
    t.require(pattern(size)[:size - 5000] in data, "the body is not what the client sent")


@check("RFC 9293 3.8.6", "a client that does not read stops the origin's answer (backpressure down)")
def backpressure_down(t):
    origin = t.origin()
    client = t.connect(win=3000)
    client.send(data=t.request(origin.path))
    o = origin.accept(win=65535)
    o.read(20)
    size = 3_000_000
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode() + pattern(size)
    client.win = 0
    client.ack()
    sent, acked, window, start = 0, 0, o.syn.win, o.snd_nxt
    stood = time.monotonic()
    while time.monotonic() - stood < 2 and sent < size:
        room = acked + window - sent
        if room > 0:
            part = answer[sent:sent + min(room, 1460)]
            o.send(data=part)
            sent += len(part)
            stood = time.monotonic()
        p = o.next(0 if room > 0 else 0.2)
        while p is not None:
            if ahead(p.ack, start) >= acked:
                acked, window = ahead(p.ack, start), p.win
            p = o.next(0)
        while client.next(0) is not None:
            client.ack()
    t.require(sent < size - 100_000, f"{sent} of {size} bytes were taken although the client reads nothing")
