"""Selective acknowledgement: the blocks that the subject sends, and what it does with those that it gets."""

import packet
from endpoint import ahead
from suite import check, pattern


def island(c, start, at, size=100):
    """Sends bytes beyond a gap; returns the block that should be reported."""
    c.send(data=b"x" * size, seq=start + at)
    return ((start + at) % packet.MOD, (start + at + size) % packet.MOD)


def blocks(c, start, ack=0):
    return c.expect("A", ack=start + ack, where=lambda p: "sack" in p.options, what="a duplicate ACK with SACK").options["sack"]


@check("RFC 2018 4", "a duplicate ACK reports the block that arrived")
def block_reported(t):
    c = t.connect(sack=True)
    start = c.snd_nxt
    block = island(c, start, 1000)
    t.require(blocks(c, start) == [block], "another block is reported")


@check("RFC 2018 4", "no SACK is sent when it was not agreed on")
def not_agreed(t):
    c = t.connect()
    start = c.snd_nxt
    island(c, start, 1000)
    t.require("sack" not in c.expect("A", ack=start).options, "SACK was sent")


@check("RFC 2018 4", "the first block is the one of the latest segment, the others follow by age")
def latest_first(t):
    c = t.connect(sack=True)
    start = c.snd_nxt
    found = []
    for at in (1000, 3000, 2000):
        found.insert(0, island(c, start, at))
        got = blocks(c, start)
        t.require(got == found, f"reported {got}, expected {found}")


def five_islands(t, c):
    """Five blocks one after the other, each reported first; returns them, latest first, and what the last ACK reported."""
    start, sent = c.snd_nxt, []
    for at in range(1000, 6000, 1000):
        sent.insert(0, island(c, start, at))
        p = c.expect("A", ack=start, where=lambda p: p.options.get("sack", [None])[0] == sent[0],
                     what=f"an ACK that reports {sent[0]} first")
    return sent, p.options["sack"]


@check("RFC 2018 3", "as many blocks are reported as fit: four without timestamps")
def four_blocks(t):
    sent, got = five_islands(t, t.connect(sack=True))
    t.require(got == sent[:4], f"reported {got}, expected {sent[:4]}")


@check("RFC 2018 3", "as many blocks are reported as fit: three beside timestamps")
def three_blocks(t):
    sent, got = five_islands(t, t.connect(sack=True, ts=True))
    t.require(got == sent[:3], f"reported {got}, expected {sent[:3]}")


@check("RFC 2018 4", "segments that touch are reported as one block")
def blocks_merge(t):
    c = t.connect(sack=True)
    start = c.snd_nxt
    for at in (1000, 1200, 1100):
        island(c, start, at)
    got = [p for p in c.collect(1, quiet=0.4) if "sack" in p.options][-1].options["sack"]
    t.require(got == [((start + 1000) % packet.MOD, (start + 1300) % packet.MOD)], f"reported {got}")


@check("RFC 2018 4", "blocks below the cumulative acknowledgement are no longer reported")
def blocks_end(t):
    c = t.connect(sack=True)
    start = c.snd_nxt
    island(c, start, 100)
    second = island(c, start, 1000)
    c.drain()
    c.send(data=b"y" * 100, seq=start)
    p = c.expect("A", ack=start + 200)
    t.require(p.options.get("sack") == [second], f"reported {p.options.get('sack')}")
    c.send(data=b"z" * 800, seq=start + 200)
    t.require("sack" not in c.expect("A", ack=start + 1100).options, "SACK is sent with nothing to report")


@check("RFC 2883 4.1.1", "a duplicate of acknowledged data is reported as the first block (D-SACK)")
def dsack_below(t):
    c = t.connect(sack=True)
    start = c.snd_nxt
    c.send(data=b"G" * 300)
    c.expect("A", ack=c.snd_nxt)
    c.drain()
    c.send(data=b"G" * 100, seq=start + 100)
    got = blocks(c, start, 300)
    t.require(got[0] == ((start + 100) % packet.MOD, (start + 200) % packet.MOD), f"reported {got}")


@check("RFC 2883 4.2", "a duplicate within a queued block is reported first, then the block that holds it (D-SACK)")
def dsack_above(t):
    c = t.connect(sack=True)
    start = c.snd_nxt
    island(c, start, 1000, 300)
    blocks(c, start)
    c.send(data=b"x" * 100, seq=start + 1100)
    got = blocks(c, start)
    whole = ((start + 1000) % packet.MOD, (start + 1300) % packet.MOD)
    t.require(got == [((start + 1100) % packet.MOD, (start + 1200) % packet.MOD), whole], f"reported {got}")


