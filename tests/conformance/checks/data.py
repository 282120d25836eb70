"""Segments of an open connection: order, overlap, acknowledgement, and what lies outside the window."""

import random
import statistics

import packet
from endpoint import ahead
from suite import Failed, check, pattern

BODY = pattern(4000)


def parts(c, data, size):
    """(sequence number, bytes) of `data` cut into segments, from SND.NXT on; SND.NXT then stands behind them."""
    found = [((c.snd_nxt + at) % packet.MOD, data[at:at + size]) for at in range(0, len(data), size)]
    c.snd_nxt = (c.snd_nxt + len(data)) % packet.MOD
    return found


def upload(t, arrange, size=250, pause=0.0, **options):
    """Sends an echo request whose segments `arrange` puts into another order; the echo shows what was delivered."""
    c = t.connect(**options)
    for seq, data in arrange(parts(c, t.request("/echo", BODY), size)):
        c.send(data=data, seq=seq)
        t.sleep(pause)
    t.require(c.read_response(15) == BODY, "the bytes delivered are not those sent")


@check("RFC 9293 3.10.7.4", "segments of one byte are put together")
def one_byte_segments(t):
    body = BODY[:150]
    c = t.connect()
    for seq, data in parts(c, t.request("/echo", body), 1):
        c.send(data=data, seq=seq)
    t.require(c.read_response() == body, "the bytes delivered are not those sent")


@check("RFC 9293 3.10.7.4", "segments in reverse order are put together")
def reversed_segments(t):
    upload(t, lambda found: found[::-1])


@check("RFC 9293 3.10.7.4", "segments in random order are put together")
def shuffled_segments(t):
    upload(t, lambda found: random.sample(found, len(found)), size=60)


@check("RFC 9293 3.10.7.4", "duplicate segments are delivered once")
def duplicate_segments(t):
    upload(t, lambda found: [one for one in found for _ in range(2)])


@check("RFC 9293 3.10.7.4", "segments that overlap on either side are put together")
def overlapping_segments(t):
    c = t.connect()
    start, data = c.snd_nxt, t.request("/echo", BODY)
    places = list(range(0, len(data), 100))
    random.shuffle(places)
    for at in places:
        c.send(data=data[max(at - 70, 0):at + 170], seq=start + max(at - 70, 0))
    c.snd_nxt = (start + len(data)) % packet.MOD
    t.require(c.read_response() == BODY, "the bytes delivered are not those sent")


@check("RFC 9293 3.10.7.4", "acknowledged bytes are not changed by an overlapping segment with other content")
def overlap_keeps_acknowledged(t):
    c = t.connect()
    start, data = c.snd_nxt, t.request("/echo", b"A" * 500)
    c.send(data=data[:-200])
    c.expect("A", ack=start + len(data) - 200)
    c.send(data=b"Z" * 200 + data[-200:], seq=start + len(data) - 400)
    c.snd_nxt = (start + len(data)) % packet.MOD
    t.require(c.read_response() == b"A" * 500, "bytes that were acknowledged have changed")


@check("RFC 9293 3.10.7.4", "data without PSH are delivered")
def without_push(t):
    c = t.connect()
    request = t.request("/bytes/100")
    t.host.send(packet.TCP, c.build("A", request))
    t.require(len(c.read_response(4)) == 100, "not served")


@check("RFC 9293 3.9.1", "the last segment of an answer carries PSH")
def sends_push(t):
    c = t.connect()
    t.exchange(c, 5000)
    last = max((p for p in c.got if p.data), key=lambda p: ahead(p.seq, c.irs))
    t.require("P" in last.flags, f"the last segment is {last}")


@check("RFC 5681 4.2", "a single segment is acknowledged within 500 ms")
def delayed_ack(t):
    c = t.connect()
    c.send(data=b"GET /bytes/10 HTTP/1.1\r\n")
    c.expect("A", ack=c.snd_nxt, within=0.55, what="the delayed ACK")


