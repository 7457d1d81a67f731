"""What can be made to fail, by name: the APIs of both doors, and Kafka's errors.

Decides which names there are, and that a wrong one is refused with those that are nearest, when a fault is armed
and not when it fails to come. Kafka's APIs are named as in Kafka ("Produce"), calls of gRPC by service and method
("RecordService/Publish").
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any, Final

from odradek.proto.kafka.errors import ErrorCode
from odradek.testing.kafka_answers import ANSWERS, TOPICS

_SERVICES: Final = (
    "record_service",
    "log_service",
    "topic_service",
    "config_service",
    "group_service",
    "cluster_service",
)
_PACKAGE: Final = "odradek.v1."


def api_named(name: str, *, has_grpc: bool, takes_topic: bool = False) -> str:
    """The API that `name` means, in the spelling that counts. Raises ValueError.

    `has_grpc`: whether the broker has that door. `takes_topic`: the fault is for one topic, so requests must have any.
    """
    plain = name.removeprefix("/").removeprefix(_PACKAGE)
    if "/" not in plain and plain in ANSWERS:
        if takes_topic and plain not in TOPICS:
            raise ValueError(f"requests of {plain} name no topics: leave topic out")
        return plain
    known = list(ANSWERS)
    methods = grpc_methods() if has_grpc or "/" in plain else {}
    if plain in methods:
        if not has_grpc:
            raise ValueError(f"{plain} is a call of gRPC, and this broker does not speak it: give grpc=True")
        if takes_topic and not methods[plain]:
            raise ValueError(f"requests of {plain} name no topics: leave topic out")
        return plain
    raise ValueError(f"{name!r} is no API of this broker{_meant(plain, [*known, *methods])}")


def error_named(name: str) -> ErrorCode:
    """Kafka's error of this name. Raises ValueError."""
    found = ErrorCode.__members__.get(name)
    if found is None or found is ErrorCode.NONE:
        names = [one for one in ErrorCode.__members__ if one != ErrorCode.NONE.name]
        raise ValueError(f"{name!r} is no error of Kafka{_meant(name.upper(), names)}")
    return found


@cache
def grpc_methods() -> dict[str, bool]:
    """Every call of the gRPC door, and whether its messages name topics. Imports protobuf."""
    methods: dict[str, bool] = {}
    for module in _SERVICES:
        file = import_module(f"odradek.v1.{module}_pb2").DESCRIPTOR
        for service in file.services_by_name.values():
            for method in service.methods:
                seen: set[str] = set()
                has_topics = _names_topics(method.input_type, seen) or _names_topics(method.output_type, seen)
                methods[f"{service.name}/{method.name}"] = has_topics
    return methods


def _names_topics(descriptor: Any, seen: set[str]) -> bool:
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    for field in descriptor.fields:
        if field.message_type is None:
            if field.name in ("topic", "topics"):
                return True
        elif _names_topics(field.message_type, seen):
            return True
    return False


def _meant(name: str, known: Iterable[str]) -> str:
    """A hint at names that are nearly this one, in either spelling of a door."""
    lower = {one.lower(): one for one in known}
    method = {one.rpartition("/")[2]: one for one in lower}
    near = get_close_matches(name.lower(), lower, n=3, cutoff=0.6)
    near += [
        method[one] for one in get_close_matches(name.lower().rpartition("/")[2], method, n=2, cutoff=0.8)
    ]
    found = list(dict.fromkeys(lower[one] for one in near))
    return f"; did you mean {' or '.join(found)}?" if found else ""
