from __future__ import annotations

from odradek.node.app.senders import LENT_MAX, NUMBER_MAX, Identity, Senders, producer_id_of
from odradek.storage.producer_entry import FIRST_SPARSE_PRODUCER_ID


def test_a_name_is_lent_to_one_request_at_a_time() -> None:
    senders = Senders("node")
    first, second = senders.borrow(3), senders.borrow(1)
    assert first is not None and second is not None
    assert first.producer_id != second.producer_id
    senders.give_back(first)
    again = senders.borrow(2)
    assert again == Identity(first.producer_id, 3), "the numbers go on, whatever became of the request"


def test_so_many_and_no_more() -> None:
    senders = Senders("node")
    lent = [senders.borrow(1) for _ in range(LENT_MAX)]
    assert None not in lent and senders.borrow(1) is None
    assert len({one.producer_id for one in lent if one is not None}) == LENT_MAX


def test_a_number_is_an_epoch_and_a_sequence() -> None:
    assert Identity(7, 5).at(2) == (7, 0, 7)
    assert Identity(7, 2**31 - 1).at(1) == (7, 1, 0)
    assert Identity(7, 0).at(NUMBER_MAX) == (7, 32767, 2**31 - 1)


def test_names_are_far_from_ids_that_are_allocated() -> None:
    ids = {producer_id_of(f"name-{at}") for at in range(1000)}
    assert len(ids) == 1000 and min(ids) >= FIRST_SPARSE_PRODUCER_ID and max(ids) < 2**63
