"""What the plan does not need is not started."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from odradek.jepsen.nemesis.schedule import Step
from odradek.jepsen.run.options import Options
from odradek.jepsen.run.prepare import prepared


class _Cluster:
    """Has nodes, and fails whoever asks for its proxy."""

    nodes: dict[int, Any] = {}
    flavour = "odradek"


def test_without_faults_of_links_there_is_no_proxy() -> None:
    cluster = cast(Any, _Cluster())
    kill, slow = Step(1, 1.0, "kill", 1.0, "one", (1,)), Step(2, 1.0, "link-slow", 1.0, "some", (1,))
    with prepared(cluster, Options(seed=1, folder=Path("x")), [kill]) as build:
        assert build(kill, cast(Any, None), []).name == "kill"
        with pytest.raises(LookupError, match="proxy"):
            build(slow, cast(Any, None), [])
