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
