"""What becomes of the bytes of one proxied connection.

Pure: bytes from either end, the time and a Random in, deliveries out. Decides: which requests are held, repeated or
lose their answer; the rest is left to the pace of each direction. Does not decide: when bytes really leave (`relay`).
Invariants: bytes of one direction keep their order; a Produce whose sender has no number is never delivered twice; a
stream that turns out not to be Kafka's passes as bytes from there on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

from odradek.jepsen.proxy.behaviour import Behaviour, Hold
from odradek.jepsen.proxy.frames import Cutter, FrameError
from odradek.jepsen.proxy.pace import Delivery, Pacer
from odradek.jepsen.proxy.requests import (
    PRODUCE,
    Request,
    is_answered,
    may_come_late,
    may_come_twice,
    read_answer,
    read_request,
)


class LinkState:
    """What the connections of one link share: how it behaves, and what has happened."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.counts: Counter[str] = Counter()
        self.change(behaviour)

    def change(self, behaviour: Behaviour) -> None:
        """The requests that may still be held, and the Produce requests of every n, count anew."""
        self.behaviour = behaviour
        self.holds_left = [hold.requests for hold in behaviour.holds]
        self._produced = 0

    def is_to_lose(self) -> bool:
        """Whether the answer of this Produce is the n-th. Every Produce with an answer asks once."""
        every = self.behaviour.drop_every
        if not every:
            return False
        self._produced += 1
        return self._produced % every == 0


class Exchange:
    """One connection through a link. `ordinal` is its number in the link, which its Random is made from."""

    def __init__(self, state: LinkState, ordinal: int) -> None:
        self._state = state
        self._random = Random(f"{state.behaviour.seed}/{ordinal}")
        self._up = Pacer(state.behaviour.up, self._random, state.counts)
        self._down = Pacer(state.behaviour.down, self._random, state.counts)
        self._is_framed = state.behaviour.framed
        self._requests = Cutter()
        self._answers = Cutter()
        #: Correlation ids of the answers that will not come, and of the requests that were held and have none yet.
        self._losing: set[int] = set()
        self._late: set[int] = set()
        #: Bytes have disappeared that the other end waits for: no other behaviour can mend that.
        self.has_swallowed = False

    @property
    def is_framed(self) -> bool:
        return self._is_framed

    @property
    def is_idle(self) -> bool:
        """Bytes pass as they are."""
        return not self._is_framed and self._up.is_idle and self._down.is_idle

    @property
    def waits_for_late(self) -> bool:
        """A request that was held has no answer yet."""
        return bool(self._late)

    def change(self) -> bool:
        """The link behaves differently now. False: this connection cannot, and must end."""
        behaviour = self._state.behaviour
        if self.has_swallowed or behaviour.framed != self._is_framed:
            return False
        self._up.change(behaviour.up)
        self._down.change(behaviour.down)
        return True

    def up(self, data: bytes, now_ms: float) -> list[Delivery]:
        """Bytes of the client, on their way to the target."""
        self._state.counts["bytes_up"] += len(data)
        self.has_swallowed = self.has_swallowed or self._state.behaviour.up.swallow
        if not self._is_framed:
            return self._up.offer(self._requests.take_rest() + data, now_ms)
        deliveries: list[Delivery] = []
        for frame, is_whole in self._cut(self._requests, data):
            request = read_request(frame) if is_whole else None
            if request is None:
                deliveries += self._up.offer(frame, now_ms)
            else:
                deliveries += self._request(frame, request, now_ms)
        return deliveries

    def down(self, data: bytes, now_ms: float) -> list[Delivery]:
        """Bytes of the target, on their way to the client."""
        self._state.counts["bytes_down"] += len(data)
        self.has_swallowed = self.has_swallowed or self._state.behaviour.down.swallow
        if not self._is_framed:
            return self._down.offer(self._answers.take_rest() + data, now_ms)
        deliveries: list[Delivery] = []
        for frame, is_whole in self._cut(self._answers, data):
            correlation_id = read_answer(frame) if is_whole else None
            if correlation_id in self._losing and not self._down.is_dead:
                self._state.counts["answers_dropped"] += 1
                self._down.is_dead = True
                return [*deliveries, Delivery(now_ms, "reset")]
            if correlation_id is not None:
                self._late.discard(correlation_id)
            deliveries += self._down.offer(frame, now_ms)
        return deliveries

    def rest(self, upwards: bool, now_ms: float) -> list[Delivery]:
        """One end has closed in the middle of a frame: what there is of it."""
        cutter, pacer = (self._requests, self._up) if upwards else (self._answers, self._down)
        left = cutter.take_rest()
        return pacer.offer(left, now_ms) if left else []

    def _cut(self, cutter: Cutter, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """The frames, and whether each is one."""
        try:
            for frame in cutter.feed(data):
                yield frame, True
        except FrameError:
            self._state.counts["not_kafka"] += 1
            self._is_framed = False
            yield cutter.take_rest(), False

    def _request(self, frame: bytes, request: Request, now_ms: float) -> list[Delivery]:
        state, behaviour = self._state, self._state.behaviour
        state.counts[f"api_{request.api_key}"] += 1
        if behaviour.holds and (hold := self._hold_for(request)) is not None:
            return self._hold(hold, frame, request, now_ms)
        deliveries = self._up.offer(frame, now_ms)
        if request.api_key == PRODUCE and deliveries:
            if behaviour.replay is not None:
                deliveries += self._replay(frame, request, deliveries[-1].at_ms)
            if behaviour.drop_every and is_answered(frame, request) and state.is_to_lose():
                self._losing.add(request.correlation_id)
        return deliveries

    def _hold_for(self, request: Request) -> Hold | None:
        """Takes one from what may still be held of that API."""
        left = self._state.holds_left
        for place, hold in enumerate(self._state.behaviour.holds):
            if hold.api_key != request.api_key or not left[place] or self._up.is_dead:
                continue
            if self._random.random() < hold.chance:
                left[place] -= 1
                return hold
        return None

    def _hold(self, hold: Hold, frame: bytes, request: Request, now_ms: float) -> list[Delivery]:
        self._state.counts["held"] += 1
        if is_answered(frame, request):
            self._late.add(request.correlation_id)
        until_ms = now_ms + self._random.uniform(hold.low_ms, hold.high_ms)
        deliveries = self._up.offer(frame, now_ms, not_before_ms=until_ms, late=True)
        if hold.cut_client and may_come_late(frame, request):
            self._state.counts["cut_clients"] += 1
            deliveries.insert(0, Delivery(now_ms, "cut"))
        return deliveries

    def _replay(self, frame: bytes, request: Request, sent_ms: float) -> list[Delivery]:
        replay = self._state.behaviour.replay
        assert replay is not None
        if self._random.random() >= replay.chance or not may_come_twice(frame, request):
            return []
        at_ms = sent_ms + self._random.uniform(replay.low_ms, replay.high_ms)
        return [Delivery(at_ms, "replay", frame)]