@check("RFC 5681 4.2", "every second full-sized segment is acknowledged at once")
def second_segment(t):
    c = t.connect()
    c.send(data=t.request("/echo", length=50_000))
    c.expect("A", ack=c.snd_nxt)
    waits = []
    for _ in range(8):
        c.drain()
        begin = packet_time()
        for _ in range(2):
            c.send(data=b"x" * 1460)
        waits.append(c.expect("A", ack=c.snd_nxt).time - begin)
    t.require(statistics.median(waits) < 0.03, f"acknowledged after {[round(wait * 1000) for wait in waits]} ms")


def packet_time():
    import time
    return time.monotonic()


@check("RFC 5681 4.2", "of full-sized segments that come one by one at least every second is acknowledged")
def stretch_acks(t):
    # Not a burst: what has arrived before the receiver looks may well be acknowledged together, and Linux does so too. Nor so slowly
    # that a timer acknowledges as often.
    for pace in (0.004, 0.01):
        c = t.connect()
        c.send(data=t.request("/echo", length=200_000))
        c.expect("A", ack=c.snd_nxt)
        t.sleep(0.1)
        c.drain()
        for _ in range(40):
            c.send(data=b"x" * 1460)
            t.sleep(pace)
        acks = c.collect(1, quiet=0.5)
        if len(acks) >= 16:
            return
    raise Failed(f"{len(acks)} ACKs for 40 segments")


@check("RFC 5681 4.2", "a segment beyond a gap is answered at once by a duplicate ACK")
def duplicate_ack(t):
    c = t.connect()
    start = c.snd_nxt
    waits = []
    for at in range(1, 8):
        begin = packet_time()
        c.send(data=b"x" * 100, seq=start + at * 200)
        waits.append(c.expect("A", ack=start, what="a duplicate ACK").time - begin)
    t.require(statistics.median(waits) < 0.03, f"after {[round(wait * 1000) for wait in waits]} ms")


@check("RFC 5681 4.2", "a segment that fills a gap wholly or in part is acknowledged at once")
def gap_filled(t):
    waits = []
    for _ in range(4):
        c = t.connect()
        start = c.snd_nxt
        for at in (1, 3):
            c.send(data=b"x" * 100, seq=start + at * 100)
        for seq, ack in ((start, start + 200), (start + 200, start + 400)):
            begin = packet_time()
            c.send(data=b"y" * 100, seq=seq)
            waits.append(c.expect("A", ack=ack).time - begin)
    t.require(statistics.median(waits) < 0.03, f"after {[round(wait * 1000) for wait in waits]} ms")


@check("RFC 9293 3.10.7.4", "data beyond the window are dropped and acknowledged")
def beyond_window(t):
    c = t.connect()
    start = c.snd_nxt
    c.send(data=b"x" * 100, seq=start + (c.syn.win << c.subject_shift) + 100_000)
    t.require(c.expect("A").ack == start % packet.MOD, "acknowledges something else than the next byte expected")
    t.exchange(c)


@check("RFC 9293 3.10.7.4", "old data, already acknowledged, are dropped and acknowledged at once")
def old_data(t):
    c = t.connect()
    c.send(data=b"GET /")
    c.expect("A", ack=c.snd_nxt)
    begin = packet_time()
    c.send(data=b"GET /", seq=c.snd_nxt - 5)
    p = c.expect("A", ack=c.snd_nxt)
    t.require(p.time - begin < 0.15, f"after {p.time - begin:.3f} s")
    c.send(data=b"bytes/10 HTTP/1.1\r\nHost: x\r\n\r\n")
    t.require(len(c.read_response()) == 10, "not served")


@check("RFC 5961 5", "data with an acknowledgement beyond SND.NXT are dropped and answered by an ACK")
def ack_beyond(t):
    c = t.connect()
    start = c.snd_nxt
    c.send(data=t.request(), seq=start, ack=c.rcv_nxt + 100_000)
    p = c.expect("A", what="an ACK")
    t.require(p.ack == start % packet.MOD, "the data were taken")
    t.exchange(c)


@check("RFC 5961 5", "data with an acknowledgement far older than SND.UNA are dropped and answered by an ACK")
def ack_too_old(t):
    c = t.connect()
    t.exchange(c)
    start = c.snd_nxt
    c.send(data=t.request(), seq=start, ack=c.rcv_nxt - 2_000_000)
    p = c.expect("A", what="an ACK")
    t.require(p.ack == start % packet.MOD, "the data were taken")
    t.exchange(c)


