"""What a node is told: Kafka's settings, where they come from, and whose directory it may use.

The front of the package is here; the tables behind it are imported when a definition is first asked for.
"""

from odradek.node.config.listeners import Listener, Voter
from odradek.node.config.load import Loaded, load_config
from odradek.node.config.names import Note
from odradek.node.config.node_config import ConfigSource, NodeConfig, check_dynamic
from odradek.storage.config_types import ConfigError, InvalidValueError

__all__ = [
    "ConfigError",
    "ConfigSource",
    "InvalidValueError",
    "Listener",
    "Loaded",
    "NodeConfig",
    "Note",
    "Voter",
    "check_dynamic",
    "load_config",
]
