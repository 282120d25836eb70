"""Opening from the peer's side: SYN, SYN-ACK, the last ACK, and what may go wrong between them."""

from endpoint import ahead
from suite import check

@check("RFC 9293 3.10.7.2", "a SYN to a listening port is answered by a SYN-ACK that acknowledges it")
def syn_ack(t):
    c = t.peer()
    c.send_syn()
    p = c.expect("SA", ack=c.iss + 1)
    t.require(not p.data, "the SYN-ACK carries data")


@check("RFC 9293 3.5", "a connection opens and carries a request and its answer")
def opens_and_serves(t):
    t.exchange(t.connect())


@check("RFC 9293 3.10.7.4", "a repeated SYN in SYN-RECEIVED gets the same initial sequence number again")
def repeated_syn_same_isn(t):
    c = t.peer()
    c.send_syn()
    first = c.expect("SA")
    c.send_syn()
    again = c.expect("SA")
    t.require(again.seq == first.seq, f"initial sequence numbers differ: {first.seq} and {again.seq}")


@check("RFC 6298 5.5", "an unanswered SYN-ACK is sent again, each time after twice the time")
def syn_ack_backs_off(t):
    c = t.peer()
    c.send_syn()
    times = [c.expect("SA").time] + [c.expect("SA", within=20, what="a retransmitted SYN-ACK").time for _ in range(3)]
    gaps = [b - a for a, b in zip(times, times[1:])]
    t.require(gaps[0] >= 0.8, f"the first retransmission came after {gaps[0]:.2f} s; RFC 6298 2.1 says 1 s")
    for a, b in zip(gaps, gaps[1:]):
        t.require(1.5 <= b / a <= 2.6, f"gaps do not double: {gaps}")


@check("RFC 9293 3.10.7.4", "a wrong ACK in SYN-RECEIVED gets RST with that number, and the right one still opens")
def bad_ack(t):
    c = t.peer()
    c.send_syn()
    c.take_syn_ack(c.expect("SA"))
    c.ack(ack=c.rcv_nxt + 5000)
    p = c.expect("R", what="a reset")
    t.require(p.seq == (c.irs + 5001) & 0xFFFFFFFF, "the reset's sequence number is not that of the wrong ACK")
    c.ack()
    t.exchange(c)


@check("RFC 9293 3.10.7.4", "a reset in SYN-RECEIVED ends the half-open connection")
def reset_half_open(t):
    c = t.peer()
    c.send_syn()
    c.take_syn_ack(c.expect("SA"))
    c.send("R", seq=c.snd_nxt, ack=0)
    t.sleep(0.2)
    c.drain()
    c.ack()
    c.expect("R", what="a reset, since the half-open connection is gone")


@check("RFC 5961 3.2", "a reset outside the window in SYN-RECEIVED is ignored")
def reset_half_open_outside(t):
    c = t.peer()
    c.send_syn()
    c.take_syn_ack(c.expect("SA"))
    c.send("R", seq=c.snd_nxt - 1000, ack=0)
    c.send("R", seq=c.snd_nxt + 10_000_000, ack=0)
    t.sleep(0.1)
    c.ack()
    t.exchange(c)


@check("RFC 9293 3.10.7.4", "when the last ACK is lost, data that carry an ACK open the connection")
def last_ack_lost(t):
    c = t.peer()
    c.send_syn()
    c.take_syn_ack(c.expect("SA"))
    t.exchange(c)


@check("RFC 9293 3.10.7.4", "when the last ACK is lost, the answer to a repeated SYN-ACK opens the connection")
def last_ack_lost_repeated(t):
    c = t.peer()
    c.send_syn()
    c.take_syn_ack(c.expect("SA"))
    c.expect("SA", within=5, what="a repeated SYN-ACK")
    c.ack()
    t.exchange(c)


@check("RFC 9293 3.10.7.4", "data and FIN with the last ACK are taken")
def data_and_fin_with_last_ack(t):
    c = t.peer()
    c.send_syn()
    c.take_syn_ack(c.expect("SA"))
    c.send("FPA", t.request("/bytes/10"))
    c.expect(ack=c.snd_nxt, what="data and FIN acknowledged")


@check("RFC 6528 3", "initial sequence numbers of different connections cannot be guessed from each other")
def isn_unpredictable(t):
    numbers = []
    for _ in range(10):
        c = t.peer()
        c.send_syn()
        c.take_syn_ack(c.expect("SA"))
        numbers.append(c.irs)
    gaps = [abs(ahead(b, a)) for a, b in zip(numbers, numbers[1:])]
    t.require(len(set(numbers)) == 10 and sum(gap > 1 << 24 for gap in gaps) >= 6, f"too near to each other: {numbers}")


