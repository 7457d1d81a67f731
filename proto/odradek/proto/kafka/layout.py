"""A structure as one version sees it: which fields are on the wire, in which form, and how small and how
large an element of it can be. The schema gives ranges of versions; everything behind this module works with
one.

Source: KIP-482 (compact forms and tagged fields), KIP-893 (nullable structures).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from odradek.proto.kafka.schema import Field, Struct, parse_versions, resolve, shared_default

CODES: Final = {
    "int8": "b",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "int64": "q",
    "float64": "d",
    "boolean": "?",
    "uuid": "16s",
}
"""Scalar types of fixed size, as the struct module spells them."""

SIZES: Final = {"b": 1, "?": 1, "B": 1, "x": 1, "h": 2, "H": 2, "i": 4, "q": 8, "d": 8, "16s": 16}

_OBJECT_BYTES: Final = {"int8": 0, "boolean": 0, "uuid": 56, "string": 56, "octets": 40, "records": 200}
_NUMBER_BYTES: Final = 32
_LIST_BYTES: Final = 56


class Item(NamedTuple):
    """A field on the wire of one version. `element` is the element type of an array, the type of a struct."""

    name: str
    kind: str
    nullable: bool
    compact: bool
    element: str | type[Struct]
    field: Field


class Layout(NamedTuple):
    """`tagged` is in ascending order of tags; `absent` are the fields that this version does not have."""

    cls: type[Struct]
    flexible: bool
    items: tuple[Item, ...]
    tagged: tuple[tuple[int, Item], ...]
    absent: tuple[Field, ...]


def layout_of(cls: type[Struct], version: int, flexible: bool) -> Layout:
    items = []
    tagged = []
    absent = []
    for field in cls.FIELDS:
        if version not in parse_versions(field.versions):
            absent.append(field)
            continue
        element = resolve(cls, field) if field.element is not None else ""
        nullable = version in parse_versions(field.nullable)
        item = Item(field.name, field.kind, nullable, flexible and field.flexible is None, element, field)
        if field.tag is None:
            items.append(item)
        else:
            assert flexible, (
                f"{cls.__qualname__}.{field.name} is tagged in version {version}, which is not flexible"
            )
            assert field.kind != "records", field
            tagged.append((field.tag, item))
    tagged.sort(key=lambda pair: pair[0])
    return Layout(cls, flexible, tuple(items), tuple(tagged), tuple(absent))


def has_records(cls: type[Struct], version: int) -> bool:
    for item in layout_of(cls, version, True).items:
        if item.kind == "records" or (isinstance(item.element, type) and has_records(item.element, version)):
            return True
    return False


def has_arrays(cls: type[Struct], version: int) -> bool:
    layout = layout_of(cls, version, True)
    for item in (*layout.items, *(item for _, item in layout.tagged)):
        if item.kind == "array" or (isinstance(item.element, type) and has_arrays(item.element, version)):
            return True
    return False


def least_bytes(element: str | type[Struct], version: int, flexible: bool) -> int:
    """The size on the wire of the smallest element of this type."""
    if isinstance(element, str):
        if element in CODES:
            return SIZES[CODES[element]]
        return 1 if flexible else 2 if element == "string" else 4
    layout = layout_of(element, version, flexible)
    total = 1 if flexible else 0
    for item in layout.items:
        if item.kind == "struct":
            total += 1 if item.nullable else least_bytes(item.element, version, flexible)
        elif item.kind == "array":
            total += 1 if flexible else 4
        else:
            total += least_bytes(item.kind, version, item.compact)
    return total


def object_bytes(element: str | type[Struct], version: int) -> int:
    """About the memory that a decoded element takes, its list entry included, the text of strings not."""
    if isinstance(element, str):
        return 16 + _OBJECT_BYTES.get(element, _NUMBER_BYTES)
    layout = layout_of(element, version, True)
    total = 40 + 8 * len(element.FIELDS)
    for item in (*layout.items, *(item for _, item in layout.tagged)):
        if item.kind == "struct":
            total += object_bytes(item.element, version)
        elif item.kind == "array":
            total += _LIST_BYTES
        else:
            total += _OBJECT_BYTES.get(item.kind, _NUMBER_BYTES)
    for field in layout.absent:
        if field.kind == "array" and field.default is not None:
            total += _LIST_BYTES
        elif field.kind == "struct" and field.default is not None:
            total += _unshared_bytes(resolve(element, field), version)
    return total


def _unshared_bytes(element: Any, version: int) -> int:
    return 0 if shared_default(element) is not None else object_bytes(element, version)
