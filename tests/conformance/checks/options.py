"""TCP options: which are sent, which are honoured, and what malformed ones must not do."""

import packet
from endpoint import ahead
from suite import check, pattern


@check("RFC 9293 3.7.1", "the SYN-ACK carries a maximum segment size that fits the link")
def mss_sent(t):
    c = t.connect()
    t.require(c.syn.options.get("mss") == 1460, f"the option says {c.syn.options.get('mss')}, the link's MTU 1500 allows 1460")


def longest(t, size=40_000, v=4, **options):
    """The longest segment of a download by a client with these options."""
    c = t.connect(v, **options)
    c.send(data=t.request(f"/bytes/{size}"))
    t.require(c.read_response() == pattern(size), "the body is not what the origin sent")
    return max(len(p.data) for p in c.got)


@check("RFC 9293 3.7.1", "segments are no longer than the peer's maximum segment size")
def mss_honoured(t):
    t.require(longest(t, mss=700) == 700, "the longest segment has not 700 bytes")


@check("RFC 6691 2", "segments with timestamps are shorter by the option's length")
def mss_with_timestamps(t):
    found = longest(t, mss=700, ts=True)
    t.require(found <= 688, f"the longest segment has {found} bytes; 700 - 12 fit")


@check("RFC 9293 3.7.1", "without the option segments carry at most 536 bytes")
def mss_absent(t):
    found = longest(t, mss=None)
    t.require(found <= 536, f"the longest segment has {found} bytes")


@check("RFC 9293 3.7.1", "over IPv6, without the option, segments carry at most 1220 bytes")
def mss_absent6(t):
    found = longest(t, v=6, mss=None)
    t.require(found <= 1220, f"the longest segment has {found} bytes")


@check("RFC 9293 3.7.1", "a small maximum segment size (64) is honoured")
def mss_small(t):
    found = longest(t, size=3000, mss=64)
    t.require(found <= 64, f"the longest segment has {found} bytes")


@check("RFC 9293 3.7.1", "a maximum segment size of 0 or 1 does not stop a connection")
def mss_zero(t):
    for mss in (0, 1):
        longest(t, size=200, mss=mss)


@check("RFC 9293 3.7.1", "a maximum segment size beyond the link's does not make segments too long for it")
def mss_huge(t):
    found = longest(t, mss=65535)
    t.require(found <= 1460, f"the longest segment has {found} bytes")


@check("RFC 7323 2.2", "window scaling is answered when offered, and only then")
def wscale_offered(t):
    t.require("wscale" in t.connect(wscale=5).syn.options, "offered and not answered")
    t.require("wscale" not in t.connect().syn.options, "sent without an offer")


@check("RFC 7323 3.2", "timestamps are answered when offered, and only then")
def timestamps_offered(t):
    t.require("ts" in t.connect(ts=True).syn.options, "offered and not answered")
    t.require("ts" not in t.connect().syn.options, "sent without an offer")


@check("RFC 2018 2", "SACK-permitted is answered when offered, and only then")
def sack_offered(t):
    t.require("sack_ok" in t.connect(sack=True).syn.options, "offered and not answered")
    t.require("sack_ok" not in t.connect().syn.options, "sent without an offer")


@check("RFC 9293 3.1", "unknown options on a SYN and on data are ignored")
def unknown_options(t):
    c = t.peer()
    c.send_syn(options=b"\xfd\4ab" + packet.opt_mss(700) + b"\x22\2")
    c.take_syn_ack(c.expect("SA"))
    c.ack(options=b"\xfd\x0aabcdefgh")
    c.send(data=t.request("/bytes/3000"), options=b"\xfe\4zz")
    t.require(len(c.read_response()) == 3000, "not served")
    t.require(max(len(p.data) for p in c.got) == 700, "the option behind an unknown one was not seen")


@check("RFC 9293 3.1", "nothing behind the end-of-options option is read")
def end_of_options(t):
    c = t.peer()
    c.send_syn(options=b"\0" + b"\1\1\1" + packet.opt_mss(1000))
    c.take_syn_ack(c.expect("SA"))
    c.ack()
    c.send(data=t.request("/bytes/3000"))
    t.require(len(c.read_response()) == 3000, "not served")
    t.require(max(len(p.data) for p in c.got) <= 536, "the option behind the end was used")


