"""Settings from environment variables, as the apache/kafka container image reads them.

Decides: which variable stands for which setting. `KAFKA_` is dropped, the rest is lower-cased, `_` is a dot,
`__` an underscore, `___` a dash. `KAFKA_CFG_` is the older habit of another image, read the same way.
`CLUSTER_ID` is the id for directories that are still empty. Variables that configure the JVM, log4j or the
image itself, and those that Kubernetes sets for a service called kafka, stand for no setting.

A value is taken as it is; the image passes it through a properties file, where backslashes mean something.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

CLUSTER_ID: Final = "odradek.cluster.id"

#: Variables of the image, its start scripts, and of Kubernetes service links.
_NOT_SETTINGS: Final = (
    r"KAFKA_(HOME|VERSION|DEBUG|DEBUG_.*|USER|(.*_)?OPTS?|LOG4J_.*|TOOLS_LOG4J_.*|JMX_.*|CLASSPATH|MODE"
    r"|SERVICE_(HOST|PORT).*|PORT|PORT_[0-9]+_.*)"
)


def variable_to_name(variable: str) -> str:
    """The setting for the part of a variable after its prefix: `LOG_DIRS` is `log.dirs`."""
    return variable.lower().replace("_", ".").replace("...", "-").replace("..", "_")


def settings_from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Settings by name. Where two variables stand for one setting, the plain `KAFKA_` one counts."""
    settings: dict[str, str] = {}
    if environ.get("CLUSTER_ID"):
        settings[CLUSTER_ID] = environ["CLUSTER_ID"]
    plain: dict[str, str] = {}
    for variable, value in environ.items():
        if not variable.startswith("KAFKA_") or re.fullmatch(_NOT_SETTINGS, variable):
            continue
        if variable == "KAFKA_CLUSTER_ID":
            settings[CLUSTER_ID] = value
        elif variable.startswith("KAFKA_CFG_"):
            settings[variable_to_name(variable.removeprefix("KAFKA_CFG_"))] = value
        else:
            plain[variable_to_name(variable.removeprefix("KAFKA_"))] = value
    return settings | plain
