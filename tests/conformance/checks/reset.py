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
