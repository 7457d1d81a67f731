"""Futures of one group: each ends once, and with what happened."""

import asyncio
from random import Random

import pytest

from odradek.raft.core.config import RaftConfig
from odradek.raft.core.log_view import LogView
from odradek.raft.core.quorum import Configuration
from odradek.raft.core.raft import Raft
from odradek.raft.core.read_index import ReadResult
from odradek.raft.core.types import HardState
from odradek.raft.ports import NotLeaderError, RaftStoppedError
from odradek.raft.requests import Requests

ONE = Configuration(frozenset({1}))


def future() -> "asyncio.Future[int]":
    return asyncio.get_running_loop().create_future()


def nothing() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()


def leader() -> Raft:
    raft = Raft(1, [1], RaftConfig(), Random(1), LogView(0, 0, []), HardState(), None, 0)
    while (ready := raft.ready()) is not None:
        raft.on_durable(ready.number, 0)
    return raft


async def test_a_proposal_ends_when_it_is_applied() -> None:
    requests, first, second = Requests(0), future(), future()
    requests.add_proposal(4, first)
    requests.add_proposal(6, second)
    requests.on_applied(5)
    assert first.result() == 4 and not second.done()
    requests.on_applied(6)
    assert second.result() == 6


async def test_a_read_ends_when_its_index_is_applied_whatever_comes_first() -> None:
    requests, early, late, refused = Requests(0), future(), future(), future()
    for read_id, waiting in ((1, late), (2, early), (3, refused)):
        requests.add_read(read_id, waiting)
    requests.on_reads([ReadResult(1, 9), ReadResult(2, 5), ReadResult(3, None), ReadResult(4, 1)], 6, 2)
    assert early.result() == 5 and not late.done()
    with pytest.raises(NotLeaderError) as caught:
        refused.result()
    assert caught.value.leader_id == 2
    requests.on_applied(9)
    assert late.result() == 9


async def test_reads_of_one_turn_end_together() -> None:
    requests, both = Requests(0), [future(), future()]
    for waiting in both:
        requests.add_read(1, waiting)
    requests.on_reads([ReadResult(1, 3)], 3, None)
    assert [waiting.result() for waiting in both] == [3, 3]


async def test_lost_leadership_leaves_the_outcome_open() -> None:
    requests, proposal, change, read = Requests(0), future(), nothing(), future()
    requests.add_proposal(4, proposal)
    requests.set_change(ONE, change)
    requests.add_read(1, read)
    requests.on_leadership_lost(3)
    assert isinstance(proposal.exception(), NotLeaderError) and isinstance(change.exception(), NotLeaderError)
    # Reads are the core's business: it knows whether they may still be answered.
    assert not read.done()


async def test_a_change_ends_when_its_target_is_committed() -> None:
    requests, raft, change, other = Requests(0), leader(), nothing(), nothing()
    requests.set_change(Configuration(frozenset({1, 2})), other)
    requests.settle(raft)
    assert not other.done()
    requests.on_leadership_lost(None)
    assert isinstance(other.exception(), NotLeaderError)
    requests.set_change(ONE, change)
    requests.settle(raft)
    assert change.done() and change.exception() is None


async def test_a_transfer_ends_with_the_term_and_fails_when_it_is_given_up() -> None:
    requests, raft, gone, kept = Requests(0), leader(), nothing(), nothing()
    assert requests.set_transfer(2, raft.term - 1, gone)
    assert not requests.set_transfer(2, raft.term, kept)
    requests.settle(raft)
    assert gone.exception() is None
    requests.set_transfer(2, raft.term, kept)
    requests.settle(raft)
    assert kept.exception() is not None


async def test_everything_ends_with_the_group() -> None:
    requests = Requests(7)
    proposal, read, confirmed, change, transfer = future(), future(), future(), nothing(), nothing()
    requests.add_proposal(4, proposal)
    requests.add_read(1, read)
    requests.add_read(2, confirmed)
    requests.on_reads([ReadResult(2, 100)], 0, None)
    requests.set_change(ONE, change)
    requests.set_transfer(2, 1, transfer)
    waiter = requests.leadership()
    requests.on_stopped(OSError("gone"))
    requests.on_stopped(OSError("gone"))
    assert waiter.done() and waiter.exception() is None
    for ended in (proposal, read, confirmed, change, transfer):
        error = ended.exception()
        assert isinstance(error, RaftStoppedError) and isinstance(error.__cause__, OSError)


async def test_a_request_that_was_cancelled_is_left_alone() -> None:
    requests, proposal = Requests(0), future()
    requests.add_proposal(4, proposal)
    proposal.cancel()
    requests.on_applied(4)
    requests.on_stopped(OSError("gone"))
    assert proposal.cancelled()
