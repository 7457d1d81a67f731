from __future__ import annotations

import pytest

from odradek.proto.kafka.messages.fetch import FetchRequest, FetchResponse
from odradek.proto.kafka.messages.produce import ProduceResponse
from odradek.proto.kafka.schema import (
    NEVER,
    NO_VERSION,
    ZERO_UUID,
    Message,
    Struct,
    VersionRange,
    array,
    int8,
    int32,
    parse_versions,
    resolve,
    string,
    struct,
    uuid,
)


class Shelf(Message, versions="0-3", flexible="2+"):
    name: str = string("0+", default="pine")
    numbers: list[int] = array(int32, "0+")
    books: list[Shelf.Book] | None = array("Book", "1+", nullable="1+", default=None)
    size: Shelf.Size = struct("Size", "1+")
    owner: Shelf.Owner = struct("Owner", "2+")
    mark: Shelf.Size | None = struct("Size", "3+", nullable="3+", default=None)

    class Book(Struct):
        title: str = string("1+")

    class Size(Struct):
        width: int = int32("1+", default=-1)
        id: bytes = uuid("1+")

    class Owner(Struct):
        names: list[str] = array(string, "2+")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", VersionRange(3, 3)),
        ("3-7", VersionRange(3, 7)),
        ("3+", VersionRange(3, NO_VERSION)),
        ("none", NEVER),
        (None, NEVER),
    ],
)
def test_version_texts(text: str | None, expected: VersionRange) -> None:
    assert parse_versions(text) == expected


def test_a_range_contains_both_ends_and_never_contains_nothing() -> None:
    assert [version for version in range(10) if version in VersionRange(3, 7)] == [3, 4, 5, 6, 7]
    assert 0 not in NEVER


def test_every_argument_has_a_default() -> None:
    shelf = Shelf()
    assert (shelf.name, shelf.numbers, shelf.books, shelf.mark) == ("pine", [], None, None)
    assert (shelf.size.width, shelf.size.id, shelf.owner.names) == (-1, ZERO_UUID, [])


def test_lists_and_structures_with_lists_are_not_shared() -> None:
    first, second = Shelf(), Shelf()
    first.numbers.append(1)
    first.owner.names.append("Ada")
    assert second.numbers == []
    assert second.owner.names == []


def test_a_shared_default_refuses_assignment_and_the_field_accepts_a_new_one() -> None:
    shelf = Shelf()
    with pytest.raises(AttributeError, match="shared default"):
        shelf.size.width = 3
    shelf.size = Shelf.Size(width=3)
    assert Shelf().size.width == -1


def test_only_keywords_that_are_fields() -> None:
    with pytest.raises(TypeError):
        Shelf("oak")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Shelf(colour="oak")  # type: ignore[call-arg]


def test_no_instance_dictionary() -> None:
    with pytest.raises(AttributeError):
        Shelf().colour = "oak"  # type: ignore[attr-defined]


def test_equality_is_by_value_and_type() -> None:
    assert Shelf(numbers=[1]) == Shelf(numbers=[1])
    assert Shelf(numbers=[1]) != Shelf(numbers=[2])
    assert Shelf.Size() == Shelf().size
    assert Shelf().size == Shelf.Size()
    assert Shelf.Size(width=2) != Shelf().size
    assert FetchRequest.ReplicaState() != ProduceResponse.LeaderIdAndEpoch()


def test_repr_shows_fields_and_shortens_records() -> None:
    assert repr(Shelf.Size(width=2, id=bytes(16))) == f"Size(width=2, id={bytes(16)!r})"
    assert "<16384 bytes>" in repr(FetchResponse.PartitionData(records=bytes(16384)))


def test_names_resolve_within_the_message() -> None:
    fields = {field.name: field for field in Shelf.FIELDS}
    assert resolve(Shelf, fields["books"]) is Shelf.Book
    assert resolve(Shelf, fields["numbers"]) == "int32"
    assert resolve(Shelf.Owner, Shelf.Owner.FIELDS[0]) == "string"


def test_an_unknown_structure_is_named() -> None:
    class Broken(Message, versions="0"):
        items: list[int] = array("Absent", "0+")

    with pytest.raises(LookupError, match="Broken declares no structure 'Absent'"):
        resolve(Broken, Broken.FIELDS[0])


def test_what_is_known_of_a_message() -> None:
    info = Shelf.INFO
    assert (info.name, info.key, info.versions) == ("Shelf", None, VersionRange(0, 3))
    assert (info.flexible_from, info.latest_unstable) == (2, False)
    assert FetchRequest.INFO.key == 1


def test_a_structure_without_fields() -> None:
    class Nothing(Message, versions="0"):
        pass

    assert Nothing() == Nothing()
    assert repr(Nothing()) == "Nothing()"


def test_field_order_is_the_order_of_declaration() -> None:
    class Pair(Struct):
        second: int = int8("0+")
        first: int = int8("0+")

    assert [field.name for field in Pair.FIELDS] == ["second", "first"]
