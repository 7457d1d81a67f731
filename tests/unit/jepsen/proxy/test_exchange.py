"""Single requests are held, doubled, or lose their answer, however the stream is split; all others pass."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.jepsen.proxy.requests_made import answer, produce, request

from odradek.jepsen.proxy.behaviour import Behaviour, Hold, Pace, Replay, same
from odradek.jepsen.proxy.exchange import Exchange, LinkState
from odradek.jepsen.proxy.pace import Delivery
from odradek.proto.kafka.api import ApiKey

END_TXN, FETCH = ApiKey.END_TXN.value, ApiKey.FETCH.value


def _kinds(deliveries: list[Delivery]) -> list[str]:
    return [one.kind for one in deliveries]


def test_a_link_that_does_nothing_passes_all_at_once() -> None:
    state = LinkState(Behaviour())
    exchange = Exchange(state, 1)
    assert exchange.is_idle and not exchange.is_framed
    assert exchange.up(b"PRI * HTTP/2.0", 5.0) == [Delivery(5.0, "deliver", b"PRI * HTTP/2.0")]
    assert state.counts["bytes_up"] == 14


def test_one_request_is_held_and_those_behind_it_wait() -> None:
    state = LinkState(Behaviour(holds=(Hold(END_TXN, 1000, 2000),)))
    exchange = Exchange(state, 1)
    before, held, behind, second = (
        request(FETCH, 1),
        request(END_TXN, 2),
        request(FETCH, 3),
        request(END_TXN, 4),
    )
    deliveries = exchange.up(before + held + behind + second, 0.0)
    assert [one.data for one in deliveries] == [before, held, behind, second]
    assert [one.late for one in deliveries] == [False, True, False, False]
    assert deliveries[0].at_ms == 0.0
    assert 1000 <= deliveries[1].at_ms <= 2000
    assert deliveries[3].at_ms == deliveries[2].at_ms == deliveries[1].at_ms
    assert state.counts["held"] == 1 and state.counts["api_26"] == 2


def test_requests_of_other_connections_pass_a_held_one() -> None:
    state = LinkState(Behaviour(holds=(Hold(END_TXN, 1000, 2000),)))
    first, second = Exchange(state, 1), Exchange(state, 2)
    assert first.up(request(END_TXN, 1), 0.0)[0].at_ms >= 1000
    assert second.up(request(END_TXN, 1), 1.0)[0].at_ms == 1.0


def test_a_late_request_is_waited_for_until_its_own_answer() -> None:
    exchange = Exchange(LinkState(Behaviour(holds=(Hold(END_TXN),))), 1)
    exchange.up(request(FETCH, 1) + request(END_TXN, 2), 0.0)
    assert exchange.waits_for_late
    exchange.down(answer(1), 5.0)
    assert exchange.waits_for_late
    exchange.down(answer(2), 6.0)
    assert not exchange.waits_for_late


def test_the_client_is_cut_off_when_the_broker_can_tell_late_requests() -> None:
    hold = Hold(0, cut_client=True, requests=2)
    named = Exchange(LinkState(Behaviour(holds=(hold,))), 1).up(produce(1, producer_id=5), 3.0)
    assert _kinds(named) == ["cut", "deliver"] and named[0].at_ms == 3.0 and named[1].late
    assert _kinds(Exchange(LinkState(Behaviour(holds=(hold,))), 1).up(produce(1), 3.0)) == ["deliver"]


def test_holds_of_several_apis_are_counted_apart() -> None:
    state = LinkState(Behaviour(holds=(Hold(END_TXN, requests=1), Hold(FETCH, requests=2))))
    exchange = Exchange(state, 1)
    late = []
    for number, api in enumerate([FETCH, END_TXN, FETCH, FETCH, END_TXN]):
        late.append(exchange.up(request(api, number), 0.0)[0].late)
    assert late == [True, True, True, False, False]


def test_the_answer_of_every_third_produce_ends_the_connection() -> None:
    state = LinkState(Behaviour(drop_every=3))
    exchange = Exchange(state, 1)
    for number in (1, 2, 3):
        exchange.up(produce(number) + request(FETCH, 10 + number), 0.0)
    assert _kinds(exchange.down(answer(1) + answer(11) + answer(2), 1.0)) == ["deliver"] * 3
    assert _kinds(exchange.down(answer(12) + answer(3) + answer(13), 2.0)) == ["deliver", "reset"]
    assert exchange.down(answer(14), 3.0) == []
    assert state.counts["answers_dropped"] == 1
    other = Exchange(state, 2)  # the count goes on: the fourth of the link, and the first here
    other.up(produce(3), 3.0)
    assert _kinds(other.down(answer(3), 4.0)) == ["deliver"]


def test_a_produce_without_an_answer_does_not_count() -> None:
    exchange = Exchange(LinkState(Behaviour(drop_every=2)), 1)
    for number in range(1, 5):
        exchange.up(produce(number, acks=0), 0.0)
    exchange.up(produce(5), 0.0)
    assert _kinds(exchange.down(answer(5), 1.0)) == ["deliver"]


def test_a_produce_with_a_number_comes_twice() -> None:
    state = LinkState(Behaviour(replay=Replay(1.0, 100, 200)))
    frame = produce(1, producer_id=5)
    first, second = Exchange(state, 1).up(frame, 0.0)
    assert (first.kind, first.at_ms, first.data) == ("deliver", 0.0, frame)
    assert second.kind == "replay" and second.data == frame and 100 <= second.at_ms <= 200
    assert _kinds(Exchange(state, 2).up(produce(1), 0.0)) == ["deliver"]


@given(st.lists(st.integers(0, 700), max_size=15), st.integers(0, 50))
def test_decisions_do_not_depend_on_how_the_bytes_arrive(places: list[int], seed: int) -> None:
    behaviour = Behaviour(
        up=Pace(delay_ms=3.0, jitter_ms=3.0, reset=0.05),
        holds=(Hold(END_TXN, 50, 100, chance=0.5),),
        drop_every=2,
        replay=Replay(0.5, 0, 10),
        seed=seed,
    )
    frames = [
        request(END_TXN, 1),
        produce(2, producer_id=3),
        request(END_TXN, 3),
        produce(4),
        request(FETCH, 5),
    ]
    stream = b"".join(frames)
    cuts = sorted({0, len(stream), *(place for place in places if place < len(stream))})
    whole = Exchange(LinkState(behaviour), 1).up(stream, 0.0)
    split = Exchange(LinkState(behaviour), 1)
    assert [one for start, end in pairwise(cuts) for one in split.up(stream[start:end], 0.0)] == whole


def test_what_is_not_kafka_passes_as_bytes() -> None:
    state = LinkState(Behaviour(frames=True))
    exchange = Exchange(state, 1)
    exchange.down(b"\0\0", 0.0)
    assert [one.data for one in exchange.up(b"PRI * HTTP/2.0\r\n", 0.0)] == [b"PRI * HTTP/2.0\r\n"]
    assert [one.data for one in exchange.up(b"more", 0.0)] == [b"more"]
    assert [one.data for one in exchange.down(b"\0\x09", 0.0)] == [b"\0\0\0\x09"]
    assert state.counts["not_kafka"] == 1


def test_what_is_no_answer_of_kafka_passes_as_bytes() -> None:
    exchange = Exchange(LinkState(Behaviour(frames=True)), 1)
    assert exchange.up(b"\0\0", 0.0) == []
    assert [one.data for one in exchange.down(b"HTTP/1.1 400", 0.0)] == [b"HTTP/1.1 400"]
    assert [one.data for one in exchange.up(b"\0\x09", 0.0)] == [b"\0\0\0\x09"]


def test_half_a_frame_at_the_end_still_goes_on() -> None:
    exchange = Exchange(LinkState(Behaviour(frames=True)), 1)
    assert exchange.up(b"\0\0\0\x09abc", 0.0) == []
    assert exchange.rest(True, 1.0) == [Delivery(1.0, "deliver", b"\0\0\0\x09abc")]
    assert exchange.rest(False, 1.0) == []


def test_a_connection_changes_with_its_link_if_it_can() -> None:
    state = LinkState(Behaviour())
    exchange = Exchange(state, 1)
    state.change(same(Pace(delay_ms=5.0)))
    assert exchange.change() and exchange.up(b"a", 0.0)[0].at_ms == 5.0
    state.change(Behaviour(frames=True))
    assert not exchange.change(), "nobody knows where its frames begin"


def test_a_connection_with_a_hole_cannot_be_mended() -> None:
    state = LinkState(same(Pace(swallow=True)))
    exchange = Exchange(state, 1)
    state.change(Behaviour())
    assert exchange.change(), "nothing was swallowed"
    state.change(same(Pace(swallow=True)))
    assert exchange.change() and exchange.up(b"a", 0.0) == []
    state.change(Behaviour())
    assert not exchange.change()
