from odradek.node.coordinator.group.commands import (
    DeleteOffsetsResult,
    GroupDescription,
    JoinResult,
    SyncResult,
)
from odradek.proto.kafka.errors import ErrorCode


def test_a_failed_join_has_kafkas_empty_values() -> None:
    failed = JoinResult(ErrorCode.UNKNOWN_MEMBER_ID, "m")
    assert (failed.generation, failed.leader_id, failed.members, failed.skip_assignment) == (
        -1,
        "",
        (),
        False,
    )
    assert failed.protocol_type is None and failed.protocol_name is None


def test_other_failures_carry_nothing() -> None:
    assert SyncResult(ErrorCode.ILLEGAL_GENERATION).assignment == b""
    assert GroupDescription(ErrorCode.GROUP_ID_NOT_FOUND, "g").state == "Dead"
    assert DeleteOffsetsResult(ErrorCode.GROUP_ID_NOT_FOUND).errors == ()
