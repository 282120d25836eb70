"""Congestion control and retransmission. Flights are seen whole: the peer is silent until the subject stops."""

import packet
from endpoint import ahead
from suite import check, unique

MSS = 1460


def take(c, packets, count=None):
    """Acknowledges segments of a flight one by one."""
    for p in packets[:count]:
        c.rcv_nxt = (p.seq + len(p.data)) % packet.MOD
        c.ack()


def lossy(t, **options):
    """A flight whose first segment is acknowledged; the first of the rest is the one that gets lost in the check."""
    c, packets = t.flight(**options)
    t.require(len(packets) >= 8, f"a flight of {len(packets)} segments")
    take(c, packets, 1)
    return c, unique(packets[1:] + data_of(c.collect(0.5, quiet=0.1)))


def duplicates(c, count):
    for _ in range(count):
        c.ack()


def data_of(packets):
    return [p for p in packets if p.data]


def first_again(c, packets, within):
    """The first segment of the flight when it is sent again."""
    return c.expect(where=lambda p: p.data and p.seq == packets[0].seq, within=within, what="the first segment again")


@check("RFC 6928 2", "the initial window is at most ten segments")
def initial_window(t):
    c, packets = t.flight()
    flight = c.in_flight(packets)
    t.require(MSS <= flight <= 10 * MSS, f"{flight} bytes in the first flight")


@check("RFC 6928 2", "the initial window is at most ten segments when they are small")
def initial_window_small(t):
    c, packets = t.flight(mss=500)
    flight = c.in_flight(packets)
    t.require(500 <= flight <= 5000, f"{flight} bytes in the first flight; ten segments of 500 are allowed")


@check("RFC 6928 2", "the initial window is one segment when the SYN-ACK was lost more than once")
def initial_window_after_loss(t):
    c = t.peer()
    c.send_syn()
    c.expect("SA")
    c.expect("SA", within=5, what="a second SYN-ACK")
    c.take_syn_ack(c.expect("SA", within=8, what="a third SYN-ACK"))
    c.ack()
    c.send(data=t.request("/bytes/50000"))
    first = c.expect(where=lambda p: p.data, within=5)
    flight = c.in_flight([first] + c.collect(0.5, quiet=0.15))
    t.require(flight <= MSS, f"{flight} bytes in the first flight")


@check("RFC 5681 3.1", "slow start at most doubles the flight in a round trip")
def slow_start(t):
    c, packets = t.flight()
    before = c.in_flight(packets)
    take(c, packets)
    flight = c.in_flight(c.collect(1, quiet=0.1))
    t.require(before < flight <= 2 * before + MSS, f"after {before} bytes the next flight is {flight}")


@check("RFC 3465 2.3", "one ACK for a whole flight opens the window by no more than was acknowledged")
def stretch_ack(t):
    c, packets = t.flight()
    before = c.in_flight(packets)
    c.rcv_nxt = (packets[-1].seq + len(packets[-1].data)) % packet.MOD
    c.ack()
    flight = c.in_flight(c.collect(1, quiet=0.1))
    t.require(flight <= 2 * before + MSS, f"after {before} bytes the next flight is {flight}")


