"""Closing: FIN both ways, half close, simultaneous close, TIME-WAIT."""

import packet
from endpoint import ahead
from suite import check, pattern


def closed_by_subject(t, **options):
    """A client whose connection the subject has closed: its FIN has come and is not acknowledged yet."""
    c = t.connect(**options)
    c.send(data=t.request("/bytes/100", extra="Connection: close\r\n"))
    size = 0
    while True:
        p = c.expect(where=lambda p: p.span, within=5, what="the answer and FIN")
        if p.seq == c.rcv_nxt:
            c.rcv_nxt = (c.rcv_nxt + p.span) % packet.MOD
            size += len(p.data)
            if "F" in p.flags:
                t.require(size > 100, "FIN came before the answer")
                return c
            c.ack()


def time_wait(t, **options):
    """A client whose connection is in TIME-WAIT at the subject."""
    c = closed_by_subject(t, **options)
    c.send("FA")
    c.expect("A", ack=c.snd_nxt, what="the client's FIN acknowledged")
    return c


@check("RFC 9293 3.6", "the subject's FIN follows its data, and the peer's FIN is acknowledged")
def subject_closes(t):
    time_wait(t)


@check("RFC 9293 3.10.7.4", "the peer's FIN is acknowledged, and answered by FIN")
def peer_closes(t):
    c = t.connect()
    t.exchange(c)
    c.send("FA")
    p = c.expect(ack=c.snd_nxt, what="the FIN acknowledged")
    if "F" not in p.flags:
        c.expect("FA", ack=c.snd_nxt, what="the subject's FIN")
    c.rcv_nxt += 1
    c.ack()
    c.expect_none(0.5, what="anything after the close")


@check("RFC 9293 3.10.7.4", "FIN in one segment with data is taken with them")
def fin_with_data(t):
    c = t.connect()
    c.send("FPA", b"garbage that is no request\r\n\r\n")
    c.expect(ack=c.snd_nxt, what="data and FIN acknowledged")


@check("RFC 9293 3.10.7.4", "a FIN that comes before the data is not acknowledged until they come")
def early_fin(t):
    c = t.connect()
    start = c.snd_nxt
    c.send("FA", seq=start + 10)
    c.expect("A", ack=start, what="a duplicate ACK")
    c.send(data=b"GET / HTTP", seq=start)
    c.expect(ack=start + 11, what="data and FIN acknowledged")


@check("RFC 9293 3.6", "a client that has sent its request and FIN still gets the answer (half close)")
def half_close(t):
    c = t.connect()
    c.send("FPA", t.request("/bytes/20000"))
    t.require(c.read_response() == pattern(20_000), "the body is not what the origin sent")


@check("RFC 9293 3.6", "an answer under way is finished after the client's FIN (half close)")
def half_close_midway(t):
    c = t.connect(win=4000)
    c.send(data=t.request("/bytes/40000"))
    data = c.read(8000)
    c.send("FA")
    data += c.read(40_000 - len(data), within=10)
    t.require(pattern(40_000)[:39_000] in data, "the body is not what the origin sent")


@check("RFC 9293 3.8.1", "an unacknowledged FIN is sent again")
def fin_again(t):
    c = closed_by_subject(t)
    c.expect(where=lambda p: "F" in p.flags, within=6, what="the FIN again")


@check("RFC 6298 5.5", "an unacknowledged FIN is sent again after ever longer times")
def fin_backs_off(t):
    c = closed_by_subject(t)
    times = [c.expect(where=lambda p: "F" in p.flags, within=12, what="the FIN again").time for _ in range(4)]
    gaps = [b - a for a, b in zip(times, times[1:])]
    t.require(all(1.4 <= b / a <= 2.8 for a, b in zip(gaps, gaps[1:])), f"the times between are {[round(g, 2) for g in gaps]}")


@check("RFC 9293 3.10.7.4", "the peer's FIN sent again is acknowledged again")
def peer_fin_again(t):
    c = t.connect()
    t.exchange(c)
    c.send("FA")
    p = c.expect("FA", ack=c.snd_nxt, within=5, what="the subject's FIN")
    c.drain()
    c.send("FA", seq=c.snd_nxt - 1)
    c.expect(ack=c.snd_nxt, what="an answer to the repeated FIN")


@check("RFC 9293 3.6", "FINs that cross each other are both acknowledged (simultaneous close)")
def simultaneous_close(t):
    c = closed_by_subject(t)
    c.send("FA", ack=c.rcv_nxt - 1)          # sent before the subject's FIN came
    c.expect("A", ack=c.snd_nxt, what="the crossing FIN acknowledged")
    c.ack()
    t.sleep(0.2)
    c.drain()
    c.send("FA", seq=c.snd_nxt - 1)          # still there: TIME-WAIT
    p = c.expect(ack=c.snd_nxt, what="an answer in TIME-WAIT")
    t.require("R" not in p.flags, "the connection was forgotten instead of kept in TIME-WAIT")


