"""Flow control: the peer's window and its closing and shrinking, and the window that the subject offers."""

import time

import packet
from endpoint import ahead
from suite import check, pattern


def blocked(t, win=2920, size=60_000):
    """A client that has taken what its window allowed and closed it, with data waiting at the subject."""
    c = t.connect(win=win)
    c.send(data=t.request(f"/bytes/{size}"))
    c.expect(where=lambda p: p.data, within=5, what="the answer's first segment")
    c.collect(2, quiet=0.15, started=True)
    c.rcv_nxt = (c.rcv_nxt + c.in_flight(c.got)) % packet.MOD
    c.win = 0
    c.ack()
    t.sleep(0.05)
    c.drain()
    return c


@check("RFC 9293 3.8.6", "no more is sent than the peer's window allows")
def window_honoured(t):
    c = t.connect(win=3000)
    c.send(data=t.request("/bytes/60000"))
    flight = c.in_flight(c.collect(1.5, quiet=0.4))
    t.require(1460 <= flight <= 3000, f"{flight} bytes were sent into a window of 3000")


@check("RFC 9293 3.8.6", "a window below the segment size is used in the end")
def window_small(t):
    c = t.connect(win=400)
    c.send(data=t.request("/bytes/3000"))
    t.require(c.read_response(15) == pattern(3000), "the body is not what the origin sent")
    t.require(max(len(p.data) for p in c.got) <= 400, "a segment exceeded the window")


@check("RFC 9293 3.8.6.1", "a closed window is probed")
def zero_window_probe(t):
    c = blocked(t)
    p = c.expect(within=5, what="a zero-window probe")
    t.require(len(p.data) <= 1 and ahead(p.seq, c.rcv_nxt) in (-1, 0), f"not a probe: {p}")


@check("RFC 9293 3.8.6.1", "zero-window probes come after ever longer times")
def zero_window_backoff(t):
    c = blocked(t)
    times = []
    while len(times) < 5:
        times.append(c.expect(within=16, what="a zero-window probe").time)
        c.ack()
    gaps = [b - a for a, b in zip(times, times[1:])]
    t.require(all(1.4 <= b / a <= 3.2 for a, b in zip(gaps, gaps[1:])), f"the times between are {[round(g, 2) for g in gaps]}")


@check("RFC 9293 3.8.6.1", "a connection whose closed window is answered for stays open, and its data arrive in the end")
def zero_window_lasts(t):
    c = blocked(t)
    until = time.monotonic() + 12
    while time.monotonic() < until:
        if c.next(0.5) is not None:
            t.require("R" not in c.got[-1].flags, "the connection was reset")
            c.ack()
    c.win = 65535
    c.ack()
    c.read(57_000, within=10)  # of 60,000 and the head


@check("RFC 9293 3.8.6.1", "a probe's byte that the peer takes is counted once")
def zero_window_byte_taken(t):
    c = blocked(t, size=10_000)
    p = c.expect(within=5, what="a zero-window probe")
    data = b""
    if p.data and p.seq == c.rcv_nxt:
        data = p.data
        c.rcv_nxt += len(data)
    c.win = 65535
    c.ack()
    data += c.read(6000)
    t.require(bytes(data) in pattern(10_000), "bytes are missing or doubled")


@check("RFC 9293 3.8.6", "when the window opens again data follow at once")
def window_reopens(t):
    c = blocked(t)
    t.sleep(1.2)
    c.drain()
    c.win = 30_000
    c.ack()
    start = time.monotonic()
    p = c.expect(where=lambda p: len(p.data) > 1, within=3, what="data")
    t.require(p.time - start < 0.25, f"after {p.time - start:.2f} s")


@check("RFC 9293 3.8.6", "a peer that shrinks its window is survived, and nothing new is sent beyond it")
def window_shrinks(t):
    c = t.connect(win=14_000)
    c.send(data=t.request("/bytes/60000"))
    packets = [p for p in c.collect(2, quiet=0.1) if p.data]
    flight = c.in_flight(packets)
    c.rcv_nxt = (packets[0].seq + len(packets[0].data)) % packet.MOD
    c.win = 2000
    c.ack()
    later = c.in_flight(c.collect(1, quiet=0.3))
    t.require(later <= flight, "new data were sent beyond the shrunk window")
    c.win = 60_000
    c.ack()
    c.read(50_000, within=15)


@check("RFC 9293 3.8.6.2.1", "a window opened by a little does not draw a small segment at once (silly window)")
def silly_window_sender(t):
    c = t.connect(win=20_000)
    c.send(data=t.request("/bytes/60000"))
    c.read(13_000, within=5)
    c.win = 0
    c.ack()
    t.sleep(0.1)
    c.drain()
    # What came in between is acknowledged too, so that the whole window is closed.
    for p in c.got:
        if ahead(p.seq + len(p.data), c.rcv_nxt) > 0:
            c.rcv_nxt = (p.seq + len(p.data)) % packet.MOD
    c.ack()
    t.sleep(0.02)
    c.drain()
    small = 0
    for _ in range(5):
        c.win = 100
        c.ack()
        p = c.next(0.04)
        if p is not None and len(p.data) > 1:
            small += 1
            c.rcv_nxt = (p.seq + len(p.data)) % packet.MOD
        c.win = 0
        c.ack()
    t.require(small <= 1, f"{small} of 5 windows of 100 bytes were filled at once")


# ---- the subject's own window ------------------------------------------------------------------------------------------------