@check("RFC 5681 3.1", "acknowledging a segment in pieces does not open the window faster (ACK division)")
def ack_division(t):
    c, packets = t.flight()
    first = packets[0]
    before = c.in_flight(packets)
    for step in range(1, 21):
        c.ack(ack=first.seq + len(first.data) * step // 20)
    c.rcv_nxt = (first.seq + len(first.data)) % packet.MOD
    flight = c.in_flight(packets + c.collect(1, quiet=0.1))
    t.require(flight <= before + 2 * MSS, f"{flight} bytes in flight, {before} before")


@check("RFC 5681 3.2", "three duplicate ACKs draw the lost segment at once")
def fast_retransmit(t):
    c, packets = lossy(t)
    duplicates(c, 3)
    p = first_again(c, packets, 0.4)
    size = min(len(p.data), len(packets[0].data))  # it may be cut anew
    t.require(p.data[:size] == packets[0].data[:size], "the content has changed")


@check("RFC 5681 3.2", "two duplicate ACKs do not draw a retransmission")
def two_duplicates(t):
    c, packets = lossy(t)
    duplicates(c, 2)
    c.expect_none(0.25, lambda p: p.data and p.seq == packets[0].seq, "retransmission")


@check("RFC 3042 2", "the first two duplicate ACKs each let one new segment out (limited transmit)")
def limited_transmit(t):
    c, packets = lossy(t)
    before = c.in_flight(packets)
    duplicates(c, 1)
    one = c.in_flight(packets + c.collect(0.25, quiet=0.1)) - before
    duplicates(c, 1)
    two = c.in_flight(c.got) - before
    two = max(two, c.in_flight(packets + c.collect(0.25, quiet=0.1)) - before)
    t.require(0 < one <= MSS and MSS < two <= 2 * MSS, f"{one} new bytes after one, {two} after two duplicate ACKs")


@check("RFC 6582 3.2", "a partial acknowledgement draws the next lost segment at once (NewReno)")
def partial_ack(t):
    c, packets = lossy(t)
    duplicates(c, len(packets) - 2)  # one for each segment that arrived, as a receiver sends them
    first_again(c, packets, 0.4)
    c.rcv_nxt = packets[3].seq
    c.ack()
    c.expect(where=lambda p: p.data and p.seq == packets[3].seq, within=0.4, what="the second lost segment")


@check("RFC 5681 3.2", "after a fast retransmit the window is smaller than before")
def window_after_recovery(t):
    c, packets = lossy(t)
    before = c.in_flight(packets)
    duplicates(c, 4)
    first_again(c, packets, 0.4)
    came = unique(packets + data_of(c.collect(0.5, quiet=0.1)))
    c.rcv_nxt = (came[-1].seq + len(came[-1].data)) % packet.MOD
    c.ack()
    flight = c.in_flight(c.collect(0.5, quiet=0.1))
    t.require(MSS <= flight <= 0.9 * before + MSS / 2, f"{flight} bytes in flight after the loss, {before} before")


@check("RFC 6298 2.4", "the retransmission timeout is at least 1 s, however short the round trip")
def rto_minimum(t):
    c = t.connect()
    for _ in range(3):
        t.exchange(c, 10_000)
    c.send(data=t.request("/bytes/1000"))
    first = c.expect(where=lambda p: p.data, within=5)
    p = first_again(c, [first], 5)
    t.require(p.time - first.time >= 0.95, f"after {p.time - first.time:.2f} s")


@check("RFC 6298 5.5", "the retransmission timeout doubles each time")
def rto_doubles(t):
    c, packets = t.flight(size=1000)
    times = [first_again(c, packets, 12).time for _ in range(3)]
    gaps = [b - a for a, b in zip(times, times[1:])]
    t.require(all(1.5 <= b / a <= 2.6 for a, b in zip(gaps, gaps[1:])), f"the times between are {[round(g, 2) for g in gaps]}")


@check("RFC 6298 2.1", "without a measured round trip the first timeout is about 1 s, measured ones follow the path")
def rto_measures(t):
    c, packets = t.flight(size=1000, delay=0.8)
    p = first_again(c, packets, 8)
    t.require(p.time - packets[0].time >= 0.8, f"sent again after {p.time - packets[0].time:.2f} s on a path of 0.8 s")


@check("RFC 5681 3.1", "after a timeout one segment is sent")
def one_after_rto(t):
    c, packets = t.flight(sack=False)
    first = first_again(c, packets, 5)
    came = data_of(c.collect(0.35))
    t.require(sum(len(p.data) for p in came) <= MSS, f"{len(came)} more segments: {[str(p) for p in came[:3]]}")
    t.require(len(first.data) <= MSS, "more than a segment")


@check("RFC 5681 3.1", "after a timeout slow start begins with one segment")
def slow_start_after_rto(t):
    c, packets = t.flight()
    first_again(c, packets, 5)
    c.drain()
    take(c, packets, 1)
    came = data_of(c.collect(0.4, quiet=0.15))
    t.require(1 <= len(came) <= 3, f"{len(came)} segments after the first acknowledgement")


@check("RFC 6298 5.3", "an acknowledgement of new data restarts the timer")
def rto_restarts(t):
    c, packets = t.flight(size=6000, delay=0.4)
    t.require(len(packets) >= 3, f"a flight of {len(packets)} segments")
    t.sleep(0.35)
    take(c, packets, 1)
    p = c.next(0.01)
    start = packets[0].time
    again = c.expect(where=lambda p: p.data and p.seq == packets[1].seq, within=6, what="a retransmission")
    t.require(p is None and again.time - start > 1.0, f"sent again {again.time - start:.2f} s after the flight")


@check("RFC 5682 2.1", "when acknowledgements show a timeout to be spurious, what arrived is not sent again (F-RTO)")
def spurious_timeout(t):
    c, packets = t.flight()
    first_again(c, packets, 5)
    c.drain()
    take(c, packets, 1)
    t.sleep(0.03)
    for p in packets[1:]:
        c.rcv_nxt = (p.seq + len(p.data)) % packet.MOD
        c.ack()
        t.sleep(0.03)
    again = [p for p in data_of(c.collect(0.3)) if ahead(p.seq, packets[1].seq) >= 0 > ahead(p.seq, packets[-1].seq)]
    t.require(not again, f"{len(again)} segments that had arrived were sent again")


@check("RFC 5681 4.1", "after an idle time the flight is no larger than the initial window")
def idle_restart(t):
    c = t.connect()
    t.exchange(c, 150_000)
    t.sleep(3)
    c.drain()
    c.send(data=t.request("/bytes/150000"))
    flight = c.in_flight(c.collect(1, quiet=0.1))
    t.require(MSS <= flight <= 11 * MSS, f"{flight} bytes in the first flight")


@check("RFC 9293 3.8.1", "a segment sent again has the same bytes as before")
def retransmission_identical(t):
    c, packets = t.flight(size=5000)
    for _ in range(2):
        p = first_again(c, packets, 8)
        size = min(len(p.data), len(packets[0].data))
        t.require(size and p.data[:size] == packets[0].data[:size], "the content has changed")


@check("RFC 5681 2", "ACKs that open the window are not duplicates")
def not_duplicates(t):
    c, packets = lossy(t, win=50_000)
    for number in range(1, 6):
        c.ack(win=50_000 + 100 * number)
    c.expect_none(0.25, lambda p: p.data and p.seq == packets[0].seq, "retransmission")


@check("RFC 5681 2", "ACKs that carry data are not duplicates")
def not_duplicates_with_data(t):
    c, packets = lossy(t)
    for part in (b"GET ", b"/bytes/1 ", b"HTTP/1.1\r\n", b"A: b\r\n", b"C: d\r\n"):
        c.send(data=part)
    c.expect_none(0.2, lambda p: p.data and p.seq == packets[0].seq, "retransmission")


# ---- ECN ---------------------------------------------------------------------------------------------------------------------

@check("RFC 3168 6.1.2", "once ECN is agreed on, data are marked ECN-capable")
def ecn_data(t):
    c, packets = t.flight(ecn=True)
    t.require(all(p.tos & 3 == 2 for p in packets), f"marks: {[p.tos & 3 for p in packets]}, expected ECT(0)")


@check("RFC 3168 6.1.4", "ACKs without data are not marked ECN-capable")
def ecn_acks(t):
    c = t.connect(ecn=True)
    c.send(data=b"GET /bytes/10 HTTP/1.1\r\n")
    p = c.expect("A", ack=c.snd_nxt)
    t.require("E" in c.syn.flags, "ECN was not agreed on")
    t.require(p.tos & 3 == 0, "an ACK is marked")


@check("RFC 3168 6.1.5", "segments sent again are not marked ECN-capable")
def ecn_retransmission(t):
    c, packets = t.flight(size=1000, ecn=True)
    t.require(packets[0].tos & 3 == 2, "ECN was not used")
    t.require(first_again(c, packets, 6).tos & 3 == 0, "the retransmission is marked")


@check("RFC 3168 6.1.3", "a congestion mark is echoed by ECE until the peer says CWR")
def ecn_echo(t):
    c = t.connect(ecn=True)
    c.tos = 3
    c.send(data=b"GET ")
    t.require("E" in c.expect("A", ack=c.snd_nxt).flags, "no ECE after a mark")
    c.tos = 2
    c.send(data=b"/bytes/10 ")
    t.require("E" in c.expect("A", ack=c.snd_nxt).flags, "ECE ended before CWR")
    c.send("APW", b"HTTP/1.1\r\n")
    c.expect("A", ack=c.snd_nxt)
    c.send(data=b"X: y\r\n")
    t.require("E" not in c.expect("A", ack=c.snd_nxt).flags, "ECE after CWR")


@check("RFC 3168 6.1.2", "ECE shrinks the window once, and the next new segment says CWR")
def ecn_reaction(t):
    c, packets = t.flight(ecn=True)
    before = c.in_flight(packets)
    for p in packets:
        c.rcv_nxt = (p.seq + len(p.data)) % packet.MOD
        c.send("AE")
    came = data_of(c.collect(0.6, quiet=0.15))
    t.require(came and "W" in came[0].flags, f"no CWR on the first new segment: {came and came[0]}")
    t.require(c.in_flight(came) <= before, f"{c.in_flight(came)} bytes in flight after the mark, {before} before")