@check("RFC 9293 3.10.7.4", "data with an acknowledgement that is old but plausible are taken")
def ack_duplicate(t):
    c = t.connect()
    t.exchange(c)
    c.send(data=t.request("/bytes/10"), ack=c.rcv_nxt - 100)
    t.require(len(c.read_response()) == 10, "not served")


@check("RFC 9293 3.10.7.4", "a segment without ACK on an open connection is dropped")
def missing_ack(t):
    c = t.connect()
    start = c.snd_nxt
    c.send("P", t.request(), seq=start)
    c.expect_none(0.7, lambda p: "A" in p.flags and p.ack != start % packet.MOD, "acknowledgement of it")
    t.exchange(c)


@check("RFC 9293 3.1", "data with a wrong checksum are dropped silently")
def bad_checksum(t):
    c = t.connect()
    start = c.snd_nxt
    c.send(data=t.request(), seq=start, bad_checksum=True)
    c.expect_none(0.7, what="answer")
    t.exchange(c)


@check("RFC 9293 3.1", "data whose data offset is below 5 or beyond the segment are dropped")
def bad_offset(t):
    c = t.connect()
    start = c.snd_nxt
    for offset in (0, 3, 15):
        c.send(data=b"GET / HTTP/1.1\r\n", seq=start, offset=offset)
    c.expect_none(0.7, lambda p: p.ack != start % packet.MOD, "acknowledgement of it")
    t.exchange(c)


@check("RFC 9293 3.8.4", "a keep-alive probe without data is answered by an ACK")
def keepalive(t):
    c = t.connect()
    t.exchange(c)
    c.ack(seq=c.snd_nxt - 1)
    p = c.expect("A", ack=c.snd_nxt, what="an answer to the probe")
    t.require(p.seq == c.rcv_nxt, "the answer's sequence number is not SND.NXT")


@check("RFC 9293 3.8.4", "a keep-alive probe with one byte of garbage is answered by an ACK, and the byte is not delivered")
def keepalive_garbage(t):
    c = t.connect()
    t.exchange(c)
    c.send(data=b"\0", seq=c.snd_nxt - 1)
    c.expect("A", ack=c.snd_nxt, what="an answer to the probe")
    t.exchange(c)


@check("RFC 9293 3.8.5", "an urgent pointer beyond the data does not hold up what is there")
def urgent_beyond(t):
    c = t.connect()
    c.send("UPA", t.request("/bytes/100"), urg=60_000)
    t.require(len(c.read_response()) == 100, "not served")


@check("RFC 9293 3.8.5", "a segment with URG and pointer 0 is taken")
def urgent_zero(t):
    c = t.connect()
    c.send("UPA", t.request("/bytes/100"), urg=0)
    t.require(len(c.read_response()) == 100, "not served")


@check("RFC 6093 4", "urgent bytes stay in the stream")
def urgent_inline(t):
    c = t.connect()
    start, data = c.snd_nxt, t.request("/echo", BODY)
    at = len(data) - 3000
    c.send(data=data[:at])
    c.send("UPA", data[at:at + 1000], urg=500)
    c.send(data=data[at + 1000:at + 2000])
    c.send(data=data[at + 2000:])
    t.require(ahead(c.snd_nxt, start) == len(data) and c.read_response(4) == BODY, "the bytes delivered are not those sent")


@check("RFC 9293 3.4", "a large upload arrives intact")
def large_upload(t):
    body = pattern(1_000_000)
    t.require(t.fetch("/echo", body).wait(30) == body, "the body that came back is not the one sent")


@check("RFC 9293 3.4", "a large download arrives intact")
def large_download(t):
    c = t.connect(wscale=7, win=2000)
    c.send(data=t.request("/bytes/1000000"))
    t.require(c.read_response(30) == pattern(1_000_000), "the body is not what the origin sent")


@check("RFC 9293 3.4", "requests that follow each other on one connection are answered")
def one_after_another(t):
    c = t.connect()
    for size in (1000, 2000, 3000):
        t.exchange(c, size)
