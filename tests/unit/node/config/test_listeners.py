"""The small languages inside settings."""

from __future__ import annotations

import pytest

from odradek.node.config.listeners import (
    Listener,
    Voter,
    format_address,
    parse_address,
    parse_ip_limits,
    parse_listeners,
    parse_security_map,
    parse_voters,
)
from odradek.storage.config_types import InvalidValueError

_MAP = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", "EXTERNAL-1": "SSL"}


@pytest.mark.parametrize(
    ("text", "listener"),
    [
        ("PLAINTEXT://:9092", Listener("PLAINTEXT", "", 9092, "PLAINTEXT")),
        ("plaintext://localhost:0", Listener("PLAINTEXT", "localhost", 0, "PLAINTEXT")),
        ("PLAINTEXT://[::1]:9092", Listener("PLAINTEXT", "::1", 9092, "PLAINTEXT")),
        ("External-1://my_host.example:65535", Listener("EXTERNAL-1", "my_host.example", 65535, "SSL")),
    ],
)
def test_one_listener(text: str, listener: Listener) -> None:
    assert parse_listeners("listeners", [text], _MAP) == (listener,)


@pytest.mark.parametrize(
    ("elements", "part"),
    [
        (["PLAINTEXT:9092"], "is not a listener"),
        (["PLAINTEXT://host"], "is not a listener"),
        (["PLAINTEXT://host:port"], "is not a listener"),
        (["PLAINTEXT://:70000"], "is not a listener"),
        (["PLAINTEXT://:-1"], "is not a listener"),
        (["PLAINTEXT://a b:1"], "is not a listener"),
        (["://:1"], "is not a listener"),
        (["OTHER://:1"], "OTHER has no security protocol"),
        (["PLAINTEXT://:1", "plaintext://:2"], "name is there twice"),
        (["PLAINTEXT://:1", "CONTROLLER://:1"], "port 1 is there twice"),
        (["PLAINTEXT://127.0.0.1:1", "CONTROLLER://127.0.0.2:1"], "port 1 is there twice"),
    ],
)
def test_listeners_that_are_refused(elements: list[str], part: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        parse_listeners("listeners", elements, _MAP)
    assert refused.value.name == "listeners"
    assert part in str(refused.value)


def test_ports_that_may_be_shared() -> None:
    both_families = ["PLAINTEXT://127.0.0.1:1", "CONTROLLER://[::1]:1"]
    assert len(parse_listeners("listeners", both_families, _MAP)) == 2
    assert len(parse_listeners("listeners", ["PLAINTEXT://:0", "CONTROLLER://:0"], _MAP)) == 2
    assert len(parse_listeners("advertised.listeners", ["PLAINTEXT://h:1", "CONTROLLER://h:1"], _MAP)) == 2


def test_addresses() -> None:
    assert Listener("A", "::1", 5, "PLAINTEXT").address == "[::1]:5"
    assert format_address("h", 5) == "h:5"
    assert parse_address("--listen", " [::1]:80 ") == ("::1", 80)
    assert parse_address("--listen", "0.0.0.0:0") == ("0.0.0.0", 0)


@pytest.mark.parametrize("text", ["", "host", ":80", "host:", "host:99999", "a:b:1", "::1:80", "host:-1"])
def test_addresses_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match="expected host:port"):
        parse_address("--listen", text)


def test_the_security_map() -> None:
    assert parse_security_map("controller:plaintext, X:SASL_SSL") == {
        "CONTROLLER": "PLAINTEXT",
        "X": "SASL_SSL",
    }
    assert parse_security_map("A:SSL,A:PLAINTEXT") == {"A": "PLAINTEXT"}
    assert parse_security_map("") == {}
    for text in ("A", "A:", ":SSL", "A:TLS", "A:SSL,"):
        with pytest.raises(InvalidValueError, match="PLAINTEXT, SSL"):
            parse_security_map(text)


def test_voters() -> None:
    assert parse_voters(["1@a:9093", "2@[::1]:9094"]) == (Voter(1, "a", 9093), Voter(2, "::1", 9094))
    for elements in (["1@a"], ["x@a:1"], ["a:1"], ["1@a:1", "1@b:2"], ["-1@a:1"]):
        with pytest.raises(InvalidValueError) as refused:
            parse_voters(elements)
        assert refused.value.name == "controller.quorum.voters"


def test_connection_limits() -> None:
    assert parse_ip_limits("127.0.0.1:5, [::1]:6,host:0") == {"127.0.0.1": 5, "::1": 6, "host": 0}
    assert parse_ip_limits("") == {}
    for text in ("127.0.0.1", "127.0.0.1:x", ":5", "a:-1"):
        with pytest.raises(InvalidValueError):
            parse_ip_limits(text)
