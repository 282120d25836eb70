"""Resets: those that the subject owes, those that it must believe, and those that it must not."""

from suite import check

@check("RFC 9293 3.10.7.1", "a SYN to a closed port is answered by RST with sequence number 0 and the SYN acknowledged")
def closed_port_syn(t):
    c = t.peer(peer_port=81)
    c.send_syn()
    p = c.expect("R", ack=c.iss + 1)
    t.require(p.seq == 0, f"the reset has sequence number {p.seq}")


@check("RFC 9293 3.10.7.1", "a segment with ACK to a closed port is answered by RST with that number as its sequence number")
def closed_port_ack(t):
    c = t.peer(peer_port=81)
    c.send("A", seq=1000, ack=777_777)
    p = c.expect("R")
    t.require(p.seq == 777_777, f"the reset has sequence number {p.seq}, not 777777")


@check("RFC 9293 3.10.7.4", "a reset with exactly the expected sequence number ends the connection at once")
def exact_reset(t):
    c = t.connect()
    t.exchange(c)
    c.send("R", seq=c.snd_nxt, ack=0)
    t.sleep(0.2)
    c.drain()
    c.send(data=b"x")
    c.expect("R", what="a reset, since the connection is gone")


@check("RFC 5961 3.2", "a reset in the window but not at its left edge gets a challenge ACK and does not end the connection")
def reset_in_window(t):
    c = t.connect()
    t.exchange(c)
    c.send("R", seq=c.snd_nxt + 100, ack=0)
    c.expect("A", ack=c.snd_nxt, what="a challenge ACK")
    t.exchange(c)


@check("RFC 5961 4.2", "a SYN on an open connection gets a challenge ACK and does not end it")
def syn_challenge(t):
    c = t.connect()
    t.exchange(c)
    c.send("S", seq=c.snd_nxt + 10, options=b"")
    p = c.expect("A", ack=c.snd_nxt, what="a challenge ACK")
    t.require("R" not in p.flags and "S" not in p.flags, f"not a plain ACK: {p}")
    t.exchange(c)


@check("RFC 9293 3.10.7.1", "data to a closed port without ACK get RST with sequence number 0 and all of it acknowledged")
def closed_port_data(t):
    c = t.peer(peer_port=81)
    c.send("F", b"0123456789", seq=5000)
    p = c.expect("R", ack=5011)
    t.require(p.seq == 0, f"the reset has sequence number {p.seq}")


@check("RFC 9293 3.10.7.1", "a reset to a closed port is not answered")
def closed_port_reset(t):
    c = t.peer(peer_port=81)
    for flags in ("R", "RA", "RS", "RF", "RPU"):
        c.send(flags, seq=5000, ack=1 if "A" in flags else 0)
    c.expect_none(0.7, what="answer to a reset")


@check("RFC 9293 3.1", "a segment to a closed port with a wrong checksum is not answered")
def closed_port_bad_checksum(t):
    c = t.peer(peer_port=81)
    c.send_syn(bad_checksum=True)
    c.expect_none(0.7, what="answer")


@check("RFC 5961 3.2", "a reset outside the window is dropped silently")
def reset_outside(t):
    c = t.connect()
    t.exchange(c)
    for distance in (-1, -50_000, 500_000_000):
        c.send("R", seq=c.snd_nxt + distance, ack=0)
    c.expect_none(0.5, lambda p: "R" in p.flags, "reset")
    t.exchange(c)


@check("RFC 5961 4.2", "a SYN with the expected sequence number gets a challenge ACK too")
def syn_challenge_exact(t):
    c = t.connect()
    t.exchange(c)
    c.send("S", seq=c.snd_nxt, options=c.syn_options())
    p = c.expect("A", ack=c.snd_nxt, what="a challenge ACK")
    t.require("R" not in p.flags and "S" not in p.flags, f"not a plain ACK: {p}")
    t.exchange(c)


@check("RFC 5961 4.2", "a SYN-ACK on an open connection does not end it")
def syn_ack_on_open(t):
    c = t.connect()
    t.exchange(c)
    c.send("SA", seq=c.irs + 1000, ack=c.rcv_nxt, options=b"")
    c.send("SA", seq=c.snd_nxt, ack=c.rcv_nxt, options=b"")
    c.expect_none(0.3, lambda p: "R" in p.flags, "reset")
    t.exchange(c)


@check("RFC 9293 3.5.1", "a restarted client that answers the challenge by RST can open a new connection on the same ports")
def half_open_recovery(t):
    c = t.connect()
    t.exchange(c)
    again = t.peer(port=c.port)
    again.send_syn()
    p = again.expect("A", what="a challenge ACK")
    again.send("R", seq=p.ack, ack=0)
    t.sleep(0.1)
    again.send_syn()
    again.take_syn_ack(again.expect("SA", ack=again.iss + 1))
    again.ack()
    t.exchange(again)


@check("RFC 9293 3.5.3", "a reset with data is taken as one without")
def reset_with_data(t):
    c = t.connect()
    t.exchange(c)
    c.send("R", b"because of this", seq=c.snd_nxt, ack=0)
    t.sleep(0.2)
    c.drain()
    c.ack()
    c.expect("R", what="a reset, since the connection is gone")


@check("RFC 9293 3.5.3", "a reset during an answer ends it: nothing more is sent")
def reset_midway(t):
    c, packets = t.flight()
    c.send("R", ack=0)
    t.sleep(0.1)
    c.drain()
    c.expect_none(2.5, what="segment after the reset")


@check("RFC 5961 7", "challenge ACKs are limited in rate")
def challenge_rate(t):
    c = t.connect()
    t.exchange(c)
    for number in range(500):
        c.send("R", seq=c.snd_nxt + 100 + number, ack=0)
    count = len(c.collect(1.5, quiet=0.7))
    t.require(1 <= count <= 20, f"{count} challenge ACKs for 500 resets; RFC 5961 recommends ten in five seconds")
    t.sleep(1)
    t.exchange(c)


@check("RFC 5961 7", "SYNs on an open connection draw a limited number of ACKs")
def challenge_rate_syn(t):
    c = t.connect()
    t.exchange(c)
    for number in range(500):
        c.send("S", seq=c.snd_nxt + number, options=b"")
    count = len(c.collect(1.5, quiet=0.7))
    t.require(1 <= count <= 20, f"{count} challenge ACKs for 500 SYNs")
    t.sleep(1)
    t.exchange(c)


@check("RFC 9293 3.10.7.4", "two sides that disagree do not acknowledge each other without end (ACK loop)")
def ack_loop(t):
    c = t.connect()
    t.exchange(c)
    c.ack(seq=c.snd_nxt - 3000, ack=c.rcv_nxt - 3000)
    answers = 0
    while answers < 60:  # a peer that answers each ACK by another that is unacceptable too
        p = c.next(0.7)
        if p is None:
            break
        answers += 1
        c.ack(seq=c.snd_nxt - 3000, ack=c.rcv_nxt - 3000)
    t.require(answers < 60, "60 ACKs were exchanged and it did not end")
    t.sleep(1)
    t.exchange(c)
