"""The values a configuration can have: types, what is allowed, and how text becomes a value.

Decides: how one configured text is read (numbers as Java reads them, booleans, comma lists) and whether it is
allowed; how a value is written back. Does not decide which names exist: the topic table is in `log_config`,
the broker table in `odradek.node.config`.

A table is rows of plain strings, so importing one costs nothing; a `ConfigDefinition` is made when it is
first asked for. The allowed values are written in a small notation:

    ""            anything of the type
    ">=1"         at least 1
    "1..9"        between 1 and 9, both included
    "-1 1..9"     -1, or between 1 and 9
    "a|b|c"       one of these words (for a list: each element)
    "i:a|b"       the same, in any case
    "n:a|b"       a list of these words that is not empty
    "nonempty"    text or list that is not empty
    "replicas"    "*", or a list of partition:broker pairs

Source: the behaviour of Kafka's ConfigDef, observed.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

ConfigValue = bool | int | float | str | tuple[str, ...] | None

INT64_MAX: Final = 2**63 - 1


class ConfigType(IntEnum):
    """Types with the numbers that DescribeConfigs uses for them."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7
    CLASS = 8
    PASSWORD = 9


class ConfigError(ValueError):
    """A configuration that cannot be used; the text is a sentence for the operator."""


class InvalidValueError(ConfigError):
    """One value that is not allowed: `name`, `value` as given (a password hidden), `allowed` in words."""

    def __init__(self, name: str, value: str, allowed: str) -> None:
        self.name = name
        self.value = value
        self.allowed = allowed
        super().__init__(f"{name}={value} is not valid: {allowed}")


class ConfigDefinition(NamedTuple):
    """One known name. `default` is text as it would stand in a file, None where there is no value."""

    name: str
    type: ConfigType
    default: str | None
    allowed: str
    synonyms: tuple[str, ...] = ()
    documentation: str = ""

    def parse(self, text: str) -> ConfigValue:
        """The value of `text`. Raises `InvalidValueError`."""
        text = text.strip()
        value = _read(self.type, text)
        if value is None or not _is_allowed(self.allowed, value):
            shown = "(hidden)" if self.type is ConfigType.PASSWORD else text
            raise InvalidValueError(self.name, shown, describe_allowed(self.type, self.allowed))
        return value

    @property
    def default_value(self) -> ConfigValue:
        """The default as a value, None where there is none."""
        return None if self.default is None else _read(self.type, self.default)


def format_value(value: ConfigValue) -> str | None:
    """The text of a value, such that parsing it gives the value again."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def split_list(text: str) -> tuple[str, ...]:
    """The elements of a comma list, trimmed; an empty text has none."""
    text = text.strip()
    return tuple(element.strip() for element in text.split(",")) if text else ()


def describe_allowed(kind: ConfigType, allowed: str) -> str:
    """What is allowed, in words: the end of an error message."""
    noun = _NOUNS[kind]
    if allowed == "":
        return f"expected {noun}"
    if allowed == "nonempty":
        return f"expected {noun} that is not empty"
    if allowed == "replicas":
        return "expected * or a list of partition:broker pairs such as 0:1,1:2"
    if "|" in allowed:
        words = ", ".join(allowed.removeprefix("i:").removeprefix("n:").split("|"))
        return f"expected {'a list of' if kind is ConfigType.LIST else 'one of'} {words}"
    parts = []
    for alternative in allowed.split():
        if alternative.startswith(">="):
            parts.append(f"at least {alternative[2:]}")
        elif ".." in alternative:
            low, high = alternative.split("..")
            parts.append(f"from {low} to {high}")
        else:
            parts.append(alternative)
    return f"expected {noun}, {' or '.join(parts)}"


_BITS: Final = {ConfigType.SHORT: 16, ConfigType.INT: 32, ConfigType.LONG: 64}
_NOUNS: Final = {
    ConfigType.BOOLEAN: "true or false",
    ConfigType.STRING: "text",
    ConfigType.INT: "a whole number of 32 bits",
    ConfigType.SHORT: "a whole number of 16 bits",
    ConfigType.LONG: "a whole number of 64 bits",
    ConfigType.DOUBLE: "a number",
    ConfigType.LIST: "a comma-separated list without empty elements",
    ConfigType.CLASS: "a class name",
    ConfigType.PASSWORD: "text",
}


def _read(kind: ConfigType, text: str) -> ConfigValue:
    """The value, or None where the text is not of the type."""
    if kind is ConfigType.BOOLEAN:
        return {"true": True, "false": False}.get(text.lower())
    if kind in (ConfigType.INT, ConfigType.SHORT, ConfigType.LONG):
        return _read_whole_number(text, _BITS[kind])
    if kind is ConfigType.DOUBLE:
        return _read_decimal(text)
    if kind is ConfigType.LIST:
        elements = split_list(text)
        # An element given twice counts once, as in Kafka.
        return tuple(dict.fromkeys(elements)) if all(elements) else None
    return text


def _read_whole_number(text: str, bits: int) -> int | None:
    digits = text[1:] if text[:1] in ("+", "-") else text
    # The length too: Python refuses to convert thousands of digits, with an error of its own.
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 40):
        return None
    number = int(text)
    return number if -(1 << bits - 1) <= number < 1 << bits - 1 else None


def _read_decimal(text: str) -> float | None:
    if text[-1:] in ("f", "F", "d", "D"):
        text = text[:-1]
    # Python would also read digits with underscores, infinity, and "not a number".
    if not text.isascii() or any(character not in "+-.0123456789eE" for character in text):
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _is_replica(element: str) -> bool:
    partition, _, broker = element.partition(":")
    return element.isascii() and partition.isdigit() and broker.isdigit()


def _is_allowed(allowed: str, value: ConfigValue) -> bool:
    if allowed == "":
        return True
    if allowed == "nonempty":
        return bool(value)
    if isinstance(value, tuple):
        if allowed == "replicas":
            return value == ("*",) or all(_is_replica(element) for element in value)
        if allowed.startswith("n:"):
            return bool(value) and all(_is_word(allowed[2:], element) for element in value)
        return all(_is_word(allowed, element) for element in value)
    if isinstance(value, str):
        return _is_word(allowed, value)
    assert isinstance(value, int | float), (allowed, value)
    return any(_in_range(alternative, value) for alternative in allowed.split())


def _is_word(allowed: str, word: str) -> bool:
    if allowed.startswith("i:"):
        return word.upper() in allowed[2:].upper().split("|")
    return word in allowed.split("|")


def _in_range(alternative: str, value: float) -> bool:
    if alternative.startswith(">="):
        return value >= float(alternative[2:])
    if ".." in alternative:
        low, high = alternative.split("..")
        return float(low) <= value <= float(high)
    return value == float(alternative)
