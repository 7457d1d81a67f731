from odradek.node.coordinator.result import Reply, Result


def test_a_result_collects_replies_in_order() -> None:
    result: Result[str] = Result()
    result.reply(2, "b")
    result.reply(1, "a")
    assert result.replies == [Reply(2, "b"), Reply(1, "a")]
    assert not result.records and not result.then