class Upload:
    """A client that sends as much as the subject's window allows, to an origin that reads only when told."""

    def __init__(self, t, **options):
        self.t, self.size = t, 4_000_000
        self.client, self.origin = None, None
        place = t.origin()
        self.client = t.connect(**options)
        self.client.send(data=t.request(place.path, length=self.size))
        self.origin = place.accept(win=2000)
        self.origin.win = 0
        self.origin.read(1, acknowledge=False)
        self.origin.ack()
        self.edge = self.first = self.client.snd_nxt
        self.una, self.edges, self.acks = self.client.snd_nxt, [], []

    def note(self, p):
        c = self.client
        if p is None or "R" in p.flags:
            self.t.require(p is None, "the upload was reset")
            return
        self.una = p.ack if ahead(p.ack, self.una) > 0 else self.una
        self.edges.append((p.ack + (p.win << c.subject_shift)) % packet.MOD)
        self.acks.append(p)

    def fill(self, quiet=0.8, within=15):
        """Until the window is closed, or nothing moves."""
        c = self.client
        until = time.monotonic() + within
        p = c.next(0)
        while time.monotonic() < until:
            room = ahead(self.edges[-1], c.snd_nxt) if self.edges else c.syn.win
            if room > 0:
                c.send(data=b"u" * min(room, 1460))
                p = c.next(0)
            else:
                p = c.next(quiet)
                if p is None:
                    break
            if p is not None:
                self.note(p)
        return ahead(c.snd_nxt, self.first)


@check("RFC 9293 3.8.6", "an upload that nobody reads closes the window, and no more than that is taken (backpressure)")
def window_closes(t):
    up = Upload(t, wscale=0)
    taken = up.fill()
    t.require(taken < up.size, "the whole upload was taken although the origin reads nothing")
    room = ahead(up.edges[-1], up.client.snd_nxt)
    t.require(0 <= room < 1460, f"the window is still {room} bytes wide after {taken} bytes")


@check("RFC 9293 3.8.6", "the right edge of the offered window never moves back")
def window_never_shrinks(t):
    up = Upload(t, wscale=0)
    up.fill()
    for a, b in zip(up.edges, up.edges[1:]):
        t.require(ahead(b, a) >= 0, f"the edge moved back by {ahead(a, b)} bytes")


@check("RFC 9293 3.8.6.1", "a probe of the closed window is answered by an ACK with the window")
def window_probed(t):
    up = Upload(t, wscale=0)
    up.fill()
    c = up.client
    start = c.snd_nxt
    c.drain()
    c.send(data=b"u", seq=start)
    p = c.expect("A", what="an answer to the probe")
    t.require(p.ack in (start, (start + 1) % packet.MOD), f"acknowledges {ahead(p.ack, start)} bytes beyond")


@check("RFC 9293 3.10.7.4", "a reset is taken while the window is closed")
def window_closed_reset(t):
    up = Upload(t, wscale=0)
    up.fill()
    c = up.client
    c.send("R", seq=up.una, ack=0)
    t.sleep(0.3)
    c.drain()
    c.ack()
    c.expect("R", what="a reset, since the connection is gone")


def drained(t, up, step, seconds):
    """The origin reads `step` bytes at a time; returns the client-side windows' right edges as they came."""
    o, c = up.origin, up.client
    until = time.monotonic() + seconds
    up.edges = up.edges[-1:]
    while time.monotonic() < until:
        o.win = step
        o.ack()
        p = o.next(0.05)
        while p is not None:
            if p.data and ahead(p.seq + len(p.data), o.rcv_nxt) > 0 >= ahead(p.seq, o.rcv_nxt):
                o.rcv_nxt = (p.seq + len(p.data)) % packet.MOD
                o.ack()
            p = o.next(0.005)
        while (p := c.next(0)) is not None:
            up.note(p)
    return up.edges


@check("RFC 9293 3.8.6", "when the reader goes on, the window opens again without being asked")
def window_update(t):
    up = Upload(t, wscale=0)
    up.fill()
    edges = drained(t, up, 60_000, 4)
    t.require(ahead(edges[-1], edges[0]) >= 1460, "no window update came")


@check("RFC 9293 3.8.6.2.2", "the window is not opened in small steps (silly window)")
def silly_window_receiver(t):
    up = Upload(t, wscale=0)
    up.fill()
    edges = drained(t, up, 4000, 5)
    steps = [ahead(b, a) for a, b in zip(edges, edges[1:]) if ahead(b, a) > 0]
    t.require(all(step >= 1460 for step in steps), f"steps of {[step for step in steps if step < 1460]} bytes")


@check("RFC 7323 2.3", "the offered window exceeds 64 KiB when scaling is agreed on and the reader keeps up")
def window_grows(t):
    c = t.connect(wscale=7)
    c.send(data=t.request("/echo", length=3_000_000))
    edge = c.snd_nxt + c.syn.win
    start, most = time.monotonic(), 0
    while ahead(c.snd_nxt, c.iss) < 1_500_000 and time.monotonic() - start < 15:
        p = c.next(0 if ahead(edge, c.snd_nxt) > 0 else 0.5)
        if p is not None:
            window = p.win << c.subject_shift
            most = max(most, window)
            if ahead(p.ack + window, edge) > 0:
                edge = p.ack + window
        elif ahead(edge, c.snd_nxt) > 0:
            c.send(data=b"w" * min(1460, ahead(edge, c.snd_nxt)))
    t.require(most > 65535, f"the widest window was {most} bytes")