@check("RFC 9293 3.1", "options of illegal length on a SYN do no harm")
def malformed_syn(t):
    for options in (b"\2\0\5\xb4", b"\2\1\5\xb4", b"\2\x28\5\xb4", b"\2",
                    b"\xfd\0\1\1", b"\3\4\7\1", b"\x08\x0a\0\0", b"\4\3\1\1", b"\2\3\1\1"):
        t.peer().send_syn(options=options)
    t.served()


@check("RFC 9293 3.1", "options of illegal length on data of an open connection do no harm to it")
def malformed_data(t):
    c = t.connect(ts=True, sack=True, wscale=3)
    for extra in (b"\x05\0\1\1", b"\x05\x07\1\2\3\4\5\1", b"\xfd\xff\1\1", b"\x05\x0b" + bytes(9) + b"\1", b"\2\4\0\0"):
        c.ack(extra=extra)
    t.exchange(c)


@check("RFC 7323 2.3", "a window shift above 14 counts as 14")
def wscale_cap(t):
    c = t.connect(wscale=15, win=1)
    c.send(data=t.request("/bytes/200000"))
    most, seen = 0, 0
    while seen < 170_000:
        packets = c.collect(1.5, quiet=0.12)
        t.require(any(p.data for p in packets), f"stopped after {seen} bytes")
        most = max(most, c.in_flight(packets))
        step = c.in_flight(packets)
        c.rcv_nxt = (c.rcv_nxt + step) % packet.MOD
        seen += step
        # Every segment acknowledged, so that the congestion window grows beyond the peer's.
        for p in sorted(packets, key=lambda p: ahead(p.seq, c.rcv_nxt)):
            if p.data:
                c.ack(ack=p.seq + len(p.data))
    t.require(most <= 16384, f"{most} bytes in flight; 1 << 14 are allowed")


@check("RFC 7323 2.2", "the peer's window is scaled by its shift")
def wscale_applied(t):
    c = t.connect(wscale=7, win=60)
    c.send(data=t.request("/bytes/100000"))
    flight = c.in_flight(c.collect(2, quiet=0.3))
    t.require(60 < flight <= 60 << 7, f"{flight} bytes in flight; the window is {60 << 7}")


@check("RFC 7323 3.2", "once agreed on, every segment but a reset carries timestamps")
def timestamps_on_all(t):
    c = t.connect(ts=True)
    t.exchange(c, 20_000)
    c.send("FA")
    c.expect("FA")
    missing = [p for p in c.got if "ts" not in p.options and "R" not in p.flags]
    t.require(not missing, f"missing: {missing and missing[0]}")


@check("RFC 7323 3.2", "without agreement no segment carries timestamps, and the peer's are ignored")
def timestamps_not_agreed(t):
    c = t.connect()
    c.send(data=t.request("/bytes/5000"), options=packet.opt_timestamps(5, 6))
    t.require(len(c.read_response()) == 5000, "not served")
    t.require(not any("ts" in p.options for p in c.got), "timestamps were sent")


@check("RFC 7323 4.3", "an ACK echoes the timestamp of the segment that it acknowledges")
def timestamp_echo(t):
    c = t.peer(ts=True)
    c.send_syn(options=packet.opt_mss(1460) + packet.opt_timestamps(1000, 0))
    p = c.expect("SA")
    t.require(p.options.get("ts", (0, 0))[1] == 1000, "the SYN-ACK does not echo the SYN's timestamp")
    c.take_syn_ack(p)
    c.ack(ts=(1001, c.ts_recent))
    c.send(data=b"GET /bytes/1", ts=(1010, c.ts_recent))
    p = c.expect("A", ack=c.snd_nxt)
    t.require(p.options["ts"][1] == 1010, f"echoes {p.options['ts'][1]}, not 1010")


