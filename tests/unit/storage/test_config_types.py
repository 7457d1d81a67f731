"""One configured text: what it is read as, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odradek.storage.config_types import (
    ConfigDefinition,
    ConfigType,
    ConfigValue,
    InvalidValueError,
    describe_allowed,
    format_value,
    split_list,
)


def _definition(kind: ConfigType, allowed: str = "") -> ConfigDefinition:
    return ConfigDefinition("a.name", kind, None, allowed)


@pytest.mark.parametrize(
    ("kind", "allowed", "text", "value"),
    [
        (ConfigType.INT, "", " 1048576 ", 1048576),
        (ConfigType.INT, "", "+7", 7),
        (ConfigType.INT, "", "-2147483648", -(2**31)),
        (ConfigType.SHORT, "", "32767", 32767),
        (ConfigType.LONG, "", "9223372036854775807", 2**63 - 1),
        (ConfigType.INT, "-1 1..9", "-1", -1),
        (ConfigType.INT, "-1 1..9", "9", 9),
        (ConfigType.BOOLEAN, "", " TRUE ", True),
        (ConfigType.DOUBLE, "0..1", "1e-1", 0.1),
        (ConfigType.DOUBLE, "0..1", "0.5f", 0.5),
        (ConfigType.DOUBLE, "", "1.7976931348623157E308", 1.7976931348623157e308),
        (ConfigType.LIST, "compact|delete", " compact , delete ", ("compact", "delete")),
        (ConfigType.LIST, "compact|delete", "delete,delete", ("delete",)),
        (ConfigType.LIST, "compact|delete", "", ()),
        (ConfigType.LIST, "replicas", "*", ("*",)),
        (ConfigType.LIST, "replicas", "0:1,1:2", ("0:1", "1:2")),
        (ConfigType.STRING, "i:A|B", "a", "a"),
        (ConfigType.STRING, "", "", ""),
    ],
)
def test_values_as_kafka_reads_them(kind: ConfigType, allowed: str, text: str, value: ConfigValue) -> None:
    parsed = _definition(kind, allowed).parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("kind", "allowed", "text"),
    [
        (ConfigType.INT, "", ""),
        (ConfigType.INT, "", "1_000"),
        (ConfigType.INT, "", "1e7"),
        (ConfigType.INT, "", "--1"),
        (ConfigType.INT, "", "٣"),
        (ConfigType.INT, "", "2147483648"),
        (ConfigType.INT, "", "9" * 5000),
        (ConfigType.SHORT, "", "32768"),
        (ConfigType.LONG, "", "9223372036854775808"),
        (ConfigType.INT, ">=1", "0"),
        (ConfigType.INT, "-1 1..9", "0"),
        (ConfigType.INT, "-1 1..9", "10"),
        (ConfigType.BOOLEAN, "", "yes"),
        (ConfigType.DOUBLE, "", "NaN"),
        (ConfigType.DOUBLE, "", "inf"),
        (ConfigType.DOUBLE, "", "1_0"),
        (ConfigType.DOUBLE, "", "."),
        (ConfigType.DOUBLE, "0..1", "1.5"),
        (ConfigType.LIST, "", "a,,b"),
        (ConfigType.LIST, "", "a,"),
        (ConfigType.LIST, "compact|delete", "DELETE"),
        (ConfigType.LIST, "nonempty", ""),
        (ConfigType.LIST, "n:a|b", ""),
        (ConfigType.LIST, "n:a|b", "c"),
        (ConfigType.LIST, "replicas", "0:1,*"),
        (ConfigType.LIST, "replicas", "none"),
        (ConfigType.STRING, "nonempty", ""),
        (ConfigType.STRING, "a|b", "A"),
    ],
)
def test_what_kafka_refuses(kind: ConfigType, allowed: str, text: str) -> None:
    with pytest.raises(InvalidValueError):
        _definition(kind, allowed).parse(text)


def test_the_error_names_the_setting_the_value_and_what_is_allowed() -> None:
    with pytest.raises(InvalidValueError) as refused:
        _definition(ConfigType.INT, "-1 1..9").parse("12")
    assert str(refused.value) == (
        "a.name=12 is not valid: expected a whole number of 32 bits, -1 or from 1 to 9"
    )
    assert (refused.value.name, refused.value.value) == ("a.name", "12")


def test_a_password_is_not_shown() -> None:
    definition = ConfigDefinition("a.secret", ConfigType.PASSWORD, None, "nonempty")
    with pytest.raises(InvalidValueError) as refused:
        definition.parse("  ")
    assert "(hidden)" in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "allowed", "words"),
    [
        (ConfigType.BOOLEAN, "", "expected true or false"),
        (ConfigType.STRING, "i:A|B", "expected one of A, B"),
        (ConfigType.LIST, "n:a|b", "expected a list of a, b"),
        (ConfigType.LIST, "replicas", "expected * or a list of partition:broker pairs such as 0:1,1:2"),
        (ConfigType.STRING, "nonempty", "expected text that is not empty"),
        (ConfigType.LONG, ">=-2", "expected a whole number of 64 bits, at least -2"),
    ],
)
def test_what_is_allowed_in_words(kind: ConfigType, allowed: str, words: str) -> None:
    assert describe_allowed(kind, allowed) == words


@given(
    st.one_of(
        st.integers(-(2**63), 2**63 - 1), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)
    )
)
def test_a_formatted_value_is_read_back(value: int | bool | float) -> None:
    kinds = {bool: ConfigType.BOOLEAN, int: ConfigType.LONG, float: ConfigType.DOUBLE}
    text = format_value(value)
    assert text is not None
    assert _definition(kinds[type(value)]).parse(text) == value


def test_formatting_and_splitting() -> None:
    assert format_value(None) is None
    assert format_value(("a", "b")) == "a,b"
    assert split_list("  ") == ()
    assert split_list("a, b,") == ("a", "b", "")
    assert _definition(ConfigType.INT).default_value is None
