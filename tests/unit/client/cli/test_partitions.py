from __future__ import annotations

import pytest

from odradek.client.cli.partitions import parse_move, parse_numbers, parse_topic_partitions


def test_numbers() -> None:
    assert parse_numbers("0") == [0]
    assert parse_numbers("5-7,0,2,6") == [0, 2, 5, 6, 7]
    for wrong in ("", "a", "1-", "-1", "3-1", "1,,2", "0-999999999"):
        with pytest.raises(ValueError, match="partitions"):
            parse_numbers(wrong)


def test_topics_with_partitions() -> None:
    assert parse_topic_partitions("orders") == ("orders", None)
    assert parse_topic_partitions("orders/0,2") == ("orders", [0, 2])
    for wrong in ("", "/0", "orders/", "orders/x"):
        with pytest.raises(ValueError, match="write"):
            parse_topic_partitions(wrong)


def test_moves() -> None:
    assert parse_move("orders/0-1:1,2") == ("orders", [0, 1], [1, 2])
    assert parse_move("orders:3") == ("orders", None, [3])
    for wrong in ("orders/0", "orders/0:", "orders/0:a", ":1"):
        with pytest.raises(ValueError, match="write"):
            parse_move(wrong)