@check("RFC 7323 4.3", "a delayed ACK for two segments echoes the first one's timestamp")
def timestamp_echo_delayed(t):
    c = t.peer(ts=True).open()
    base = c.ts_now()
    for _ in range(3):  # a delayed ACK needs two segments that come together
        start = c.snd_nxt
        first = c.build("PA", b"a" * 100, ts=(base + 10, c.ts_recent))
        second = c.build("PA", b"b" * 100, ts=(base + 20, c.ts_recent))
        t.host.send(packet.TCP, first)
        t.host.send(packet.TCP, second)
        acks = []
        while not acks or acks[-1].ack != c.snd_nxt:
            acks.append(c.expect("A", where=lambda p: ahead(p.ack, start) > 0))
        echo = (acks[-1].options["ts"][1] - base) % packet.MOD
        covered_both = len(acks) == 1
        t.require(echo == (10 if covered_both else 20), f"echoes +{echo}, covering {'both' if covered_both else 'the second'}")
        base += 100


@check("RFC 7323 4.3", "a segment beyond a gap does not change the echoed timestamp, the one that fills it does")
def timestamp_echo_gap(t):
    c = t.connect(ts=True)
    start, base = c.snd_nxt, c.ts_now()
    c.send(data=b"GET ", ts=(base + 1, c.ts_recent))
    c.expect("A", ack=start + 4)
    c.send(data=b"late", seq=start + 8, ts=(base + 5, c.ts_recent))
    p = c.expect("A", ack=start + 4)
    t.require(p.options["ts"][1] == (base + 1) % packet.MOD, "the echo is not of the last segment in order")
    c.send(data=b"fill", seq=start + 4, ts=(base + 4, c.ts_recent))
    p = c.expect("A", ack=start + 12)
    t.require(p.options["ts"][1] == (base + 4) % packet.MOD, "the echo is not of the segment that filled the gap")


@check("RFC 7323 5.4", "the timestamp clock ticks between once a millisecond and once a second")
def timestamp_clock(t):
    c = t.connect(ts=True)
    stamps = []
    for _ in range(2):
        c.send(data=b"x" * 10)
        p = c.expect("A", ack=c.snd_nxt)
        stamps.append((p.options["ts"][0], p.time))
        t.sleep(2.2)
    ticks, seconds = ahead(stamps[1][0], stamps[0][0]), stamps[1][1] - stamps[0][1]
    t.require(1 <= ticks <= seconds * 1000 * 1.3 + 5, f"{ticks} ticks in {seconds:.2f} s")


@check("RFC 7323 3.2", "once agreed on, a segment without timestamps is dropped")
def timestamps_missing(t):
    c = t.connect(ts=True)
    start = c.snd_nxt
    c.send(data=t.request(), options=b"")
    c.expect_none(0.7, lambda p: p.ack != start, "acknowledgement of it")


@check("RFC 7323 3.2", "a reset without timestamps is taken although they were agreed on")
def reset_without_timestamps(t):
    c = t.connect(ts=True)
    t.exchange(c)
    c.send("R", ack=0, options=b"")
    t.sleep(0.2)
    c.drain()
    c.ack()
    c.expect("R", what="a reset, since the connection is gone")


@check("RFC 7323 5.3", "a segment with an old timestamp is dropped and acknowledged (PAWS)")
def paws(t):
    c = t.connect(ts=True)
    t.exchange(c)
    start = c.snd_nxt
    c.send(data=t.request(), seq=start, ts=(c.ts_now() - 100_000, c.ts_recent))
    p = c.expect("A", what="an ACK")
    t.require(p.ack == start, "the old segment was taken")
    t.exchange(c)


@check("RFC 7323 5.3", "a reset with an old timestamp is taken: PAWS does not apply to it")
def paws_reset(t):
    c = t.connect(ts=True)
    t.exchange(c)
    c.send("R", ack=0, ts=(c.ts_now() - 100_000, 0))
    t.sleep(0.2)
    c.drain()
    c.ack()
    c.expect("R", what="a reset, since the connection is gone")


@check("RFC 3168 6.1.1", "a SYN that offers ECN is answered by a SYN-ACK with ECE and without CWR")
def ecn_offered(t):
    p = t.connect(ecn=True).syn
    t.require("E" in p.flags and "W" not in p.flags, f"the flags are {p.flags}")
    t.require(p.tos & 3 == 0, "the SYN-ACK is marked ECN-capable")


@check("RFC 3168 6.1.1", "a SYN that does not offer ECN is answered without ECE, and data are not marked")
def ecn_not_offered(t):
    c = t.connect()
    t.exchange(c, 5000)
    t.require(all("E" not in p.flags and "W" not in p.flags and p.tos & 3 == 0 for p in c.got), "ECN is used without an offer")
