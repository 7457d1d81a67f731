from __future__ import annotations

from odradek.client.patterns import dead_letters
from odradek.client.patterns.dead_letters import as_first_read, attempts_of, failed_headers, redriven_headers
from odradek.client.patterns.retry_policy import Reject
from odradek.client.records import ConsumerRecord

FIRST = ConsumerRecord("emails", 2, 17, 1234, b"k", b"v", (("trace", b"abc"),))


def written(record: ConsumerRecord, headers: tuple[tuple[str, bytes | None], ...]) -> ConsumerRecord:
    return ConsumerRecord("emails.g.retry", 0, 5, 9999, record.key, record.value, headers)


def test_the_headers_say_where_it_came_from_and_why() -> None:
    headers = dict(failed_headers(FIRST, "mailers", 3, ValueError("no such address"), due_ms=77))
    assert headers == {
        "trace": b"abc",
        "__odradek.errors.topic": b"emails",
        "__odradek.errors.partition": b"2",
        "__odradek.errors.offset": b"17",
        "__odradek.errors.timestamp": b"1234",
        "__odradek.errors.group": b"mailers",
        "__odradek.errors.exception.class.name": b"ValueError",
        "__odradek.errors.exception.message": b"no such address",
        "__odradek.errors.attempts": b"3",
        "__odradek.errors.due": b"77",
    }


def test_an_exception_that_is_not_built_in_has_its_module() -> None:
    headers = dict(failed_headers(FIRST, "g", 1, Reject("x" * 5000)))
    assert headers[dead_letters.EXCEPTION_CLASS] == b"odradek.client.patterns.retry_policy.Reject"
    assert len(headers[dead_letters.EXCEPTION_MESSAGE] or b"") == 2000
    assert dead_letters.DUE not in headers


def test_a_retried_record_is_seen_as_it_was_first_read() -> None:
    retried = as_first_read(written(FIRST, failed_headers(FIRST, "g", 2, ValueError("x"), due_ms=1)))
    assert retried == FIRST._replace(headers=(("trace", b"abc"), (dead_letters.ATTEMPTS, b"2")))
    assert attempts_of(retried) == 2
    again = failed_headers(retried, "g", 3, ValueError("y"))
    assert [name for name, _ in again].count(dead_letters.ATTEMPTS) == 1
    assert attempts_of(written(FIRST, again)) == 3


def test_a_record_that_somebody_else_wrote_stays_as_it_is() -> None:
    assert as_first_read(FIRST) == FIRST
    assert attempts_of(FIRST) == 0


def test_a_redriven_record_is_new_but_for_its_count() -> None:
    dead = written(FIRST, failed_headers(FIRST, "g", 5, ValueError("x")))
    once = redriven_headers(dead)
    assert once == (("trace", b"abc"), (dead_letters.REDRIVES, b"1"))
    dead_again = written(FIRST, failed_headers(FIRST._replace(headers=once), "g", 5, ValueError("x")))
    assert redriven_headers(dead_again) == (("trace", b"abc"), (dead_letters.REDRIVES, b"2"))


def test_names_of_topics() -> None:
    assert dead_letters.dead_letter_topic("emails") == "emails.dlq"
    assert dead_letters.retry_topic("emails", "mailers") == "emails.mailers.retry"