@check("RFC 9293 3.10.7.4", "data beyond the peer's FIN are not taken")
def data_after_fin(t):
    c = t.connect()
    t.exchange(c)
    c.send("FA")
    c.expect(ack=c.snd_nxt)
    end = c.snd_nxt
    c.send(data=b"after the end")
    c.expect_none(0.5, lambda p: "R" not in p.flags and ahead(p.ack, end) > 0, "acknowledgement beyond the FIN")


@check("RFC 9293 3.10.7.4", "in TIME-WAIT a repeated FIN is acknowledged")
def time_wait_fin(t):
    c = time_wait(t)
    t.sleep(0.2)
    c.drain()
    c.send("FA", seq=c.snd_nxt - 1)
    p = c.expect(ack=c.snd_nxt)
    t.require("R" not in p.flags, f"answered by a reset: {p}")


@check("RFC 9293 3.10.7.4", "in TIME-WAIT an old segment is acknowledged and opens nothing")
def time_wait_old_data(t):
    c = time_wait(t)
    c.send(data=b"old", seq=c.snd_nxt - 50)
    p = c.expect("A", ack=c.snd_nxt)
    t.require("R" not in p.flags and "S" not in p.flags, f"answered by {p}")


@check("RFC 1337 3", "a reset does not end TIME-WAIT")
def time_wait_reset(t):
    c = time_wait(t)
    c.send("R", ack=0)
    t.sleep(0.2)
    c.drain()
    c.send("FA", seq=c.snd_nxt - 1)
    p = c.expect(ack=c.snd_nxt)
    t.require("R" not in p.flags, "the reset has ended TIME-WAIT")


def reopen(t, c, iss, **options):
    """A SYN on the same ports."""
    again = t.peer(port=c.port, iss=iss % packet.MOD, **options)
    again.ts_offset = c.ts_offset
    again.send_syn()
    return again


@check("RFC 9293 3.6.1", "TIME-WAIT gives way to a SYN with a higher sequence number")
def time_wait_reuse(t):
    c = time_wait(t)
    again = reopen(t, c, c.snd_nxt + 100_000)
    again.take_syn_ack(again.expect("SA", ack=again.iss + 1))
    again.ack()
    t.exchange(again)


@check("RFC 9293 3.6.1", "the new connection's sequence numbers begin above the old one's")
def time_wait_reuse_isn(t):
    c = time_wait(t)
    again = reopen(t, c, c.snd_nxt + 100_000)
    p = again.expect("SA", ack=again.iss + 1)
    t.require(ahead(p.seq, c.rcv_nxt) > 0, "the initial sequence number lies in the old connection's")


@check("RFC 6191 2", "TIME-WAIT gives way to a SYN with a newer timestamp, whatever its sequence number")
def time_wait_reuse_timestamp(t):
    c = time_wait(t, ts=True)
    t.sleep(1.1)
    again = reopen(t, c, c.snd_nxt - 5_000_000, ts=True)
    again.take_syn_ack(again.expect("SA", ack=again.iss + 1))
    again.ack()
    t.exchange(again)


@check("RFC 9293 3.10.7.4", "TIME-WAIT does not give way to a SYN with an old sequence number")
def time_wait_old_syn(t):
    c = time_wait(t)
    again = reopen(t, c, c.snd_nxt - 100_000)
    p = again.next(1)
    t.require(p is None or "S" not in p.flags, f"a SYN-ACK for an old SYN: {p}")


@check("RFC 9293 3.6", "a connection that both sides have closed takes no part in a new one on the same ports")
def reopened_after_peer_close(t):
    c = t.connect()
    t.exchange(c)
    c.send("FA")
    c.expect("FA", ack=c.snd_nxt, within=5)
    c.rcv_nxt += 1
    c.ack()
    t.sleep(0.2)
    t.exchange(t.peer(port=c.port).open())


@check("RFC 9293 3.6", "FIN and data of the subject that are lost together come again together")
def lost_tail_and_fin(t):
    c = t.connect()
    c.send(data=t.request("/bytes/100", extra="Connection: close\r\n"))
    c.expect(where=lambda p: p.data, within=5)
    t.sleep(1.5)
    c.drain()
    data, fin = bytearray(), False
    for _ in range(8):
        p = c.expect(where=lambda p: p.span and p.seq == c.rcv_nxt, within=8, what="the answer and FIN again")
        data += p.data
        c.rcv_nxt = (c.rcv_nxt + p.span) % packet.MOD
        c.ack()
        if "F" in p.flags:
            fin = True
            break
    t.require(fin and bytes(data).endswith(pattern(100)), "data or FIN are missing")
