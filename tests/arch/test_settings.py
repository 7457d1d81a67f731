"""A setting that the table says is acted on is read by somebody: the start must not promise what nobody
does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from odradek.node.config.definitions import Support, broker_definition, broker_names
from odradek.node.config.node_config import NodeConfig
from odradek.storage.log_config import topic_definitions

ROOT = Path(__file__).parents[2]

#: Settings that `NodeConfig` itself turns into roles, listeners, directories and identity.
_READ_BY_NODE_CONFIG = {
    "process.roles",
    "node.id",
    "broker.id",
    "broker.rack",
    "controller.quorum.voters",
    "controller.quorum.bootstrap.servers",
    "controller.listener.names",
    "listeners",
    "advertised.listeners",
    "listener.security.protocol.map",
    "inter.broker.listener.name",
    "security.inter.broker.protocol",
    "log.dir",
    "log.dirs",
    "metadata.log.dir",
    "odradek.cluster.id",
    "odradek.grpc.listener",
    "odradek.grpc.advertised.listener",
    "odradek.http.listener",
}
#: Settings that are a property of NodeConfig.
_PROPERTIES = {
    "max.connections.per.ip.overrides": "max_connections_per_ip_overrides",
    "replica.selector.class": "replica_selector_class",
}


def _acted_on() -> list[str]:
    names = []
    for name in broker_names():
        definition = broker_definition(name)
        assert definition is not None
        if definition.support is Support.ACTS:
            names.append(name)
    return names


def _attributes() -> dict[str, str]:
    """The attribute of NodeConfig behind each setting."""
    found = {
        descriptor._name: attribute
        for attribute, descriptor in vars(NodeConfig).items()
        if type(descriptor).__name__ == "_Setting"
    }
    return found | _PROPERTIES


def _sources() -> str:
    """Everything that could read a setting, outside the configuration itself."""
    own = ROOT / "node/odradek/node/config"
    paths = [path for path in (ROOT / "node/odradek").rglob("*.py") if not path.is_relative_to(own)]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


_SOURCES = _sources()
_OF_TOPICS = {synonym for definition in topic_definitions().values() for synonym in definition.synonyms}


@pytest.mark.parametrize("name", _acted_on())
def test_it_is_read(name: str) -> None:
    if name in _READ_BY_NODE_CONFIG or name in _OF_TOPICS:
        return
    attribute = _attributes().get(name)
    assert attribute is not None, f"{name} is marked as acted on, but NodeConfig has no attribute for it"
    is_read = re.search(rf"\.{attribute}\b", _SOURCES) is not None
    assert is_read, f"nobody reads {attribute}: mark {name} with - in its table until somebody does"
