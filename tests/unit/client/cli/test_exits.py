from __future__ import annotations

import pytest

from odradek.client.cli import exits
from odradek.client.cli.profiles import ProfileError, UnknownProfileError
from odradek.client.errors import from_reason


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (exits.CommandError("no"), exits.FAILED, "no"),
        (exits.usage("write it so"), exits.USAGE, "write it so"),
        (from_reason("UNKNOWN_TOPIC_OR_PARTITION", "no x"), exits.NOT_FOUND, "no x (UNKNOWN_TOPIC_OR_PARTITION)"),
        (from_reason("GROUP_ID_NOT_FOUND", "no group"), exits.NOT_FOUND, "no group (GROUP_ID_NOT_FOUND)"),
        (from_reason("INVALID_CONFIG", "bad"), exits.FAILED, "bad (INVALID_CONFIG)"),
        (from_reason("NOT_CONTROLLER", "nobody leads"), exits.UNREACHABLE, "nobody leads (NOT_CONTROLLER)"),
        (from_reason("UNAVAILABLE", "refused"), exits.UNREACHABLE, "cannot reach the cluster: refused"),
        (UnknownProfileError("no profile"), exits.NOT_FOUND, "no profile"),
        (ProfileError("not TOML"), exits.USAGE, "not TOML"),
        (FileNotFoundError(2, "No such file", "x.txt"), exits.FAILED, "x.txt: No such file"),
    ],
)  # fmt: skip
def test_an_error_is_a_code_and_a_line(error: Exception, code: int, line: str) -> None:
    assert exits.describe(error) == (code, line)


def test_a_fault_of_ours_is_not_described() -> None:
    assert exits.describe(KeyError("x")) is None


def test_several_codes_become_one() -> None:
    assert exits.worst([]) == exits.OK
    assert exits.worst([3, 3]) == 3
    assert exits.worst([0, 3]) == exits.PARTLY
