r"""kcat's -f: a template for printing records. Pure.

    %t topic   %p partition   %o offset   %T timestamp in ms   %h headers as name=value,name=value
    %k key     %s value       %K %S their lengths in bytes, -1 for none    %R the value's length as 4 bytes, big-endian
    %% a percent sign; \n \r \t \\ \0 and \xHH are what they are in C

A record's bytes go out as they are: the result is bytes. A key or value that is absent prints as nothing."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

LETTERS: Final = "%t %p %o %T %h %k %s %K %S %R %%"

_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "0": "\0", "a": "\a", "e": "\x1b"}
_ESCAPE: Final = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)|\\$", re.DOTALL)
_TOKEN: Final = re.compile(r"%(.)|%$", re.DOTALL)


class PrintedRecord(Protocol):
    """What the template reads of a record."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp_ms(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


RecordPrinter = Callable[[PrintedRecord], bytes]


def unescape(text: str) -> bytes:
    r"""The bytes of a text with C's escapes. Raises ValueError for one that does not exist."""

    def replaced(found: re.Match[str]) -> str:
        code = found[1]
        if code is not None and code in _ESCAPES:
            return _ESCAPES[code]
        if code is not None and len(code) == 3:
            return chr(int(code[1:], 16))
        raise ValueError(f"{found[0]!r} is no escape: allowed are \\n \\r \\t \\\\ \\0 \\a \\e and \\xHH")

    pieces: list[bytes] = []
    end = 0
    # Piece by piece, because \xHH is one byte and any other letter may be several.
    for found in _ESCAPE.finditer(text):
        pieces += [text[end : found.start()].encode(), replaced(found).encode("latin-1")]
        end = found.end()
    return b"".join([*pieces, text[end:].encode()])


def split_template(template: str, letters: str) -> list[tuple[str, bytes]]:
    """The parts of a template in order: ("", literal bytes) or (letter, b""). Raises ValueError for a letter that is
    not among `letters`."""
    parts: list[tuple[str, bytes]] = []
    literal = ""
    end = 0
    for found in _TOKEN.finditer(template):
        literal += template[end : found.start()]
        end = found.end()
        if found[1] == "%":
            literal += "%"
            continue
        if found[1] is None or found[1] not in letters:
            allowed = " ".join(f"%{letter}" for letter in letters)
            raise ValueError(f"{found[0]!r} is not known in a format: allowed are {allowed} %%")
        if literal:
            parts.append(("", unescape(literal)))
            literal = ""
        parts.append((found[1], b""))
    literal += template[end:]
    if literal:
        parts.append(("", unescape(literal)))
    return parts


def compile_format(template: str) -> RecordPrinter:
    """A function from a record to the bytes to print. Raises ValueError for a template that cannot be understood."""
    printers = [
        _PRINTERS[letter] if letter else _constant(literal)
        for letter, literal in split_template(template, "".join(_PRINTERS))
    ]
    return lambda record: b"".join([printer(record) for printer in printers])


def _constant(literal: bytes) -> RecordPrinter:
    return lambda _: literal


def _length(data: bytes | None) -> int:
    return -1 if data is None else len(data)


def headers_text(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """`name=value,name=value`; a value that is absent is NULL, as kcat prints it."""
    return b",".join(
        name.encode() + b"=" + (b"NULL" if value is None else bytes(value)) for name, value in headers
    )


_PRINTERS: Final[dict[str, RecordPrinter]] = {
    "t": lambda record: record.topic.encode(),
    "p": lambda record: b"%d" % record.partition,
    "o": lambda record: b"%d" % record.offset,
    "T": lambda record: b"%d" % record.timestamp_ms,
    "h": lambda record: headers_text(record.headers),
    "k": lambda record: record.key or b"",
    "s": lambda record: record.value or b"",
    "K": lambda record: b"%d" % _length(record.key),
    "S": lambda record: b"%d" % _length(record.value),
    "R": lambda record: struct.pack(">i", _length(record.value)),
}


def pretty(record: PrintedRecord) -> str:
    """A record for eyes: one line of where and when, then key, headers and value (JSON is set out)."""
    from datetime import UTC, datetime

    when = "no time"
    if record.timestamp_ms >= 0:
        moment = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
        when = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    lines = [f"{record.topic}/{record.partition} @{record.offset}  {when}"]
    if record.key is not None:
        lines.append(f"  key:   {_readable(record.key)}")
    lines += [f"  {name}: {'NULL' if value is None else _readable(value)}" for name, value in record.headers]
    value = "(tombstone)" if record.value is None else _readable(record.value, set_out=True)
    return "\n".join([*lines, *(f"  {line}" for line in value.splitlines())]) + "\n"


def _readable(data: bytes, set_out: bool = False) -> str:
    """Text where it is text, JSON set out, else the bytes in hexadecimal."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"0x{data.hex()}"
    if set_out and text[:1] in ("{", "["):
        import json

        try:
            return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except ValueError:
            return text
    return text if text.isprintable() or set_out else repr(text)[1:-1]


def as_json_line(record: PrintedRecord) -> bytes:
    """A record as one line of JSON. Bytes that are no text are in `key_base64` and so on instead."""
    import json

    line: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        **_json_bytes("key", record.key),
        **_json_bytes("value", record.value),
        "headers": [{"name": name, **_json_bytes("value", value)} for name, value in record.headers],
    }
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _json_bytes(name: str, data: bytes | None) -> dict[str, str | None]:
    if data is None:
        return {name: None}
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        from base64 import b64encode

        return {f"{name}_base64": b64encode(data).decode()}