# ---- the sender --------------------------------------------------------------------------------------------------------------

def edges(p):
    return (p.seq, p.seq + len(p.data))


def lose(c, packets, lost):
    """Acknowledges a flight in which the segments with the numbers in `lost` got lost, one duplicate ACK per segment."""
    known = []
    first = min(lost)
    for p in packets[:first]:
        c.rcv_nxt = (p.seq + len(p.data)) % packet.MOD
    for number, p in enumerate(packets):
        if number in lost or number < first:
            continue
        if known and known[0][1] == p.seq:
            known[0] = (known[0][0], p.seq + len(p.data))
        else:
            known.insert(0, edges(p))
        c.ack(extra=packet.opt_sack(*known[:4]))
    return known


def retransmissions(c, packets, seconds, quiet=None):
    """(those of the flight that came again, in their order; new segments)."""
    old = {p.seq for p in packets}
    end = max(ahead(p.seq + len(p.data), c.irs) for p in packets)
    came = [p for p in c.collect(seconds, quiet) if p.data]
    return [p for p in came if ahead(p.seq, c.irs) < end], [p for p in came if ahead(p.seq, c.irs) >= end], old


@check("RFC 6675 5", "one lost segment is sent again after three SACKed ones, and no SACKed one with it")
def one_hole(t):
    c, packets = t.flight(sack=True)
    t.require(len(packets) >= 5, f"a flight of {len(packets)} segments")
    lose(c, packets, {0})
    again, _, _ = retransmissions(c, packets, 0.4)
    t.require(again, "nothing was sent again")
    t.require({p.seq for p in again} == {packets[0].seq}, f"sent again: {[str(p) for p in again]}")


@check("RFC 6675 5", "several holes are filled without waiting for partial acknowledgements, and only they")
def several_holes(t):
    c, packets = t.flight(sack=True)
    t.require(len(packets) >= 10, f"a flight of {len(packets)} segments")
    holes = {0, 3, 6}
    lose(c, packets, holes)
    again, _, _ = retransmissions(c, packets, 0.5)
    wanted = {packets[number].seq for number in holes}
    t.require({p.seq for p in again} == wanted,
              f"sent again: {sorted(ahead(p.seq, packets[0].seq) for p in again)}, "
              f"lost: {sorted(ahead(seq, packets[0].seq) for seq in wanted)}")


@check("RFC 2018 8", "data that were SACKed and then disowned are sent again (reneging)")
def reneging(t):
    c, packets = t.flight(size=13_000, sack=True)
    lose(c, packets, {0})
    c.expect(where=lambda p: p.seq == packets[0].seq, within=5, what="the lost segment")
    c.rcv_nxt = packets[1].seq
    c.ack()  # without SACK: the receiver has thrown all behind it away
    c.expect(where=lambda p: p.data and p.seq == packets[1].seq, within=8, what="the disowned segment")
    c.read(13_000 - len(packets[0].data), within=20)


@check("RFC 2018 5", "SACK blocks that are impossible do no harm")
def bogus_blocks(t):
    c, packets = t.flight(size=60_000, sack=True)
    una, end = c.rcv_nxt, packets[-1].seq + len(packets[-1].data)
    for block in ((end + 10_000, end + 20_000), (una - 5000, una - 1000), (end, una), (una + 100, una + 100),
                  (una - 1000, end + 1000), (una, una + (1 << 31))):
        c.ack(extra=packet.opt_sack(block))
        c.ack(extra=packet.opt_sack(block, block))
    data = c.read(60_000, within=20)
    t.require(data.endswith(pattern(60_000)[-3000:]), "the body is not what the origin sent")


