from __future__ import annotations

import base64

import pytest

from odradek.node.grpc_api.paging import PAGE_SIZE, PAGE_SIZE_MAX, Key, Paging
from odradek.node.grpc_api.refusal import RefusalError

ITEMS = [f"item-{number:04}" for number in range(1500)]


def key(item: str) -> Key:
    return (item,)


def page(
    items: list[str], size: int = 0, token: str = "", filters: list[str | int] | None = None
) -> tuple[list[str], str]:
    return Paging("things", filters or [], size, token).take(items, key)


def test_the_pages_of_a_list_are_the_list() -> None:
    seen: list[str] = []
    token = ""
    while True:
        items, token = page(ITEMS[:10], 3, token)
        assert len(items) <= 3
        seen += items
        if not token:
            break
    assert seen == ITEMS[:10]


def test_a_list_that_ends_with_a_page_has_no_token_for_an_empty_one() -> None:
    items, token = page(ITEMS[:3], 3)
    assert (items, token) == (ITEMS[:3], "")
    assert page([]) == ([], "")


def test_sizes_have_a_default_and_a_limit() -> None:
    assert len(page(ITEMS)[0]) == PAGE_SIZE
    assert len(page(ITEMS, 1_000_000)[0]) == PAGE_SIZE_MAX
    with pytest.raises(RefusalError, match="page_size -1: 1 to 1000 are allowed") as raised:
        page(ITEMS, -1)
    assert raised.value.status.name == "INVALID_ARGUMENT"


def test_a_list_may_change_between_two_pages() -> None:
    _, token = page(["a", "c", "e", "g"], 2)
    items, _ = page(
        ["b", "d", "e", "f", "g"], 2, token
    )  # what came before its place is not told, the rest is
    assert items == ["d", "e"]


def test_the_last_item_of_a_page_may_be_gone() -> None:
    _, token = page(["a", "b", "c"], 2)
    assert page(["c"], 2, token) == (["c"], "")


def test_keys_of_several_parts_are_compared_part_by_part() -> None:
    items = [("t", number) for number in (1, 2, 10)] + [("u", 0)]
    first, token = Paging("parts", [], 2).take(items, lambda item: item)
    rest, _ = Paging("parts", [], 2, token).take(items, lambda item: item)
    assert first + rest == items


@pytest.mark.parametrize(
    "token",
    ["x", "!", "ä", "AAAA", "A" * 5000, base64.urlsafe_b64encode(bytes(9) + b"[" * 100_000).decode()],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(RefusalError, match="page_token is not of this list") as raised:
        page(ITEMS, 2, token)
    assert raised.value.status.name == "INVALID_ARGUMENT"


def test_a_token_is_of_its_list_and_of_its_filters() -> None:
    _, token = page(ITEMS, 2, filters=["a", 1])
    assert page(ITEMS, 5, token, filters=["a", 1])[0] == ITEMS[2:7]  # another size is no other list
    foreign: list[list[str | int]] = [["b", 1], ["a", 2], ["a"], ["a", "1"], []]
    for filters in foreign:
        with pytest.raises(RefusalError):
            page(ITEMS, 2, token, filters=filters)
    with pytest.raises(RefusalError):
        Paging("others", ["a", 1], 2, token)


def test_a_token_that_was_changed_is_refused() -> None:
    _, token = page(ITEMS, 2)
    raw = bytearray(base64.urlsafe_b64decode(token))
    raw[-3] ^= 1
    with pytest.raises(RefusalError):
        page(ITEMS, 2, base64.urlsafe_b64encode(raw).decode())


def test_a_token_is_the_same_at_every_node() -> None:
    assert Paging("things", ["f"]).token(("a", 1)) == Paging("things", ["f"], 7).token(("a", 1))
