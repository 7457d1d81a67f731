from __future__ import annotations

from typing import Any

import pytest

from odradek.node.controller.persistent_map import PersistentMap


def nodes_of(node: Any) -> list[Any]:
    inner = [each for child in node for each in nodes_of(child)] if isinstance(node, tuple) else []
    return [node, *inner]


def test_holds_what_a_dict_holds() -> None:
    entries = {f"topic-{number}": number for number in range(5000)}
    made = PersistentMap(entries)
    assert made == entries
    assert len(made) == 5000
    assert made["topic-77"] == 77
    assert "topic-5000" not in made
    assert made.get("topic-5000") is None
    with pytest.raises(KeyError):
        made["nothing"]


def test_an_update_leaves_the_map_before_it_alone() -> None:
    before = PersistentMap({"a": 1, "b": 2})
    after = before.updated({"a": 9, "b": None, "c": 3, "d": None})
    assert dict(before) == {"a": 1, "b": 2}
    assert dict(after) == {"a": 9, "c": 3}
    assert (len(before), len(after)) == (2, 2)


def test_an_update_of_nothing_is_the_same_map() -> None:
    made = PersistentMap({"a": 1})
    assert made.updated({}) is made


def test_a_change_copies_one_path_and_shares_the_rest() -> None:
    before = PersistentMap({f"topic-{number}": number for number in range(20_000)})
    after = before.updated({"topic-3": 0})
    kept = {id(node) for node in nodes_of(before._root)}
    fresh = [node for node in nodes_of(after._root) if id(node) not in kept]
    assert 0 < len(fresh) <= 9
    assert sum(len(node) for node in fresh) < 200


def test_keys_of_every_kind_that_metadata_uses() -> None:
    keys: list[object] = ["name", b"0123456789abcdef", -7, (2, "name"), (4, "name")]
    made: PersistentMap[object, int] = PersistentMap({key: at for at, key in enumerate(keys)})
    assert [made[key] for key in keys] == [0, 1, 2, 3, 4]


def test_keys_whose_hashes_collide_completely_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odradek.node.controller.persistent_map._stable_hash", lambda key: 5)
    made = PersistentMap({f"k{number}": number for number in range(500)})
    assert made == {f"k{number}": number for number in range(500)}
    assert len(made.updated({f"k{number}": None for number in range(500)})) == 0


def test_iteration_order_depends_on_the_keys_alone() -> None:
    one = PersistentMap({f"k{number}": 1 for number in range(1000)})
    assert list(one)[:3] == list(PersistentMap(dict.fromkeys(one, 2)))[:3]
    assert list(one) != sorted(one)
