"""What to tell the operator about the names in a configuration: unknown ones, and known ones without effect.

Decides: the sentences. A configuration is never refused for its names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from odradek.node.config.definitions import Support, broker_definition, closest_name, is_foreign
from odradek.storage.log_config import topic_definitions


class Note(NamedTuple):
    """One line for the log. `is_warning`: the operator probably wants to change something."""

    is_warning: bool
    text: str


def notes_on_names(settings: Mapping[str, str]) -> tuple[Note, ...]:
    """One warning for each unknown name; one line each for the known names that have no effect.

    A name set to its default is not mentioned. `settings`: text by name; every value of a known name is
    valid."""
    notes: list[Note] = []
    unused: dict[Support, list[str]] = {Support.NOT_YET: [], Support.NO_MEANING: []}
    for name, text in settings.items():
        definition = broker_definition(name)
        if definition is None:
            if not is_foreign(name):
                notes.append(Note(True, _unknown(name)))
            elif name.startswith("listener.name."):
                unused[Support.NOT_YET].append(name)
            continue
        value = definition.value
        if definition.support is not Support.ACTS and value.parse(text) != value.default_value:
            unused[definition.support].append(name)
    if unused[Support.NOT_YET]:
        notes.append(Note(True, f"known, but without effect yet: {_list(unused[Support.NOT_YET])}"))
    if unused[Support.NO_MEANING]:
        names = _list(unused[Support.NO_MEANING])
        notes.append(Note(False, f"without effect, for parts of Kafka that Odradek does not have: {names}"))
    return tuple(notes)


def _unknown(name: str) -> str:
    topic = topic_definitions().get(name)
    if topic is not None and topic.synonyms:
        return f"{name} is a topic's setting and is ignored here; the broker's is {topic.synonyms[0]}"
    closest = closest_name(name)
    meant = f"; did you mean {closest}?" if closest is not None else ""
    return f"{name} is not a known setting and is ignored{meant}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