@check("RFC 6528 3", "initial sequence numbers of one pair of ports grow with the clock")
def isn_grows(t):
    port, last = t.port(), None
    for _ in range(5):
        c = t.peer(port=port)
        c.send_syn()
        c.take_syn_ack(c.expect("SA"))
        t.require(last is None or 0 < ahead(c.irs, last) < 1 << 30, f"from {last} to {c.irs}")
        last = c.irs
        c.send("R", ack=0)
        t.sleep(0.3)


@check("RFC 9293 3.4", "sequence numbers wrap around while a request is sent")
def sequence_wrap(t):
    c = t.peer(iss=0xFFFFFFF0).open()
    t.exchange(c, 3000)
    c = t.peer(iss=0xFFFFFFFF).open()
    t.exchange(c)


@check("RFC 9293 3.10.7.2", "data on a SYN are acknowledged and kept, or not acknowledged and taken when sent again")
def data_on_syn(t):
    c = t.peer()
    request = t.request("/bytes/100")
    c.send_syn(data=request[:10])
    p = c.expect("SA")
    t.require(ahead(p.ack, c.iss) in (1, 11), f"acknowledges {ahead(p.ack, c.iss)} of the SYN and 10 bytes")
    c.take_syn_ack(p)
    c.snd_nxt = p.ack
    c.send(data=request[ahead(p.ack, c.iss) - 1:])
    t.require(len(c.read_response()) == 100, "not served")


@check("RFC 9293 3.10.7.2", "an ACK to a listening port gets RST with that number as its sequence number")
def ack_to_listen(t):
    c = t.peer()
    c.send("A", seq=1000, ack=424_242)
    t.require(c.expect("R").seq == 424_242, "the reset's sequence number is not that of the ACK")


@check("RFC 9293 3.10.7.2", "a SYN with ACK to a listening port gets RST")
def syn_ack_to_listen(t):
    c = t.peer()
    c.send("SA", seq=1000, ack=515_151)
    t.require(c.expect("R").seq == 515_151, "the reset's sequence number is not that of the ACK")


@check("RFC 9293 3.10.7.2", "a reset to a listening port is ignored")
def reset_to_listen(t):
    c = t.peer()
    for flags in ("R", "RA", "SR", "FR"):
        c.send(flags, seq=1000, ack=5 if "A" in flags else 0)
    c.expect_none(0.7, what="answer to a reset")


@check("RFC 9293 3.10.7.2", "a segment to a listening port with neither SYN, ACK nor RST is dropped silently")
def nothing_to_listen(t):
    c = t.peer()
    for flags in ("", "F", "P", "U", "FPU"):
        c.send(flags, b"data" if flags == "P" else b"", seq=1000)
    c.expect_none(0.7, what="answer")


@check("RFC 9293 3.10.7.2", "a SYN with FIN opens a connection or is ignored, but is not refused")
def syn_fin(t):
    c = t.peer()
    c.send("SF", seq=c.iss, options=c.syn_options())
    c.expect_none(0.7, lambda p: "R" in p.flags, "reset")
    t.served()


@check("RFC 9293 3.1", "reserved header bits are ignored")
def reserved_bits(t):
    c = t.peer()
    c.send_syn(reserved=5)
    c.take_syn_ack(c.expect("SA"))
    c.ack(reserved=5)
    t.exchange(c)


@check("RFC 9293 3.1", "a SYN with a wrong checksum is dropped")
def bad_checksum(t):
    c = t.peer()
    c.send_syn(bad_checksum=True)
    c.expect_none(0.8, what="answer")


@check("RFC 9293 3.1", "a SYN whose data offset is below 5 or beyond its end is dropped")
def bad_offset(t):
    for offset in (0, 4, 15):
        c = t.peer()
        c.send_syn(offset=offset, options=b"")
        c.expect_none(0.3, what=f"answer to data offset {offset}")
    t.served()


@check("RFC 9293 3.5", "a SYN with a new sequence number on a half-open connection does not confuse it")
def second_syn_other_isn(t):
    c = t.peer()
    c.send_syn()
    c.take_syn_ack(c.expect("SA"))
    c.send("S", seq=c.iss + 77_777, options=c.syn_options())
    t.sleep(0.2)
    c.drain()
    c.ack()
    answered = c.next(0.3)
    t.require(answered is None or "R" not in answered.flags, f"the first handshake was lost: {answered}")
    t.exchange(c)


@check("RFC 9293 3.8.6", "a handshake with a window of 0 opens; data wait until the window does")
def zero_window_handshake(t):
    c = t.peer(win=0)
    c.open()
    c.send(data=t.request("/bytes/100"), win=0)
    c.expect(ack=c.snd_nxt, what="the request acknowledged")
    c.expect_none(0.3, lambda p: len(p.data) > 1, "data into a window of 0")
    c.win = 65535
    c.ack()
    t.require(len(c.read_response()) == 100, "not served")
