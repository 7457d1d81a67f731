r"""The text form of Java properties: reading `server.properties`, and writing small files of our own.

Decides: how lines become names and values. Does not know any name.

Blank lines and lines that begin with # or ! are comments. A line that ends in an odd number of backslashes
goes on in the next one, whose leading blanks are dropped. A name ends at the first =, : or blank that is not
escaped; one = or : with blanks around it is the separator. Escapes: \t \n \r \f \uXXXX; a backslash before
anything else stands for that character. A name given twice has its last value. Source: the documented format
of java.util.Properties."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from odradek.storage.config_types import ConfigError

_BLANKS: Final = " \t\f"
_ESCAPES: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_WRITTEN: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\f": "\\f", "\\": "\\\\"}
_ESCAPE: Final = r"(?s)\\(u[0-9a-fA-F]{4}|.)"
_LINE_END: Final = r"\r\n|\n|\r"
#: A name: anything but an unescaped separator; then the separator.
_NAME: Final = r"(?s)((?:[^\\=: \t\f]|\\.)*)[ \t\f]*[=:]?[ \t\f]*"


def parse_properties(text: str) -> dict[str, str]:
    """Names and values in the order of first appearance. Raises `ConfigError` for a malformed \\u escape."""
    properties: dict[str, str] = {}
    for line in _logical_lines(text):
        match = re.match(_NAME, line)
        assert match is not None, line
        properties[_unescape(match[1])] = _unescape(line[match.end() :])
    return properties


def format_properties(properties: Mapping[str, str]) -> str:
    """Text that `parse_properties` reads back to the same mapping: one line each, pure ASCII."""
    return "".join(
        f"{_escape(name, separators=True)}={_escape(value, separators=False)}\n"
        for name, value in properties.items()
    )


def _logical_lines(text: str) -> Iterator[str]:
    """Lines with their continuations joined and comments left out."""
    pending: str | None = None
    for line in re.split(_LINE_END, text):
        line = line.lstrip(_BLANKS)
        if pending is None and (not line or line[0] in "#!"):
            continue
        backslashes = len(line) - len(line.rstrip("\\"))
        whole = (pending or "") + line
        if backslashes % 2:
            pending = whole[:-1]
            continue
        pending = None
        yield whole
    if pending is not None:
        yield pending


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    text = re.sub(_ESCAPE, _replacement, text)
    # Two \\u escapes can be one character beyond the first plane.
    return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "surrogatepass")


def _replacement(match: re.Match[str]) -> str:
    escape = match[1]
    if escape == "u":
        raise ConfigError("the properties file has \\u that is not followed by four hexadecimal digits")
    if len(escape) == 5:
        return chr(int(escape[1:], 16))
    return _ESCAPES.get(escape, escape)


def _escape(text: str, *, separators: bool) -> str:
    written = []
    for position, character in enumerate(text):
        if character in _WRITTEN:
            written.append(_WRITTEN[character])
        elif character == " " and (separators or position == 0):
            written.append("\\ ")
        elif separators and character in "=:#!":
            written.append("\\" + character)
        elif " " <= character <= "~":
            written.append(character)
        else:
            written.extend(f"\\u{unit:04x}" for unit in _utf16_units(character))
    return "".join(written)


def _utf16_units(character: str) -> list[int]:
    """The UTF-16 code units of a character: two of them beyond the first plane, as Java writes it."""
    data = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
