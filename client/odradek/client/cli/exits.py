"""Exit codes of the command line, and the error that carries one.

The numbers are for scripts: they stay as they are. `describe` turns what a call raised into a code and one line;
which reasons mean "not found" or "cannot reach" is decided here and nowhere else."""

from __future__ import annotations

from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
UNREACHABLE: Final = 4
PARTLY: Final = 5
INTERRUPTED: Final = 130

#: What `--help` says about them.
EXPLANATION: Final = (
    "exit codes: 0 ok, 1 failed, 2 wrong usage, 3 not found, 4 cannot reach the cluster, 5 partly failed,\n"
    "130 Ctrl-C"
)

_NOT_FOUND_REASONS: Final = frozenset(
    {
        "UNKNOWN_TOPIC_OR_PARTITION",
        "UNKNOWN_TOPIC_ID",
        "GROUP_ID_NOT_FOUND",
        "UNKNOWN_MEMBER_ID",
        "BROKER_ID_NOT_REGISTERED",
        "RESOURCE_NOT_FOUND",
        "NOT_FOUND",
    }
)


class CommandError(Exception):
    """A verb cannot do what it was asked for: one line for people, and the exit code."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def usage(message: str) -> CommandError:
    """The error of somebody who asked for what cannot be asked for."""
    return CommandError(message, USAGE)


def describe(error: Exception) -> tuple[int, str] | None:
    """The exit code and the line for an error that users may meet; None for one that only a fault of ours
    raises."""
    if isinstance(error, CommandError):
        return error.exit_code, str(error)
    from odradek.client.cli.profiles import ProfileError, UnknownProfileError

    if isinstance(error, ProfileError):
        return NOT_FOUND if isinstance(error, UnknownProfileError) else USAGE, str(error)
    from odradek.client.errors import NodeUnavailableError, OdradekError

    if isinstance(error, NodeUnavailableError):
        # With a reason a node did answer: what it needs is not there now.
        is_silence = error.reason == "UNAVAILABLE"
        said = (
            f"cannot reach the cluster: {error.message}"
            if is_silence
            else f"{error.message} ({error.reason})"
        )
        return UNREACHABLE, said
    if isinstance(error, OdradekError):
        code = NOT_FOUND if error.reason in _NOT_FOUND_REASONS else FAILED
        return code, f"{error.message} ({error.reason})" if error.message else error.reason
    if isinstance(error, OSError):
        return FAILED, f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return None


def worst(codes: list[int]) -> int:
    """The code of several things done one after another: that of all of them if they agree, else PARTLY."""
    different = set(codes)
    if not different:
        return OK
    return different.pop() if len(different) == 1 else PARTLY