@check("RFC 6675 5.1", "a transfer that loses every tenth segment is completed")
def random_loss(t):
    c = t.connect(sack=True, ts=True, wscale=7, win=2000)
    c.send(data=t.request("/bytes/300000"))
    data, held, count = bytearray(), {}, 0
    while len(data) < 300_000:
        p = c.expect(where=lambda p: p.data, within=10, what=f"data after {len(data)} bytes")
        count += 1
        if count % 10 == 0:
            continue
        if ahead(p.seq, c.rcv_nxt) > 0:
            held[p.seq] = p.data
            ends = sorted(((s, s + len(d)) for s, d in held.items()), key=lambda e: ahead(e[0], c.rcv_nxt))
            merged = []
            for left, right in ends:
                if merged and merged[-1][1] % packet.MOD == left:
                    merged[-1] = (merged[-1][0], right)
                else:
                    merged.append((left, right))
            mine = [m for m in merged if ahead(p.seq, m[0]) >= 0 > ahead(p.seq, m[1])]
            c.ack(extra=packet.opt_sack(*(mine + [m for m in reversed(merged) if m not in mine])[:3]))
            continue
        if ahead(p.seq + len(p.data), c.rcv_nxt) > 0:
            part = p.data[ahead(c.rcv_nxt, p.seq):]
            data += part
            c.rcv_nxt = (c.rcv_nxt + len(part)) % packet.MOD
            while c.rcv_nxt in held:
                part = held.pop(c.rcv_nxt)
                data += part
                c.rcv_nxt = (c.rcv_nxt + len(part)) % packet.MOD
        c.ack()
    t.require(pattern(300_000)[:290_000] in data, "the body is not what the origin sent")


@check("RFC 8985 7.3", "a lost tail is found by a probe: the last segment is sent again before the timeout")
def tail_loss_probe(t):
    c = t.peer(sack=True).open(delay=0.15)
    for _ in range(2):  # a round trip of 150 ms
        c.send(data=t.request("/bytes/500"))
        p = c.expect(where=lambda p: p.data, within=5)
        t.sleep(0.12)
        for p in [p] + c.collect(0.03, quiet=0.03, started=True):
            if p.data and p.seq == c.rcv_nxt:
                c.rcv_nxt = (p.seq + len(p.data)) % packet.MOD
        c.ack()
    c.send(data=t.request("/bytes/6000"))
    first = c.expect(where=lambda p: p.data and ahead(p.seq, c.rcv_nxt) >= 0, within=5)
    packets = [first] + [p for p in c.collect(1, quiet=0.1, started=True) if p.data]
    again = c.expect(where=lambda p: p.data, within=4, what="a probe or retransmission")
    t.require(again.seq + len(again.data) == packets[-1].seq + len(packets[-1].data),
              f"segment +{ahead(again.seq, first.seq)} was sent again first, not the last of {len(packets)},"
              f" +{ahead(packets[-1].seq, first.seq)}")


@check("RFC 8985 6.2", "a retransmission that got lost too is sent again before the timeout (RACK)")
def lost_retransmission(t):
    c, packets = t.flight(sack=True)
    t.require(len(packets) >= 10, f"a flight of {len(packets)} segments")
    una, arrived = packets[0].seq, packets[1]
    c.rcv_nxt = una
    for p in packets[1:6]:
        c.ack(extra=packet.opt_sack((arrived.seq, p.seq + len(p.data))))
    first = c.expect(where=lambda p: p.data and p.seq == una, within=0.5, what="the lost segment")
    t.sleep(0.15)
    c.drain()
    for p in packets[6:]:
        c.ack(extra=packet.opt_sack((arrived.seq, p.seq + len(p.data))))
    end = max(ahead(p.seq + len(p.data), una) for p in c.got if p.data)
    new = c.expect(where=lambda p: p.data and ahead(p.seq, packets[-1].seq) > 0 and p.time > first.time + 0.1, within=0.3,
                   what="a new segment")
    t.sleep(0.02)
    for p in [new] + c.collect(0.1, quiet=0.03, started=True):
        end = max(end, ahead(p.seq + len(p.data), una))
        t.require(p.seq != una, "sent again without a reason")
    c.ack(extra=packet.opt_sack((arrived.seq, una + end)))
    c.expect(where=lambda p: p.data and p.seq == una, within=0.35, what="the lost segment once more")


@check("RFC 6937 3", "during recovery no more is sent than arrives (proportional rate reduction)")
def rate_reduction(t):
    c, packets = t.flight(sack=True)
    t.require(len(packets) >= 8, f"a flight of {len(packets)} segments")
    c.rcv_nxt = packets[0].seq
    delivered = sent = 0
    for p in packets[1:]:
        c.ack(extra=packet.opt_sack((packets[1].seq, p.seq + len(p.data))))
        delivered += len(p.data)
        sent += sum(len(q.data) for q in c.collect(0.03))
        t.require(sent <= delivered + 1460, f"{sent} bytes were sent for {delivered} that arrived")
    t.require(sent >= 1460, "nothing was sent again")
