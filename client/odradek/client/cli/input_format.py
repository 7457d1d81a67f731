r"""The -f of produce: a template that cuts an input into records. Does no I/O of its own beyond `read` of what it is
given.

    %t topic   %p partition   %k key   %s value   %T timestamp in ms   %h headers as name=value,name=value
    %K %S the length in bytes of the %k or %s that follows, in digits (-1: none)   %R that of %s as 4 bytes, big-endian

A letter without a length reads up to the literal text behind it, so there has to be some. The end of the input closes
the last record even where its last literal is missing. Without a template records are lines: `%s\n`."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from odradek.client.cli.record_format import split_template

LETTERS: Final = "tpksThKSR"
_SIZED_BY: Final = {"K": "k", "S": "s", "R": "s"}
_CHUNK_BYTES: Final = 256 * 1024

Read = Callable[[int], bytes]


class InputRecord(NamedTuple):
    """A record as it was read; None where the input says nothing."""

    value: bytes | None
    key: bytes | None = None
    topic: str | None = None
    partition: int | None = None
    timestamp_ms: int | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class InputFormat:
    """A template that was understood. Raises ValueError for one that was not."""

    def __init__(self, template: str) -> None:
        self._parts = split_template(template, LETTERS)
        letters = [letter for letter, _ in self._parts]
        sized: set[str] = set()
        if not any(letters):
            raise ValueError("a format for records needs at least one letter, such as %s")
        for index, letter in enumerate(letters):
            if letter in _SIZED_BY:
                sized.add(_SIZED_BY[letter])
            if letter in ("", "R") or letter in sized:
                continue
            if index + 1 == len(letters) or letters[index + 1]:
                raise ValueError(
                    f"%{letter} reads up to the text behind it, and there is none: write one, or %{letter}\\n"
                )

    def records(self, read: Read) -> Iterator[InputRecord]:
        """The records of an input; `read(n)` gives at most n bytes, and none at its end. Raises ValueError where
        the input is not as the template says."""
        source = _Buffered(read)
        number = 0
        while not source.at_end():
            number += 1
            try:
                yield _record(self._fields(source))
            except ValueError as error:
                raise ValueError(f"record {number} of the input: {error}") from None

    def _fields(self, source: _Buffered) -> Mapping[str, bytes | None]:
        fields: dict[str, bytes | None] = {}
        lengths: dict[str, int] = {}
        parts = self._parts
        for index, (letter, literal) in enumerate(parts):
            if not letter:
                # Behind a letter that read up to it, it was taken already.
                before = parts[index - 1][0] if index else ""
                if not before or before in lengths or before == "R":
                    source.expect(literal)
            elif letter == "R":
                lengths["s"] = struct.unpack(">i", source.exactly(4))[0]
            elif letter in lengths:
                fields[letter] = None if lengths[letter] == -1 else source.exactly(lengths[letter])
            elif letter in _SIZED_BY:
                lengths[_SIZED_BY[letter]] = _number(source.until(parts[index + 1][1]), f"%{letter}")
            else:
                fields[letter] = source.until(parts[index + 1][1])
        return fields


def lines_with_keys(read: Read, delimiter: bytes | None) -> Iterator[InputRecord]:
    """Lines; what is before the first delimiter is the key, and a line without one has none, as kcat does it."""
    source = _Buffered(read)
    while not source.at_end():
        line = source.until(b"\n")
        if delimiter is None:
            yield InputRecord(line)
            continue
        before, found, after = line.partition(delimiter)
        yield InputRecord(after, before) if found else InputRecord(line)


def parse_header(text: str) -> tuple[str, bytes | None]:
    """`name=value`, or `name` for one without a value."""
    name, found, value = text.partition("=")
    if not name:
        raise ValueError(f"{text!r} is no header: write name=value")
    return name, value.encode(errors="surrogateescape") if found else None


def _record(fields: Mapping[str, bytes | None]) -> InputRecord:
    topic, headers = fields.get("t"), fields.get("h") or b""
    return InputRecord(
        value=fields.get("s", b""),
        key=fields.get("k"),
        topic=None if topic is None else topic.decode(),
        partition=_number(fields["p"], "%p") if "p" in fields else None,
        timestamp_ms=_number(fields["T"], "%T") if "T" in fields else None,
        headers=tuple(
            parse_header(one.decode(errors="surrogateescape")) for one in headers.split(b",") if one
        ),
    )


def _number(text: bytes | None, letter: str) -> int:
    try:
        return int(text or b"")
    except ValueError:
        raise ValueError(f"{letter} has to be a whole number, and is {(text or b'')[:40]!r}") from None


class _Buffered:
    """An input with a place in it."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._buffer = bytearray()
        self._position = 0
        self._ended = False

    def at_end(self) -> bool:
        return self._position == len(self._buffer) and not self._more()

    def until(self, delimiter: bytes) -> bytes:
        """What is before the delimiter, which is taken too; at the end of the input, the rest."""
        start = self._position
        while (found := self._buffer.find(delimiter, start)) < 0:
            # The delimiter may begin in what is here already.
            behind = max(0, len(self._buffer) - self._position - len(delimiter) + 1)
            if not self._more():
                return self._take(len(self._buffer) - self._position)
            start = self._position + behind
        taken = self._take(found - self._position)
        self._position += len(delimiter)
        return taken

    def exactly(self, count: int) -> bytes:
        if count < 0:
            raise ValueError(f"a length of {count} bytes")
        while len(self._buffer) - self._position < count:
            if not self._more():
                raise ValueError(f"it ends where {count} bytes should be")
        return self._take(count)

    def expect(self, literal: bytes) -> None:
        while len(self._buffer) - self._position < len(literal) and self._more():
            pass
        found = bytes(self._buffer[self._position : self._position + len(literal)])
        # At the end of the input the last literal may be missing.
        if found and found != literal:
            raise ValueError(f"{literal!r} should be where {found!r} is")
        self._position += len(found)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[self._position : self._position + count])
        self._position += count
        return taken

    def _more(self) -> bool:
        if self._ended:
            return False
        del self._buffer[: self._position]
        self._position = 0
        chunk = self._read(_CHUNK_BYTES)
        self._ended = not chunk
        self._buffer += chunk
        return bool(chunk)
