"""Listeners, the security protocol of each, and the addresses of controllers: the small languages inside
settings.

Decides: how `listeners`, `listener.security.protocol.map`, `controller.quorum.voters` and host:port lists
are read. Does not decide which combinations make sense (`validation`), and opens no socket.

Source: Kafka 4.3 settings; the forms were tried against KafkaConfig.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from odradek.storage.config_types import InvalidValueError, split_list

SECURITY_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")

# Compiled when first used, by `re` itself: a node without controllers never needs two of them.
_LISTENER: Final = r"([^:/\s]+)://(\[[0-9a-fA-F:.%]*\]|[^:/\[\]\s]*):([0-9]{1,5})"
_ADDRESS: Final = r"(\[[0-9a-fA-F:.%]+\]|[^:/@\[\]\s]+):([0-9]{1,5})"
_VOTER: Final = r"([0-9]{1,10})@(.+)"
_IPV4: Final = r"[0-9]{1,3}(\.[0-9]{1,3}){3}"
_LISTENER_FORM: Final = "expected a list of NAME://host:port, with each name and each port once"


class Listener(NamedTuple):
    """One address to listen on or to advertise. An empty host is every address; port 0 is any free port.

    `protocol` is one of `SECURITY_PROTOCOLS`.
    """

    name: str
    host: str
    port: int
    protocol: str

    @property
    def address(self) -> str:
        """host:port, an IPv6 address in brackets."""
        return format_address(self.host, self.port)


class Voter(NamedTuple):
    """A controller of a fixed quorum."""

    node_id: int
    host: str
    port: int


def format_address(host: str, port: int) -> str:
    """host:port, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_address(name: str, text: str) -> tuple[str, int]:
    """(host, port) of host:port or [ipv6]:port. Raises `InvalidValueError` under `name`."""
    match = re.fullmatch(_ADDRESS, text.strip())
    if match is None or int(match[2]) > 65535:
        raise InvalidValueError(name, text, "expected host:port, with a port up to 65535")
    return match[1].strip("[]"), int(match[2])


def parse_security_map(text: str) -> dict[str, str]:
    """Listener name (upper case) to security protocol, from pairs; the last one of a name counts."""
    name = "listener.security.protocol.map"
    mapping: dict[str, str] = {}
    for pair in split_list(text):
        listener, _, protocol = pair.rpartition(":")
        listener, protocol = listener.strip().upper(), protocol.strip().upper()
        if not listener or protocol not in SECURITY_PROTOCOLS:
            allowed = ", ".join(SECURITY_PROTOCOLS)
            raise InvalidValueError(name, text, f"expected NAME:PROTOCOL pairs with the protocols {allowed}")
        mapping[listener] = protocol
    return mapping


def parse_listeners(
    name: str, elements: Sequence[str], security_map: Mapping[str, str]
) -> tuple[Listener, ...]:
    """The listeners of a setting called `name`. Names are in upper case.

    A name may be there once; a port too, except 0 (any free port), and one IPv4 and one IPv6 address may
    share one. Raises `InvalidValueError`."""
    shown = ",".join(elements)
    listeners: list[Listener] = []
    for element in elements:
        match = re.fullmatch(_LISTENER, element)
        if match is None or int(match[3]) > 65535:
            raise InvalidValueError(name, shown, f"{element!r} is not a listener; {_LISTENER_FORM}")
        listener_name = match[1].upper()
        protocol = security_map.get(listener_name)
        if protocol is None:
            allowed = f"{listener_name} has no security protocol in listener.security.protocol.map"
            raise InvalidValueError(name, shown, allowed)
        listeners.append(Listener(listener_name, match[2].strip("[]"), int(match[3]), protocol))
    _check_distinct(name, shown, listeners)
    return tuple(listeners)


def parse_voters(elements: Sequence[str]) -> tuple[Voter, ...]:
    """The voters of `controller.quorum.voters`. Raises `InvalidValueError`."""
    name = "controller.quorum.voters"
    voters: dict[int, Voter] = {}
    for element in elements:
        match = re.fullmatch(_VOTER, element)
        if match is None or int(match[1]) in voters:
            raise InvalidValueError(
                name, ",".join(elements), "expected a list of id@host:port, with each id once"
            )
        host, port = parse_address(name, match[2])
        voters[int(match[1])] = Voter(int(match[1]), host, port)
    return tuple(voters.values())


def parse_ip_limits(text: str) -> dict[str, int]:
    """Connections by address, from `max.connections.per.ip.overrides`. Raises `InvalidValueError`."""
    limits: dict[str, int] = {}
    for pair in split_list(text):
        host, _, number = pair.rpartition(":")
        if not host.strip() or not number.strip().isascii() or not number.strip().isdigit():
            raise InvalidValueError("max.connections.per.ip.overrides", text, "expected address:number pairs")
        limits[host.strip().strip("[]")] = int(number)
    return limits


def _check_distinct(name: str, shown: str, listeners: Sequence[Listener]) -> None:
    names = [listener.name for listener in listeners]
    if len(set(names)) != len(names):
        raise InvalidValueError(name, shown, f"a listener name is there twice; {_LISTENER_FORM}")
    if name != "listeners":
        return
    by_port: dict[int, list[Listener]] = {}
    for listener in listeners:
        if listener.port > 0:
            by_port.setdefault(listener.port, []).append(listener)
    for port, sharing in by_port.items():
        if len(sharing) > 2 or (len(sharing) == 2 and not _is_one_of_each_family(sharing)):
            raise InvalidValueError(name, shown, f"port {port} is there twice; {_LISTENER_FORM}")


def _is_one_of_each_family(pair: Sequence[Listener]) -> bool:
    """True for an IPv4 address and an IPv6 address, which can listen on one port side by side."""
    return sorted(_family(listener.host) for listener in pair) == [4, 6]


def _family(host: str) -> int:
    if ":" in host:
        return 6
    return 4 if re.fullmatch(_IPV4, host) else 0
