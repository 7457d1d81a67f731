from __future__ import annotations

from pathlib import Path

from tests.unit.client.cli.conftest import Command, running_node

from odradek.client.cli import exits


def _all(odradek: Command, topic: str, template: str = "%k=%s;") -> str:
    return odradek("consume", topic, "-e", "-f", template).out


def test_lines_keys_headers_compression(odradek: Command, tmp_path: Path) -> None:
    odradek("topic", "create", "p-lines", "-p", "1")
    (tmp_path / "in").write_bytes(b"a:1\nb:2\nno key\n")
    written = odradek("produce", "p-lines", "-K:", "-H", "h=1", "-z", "zstd", "-v", str(tmp_path / "in"))
    assert (written.code, written.out) == (exits.OK, "p-lines/0@0\np-lines/0@1\np-lines/0@2\n")
    assert _all(odradek, "p-lines", "%k=%s %h;") == "a=1 h=1;b=2 h=1;=no key h=1;"


def test_whole_files_and_a_key_behind_them(odradek: Command, tmp_path: Path) -> None:
    odradek("topic", "create", "p-whole", "-p", "1")
    (tmp_path / "in").write_bytes(b"1\n2\n")
    assert odradek("produce", "p-whole", "--whole-files", str(tmp_path / "in"), "-k", "K").code == exits.OK
    assert odradek("produce", "p-whole", "--whole-files", "-k", "L", str(tmp_path / "in")).code == exits.OK
    assert _all(odradek, "p-whole") == "K=1\n2\n;L=1\n2\n;"


def test_a_template_names_topics_and_partitions(odradek: Command, tmp_path: Path) -> None:
    for topic in ("p-one", "p-two"):
        odradek("topic", "create", topic, "-p", "2")
    (tmp_path / "in").write_bytes(b"p-one 1 17 x\np-two 0 18 \n")
    template = "%t %p %T %s\\n"
    done = odradek("produce", "-", "-f", template, "--empty-is-tombstone", str(tmp_path / "in"))
    assert done.code == exits.OK
    assert _all(odradek, "p-one", template) == "p-one 1 17 x\n"
    assert _all(odradek, "p-two", "%p %T %S") == "0 18 -1"
    no_topic = odradek("produce", "-", str(tmp_path / "in"))
    assert no_topic.code == exits.USAGE and "name a topic" in no_topic.err


def test_tombstones(odradek: Command) -> None:
    assert odradek("produce", "p-tomb", "--tombstone").code == exits.USAGE
    assert odradek("produce", "p-tomb", "--tombstone", "-k", "k").code == exits.OK
    assert _all(odradek, "p-tomb", "%k %S") == "k -1"


def test_what_was_wrong_is_said(odradek: Command, tmp_path: Path) -> None:
    odradek("topic", "create", "p-wrong", "-p", "1", "-c", "max.message.bytes=2000")
    (tmp_path / "in").write_bytes(b"1 a\nx b\n")
    name = str(tmp_path / "in")
    partly = odradek("produce", "p-wrong", "-f", "%p %s\\n", name)
    assert partly.code in (exits.PARTLY, exits.FAILED) and "record 2 of the input" in partly.err
    assert odradek("produce", "p-wrong", "-p", "5", name).code == exits.NOT_FOUND
    assert odradek("produce", "p-wrong", str(tmp_path / "none")).code == exits.FAILED
    assert odradek("produce", "p-wrong", "-K:", "-k", "k", name).code == exits.USAGE
    assert odradek("produce", "p-wrong", "-K:", "--whole-files", name).code == exits.USAGE
    (tmp_path / "in").write_bytes(b"small\n" + bytes(3000))
    large = odradek("produce", "p-wrong", "-k", "k", name)
    assert large.code in (exits.PARTLY, exits.FAILED) and "MESSAGE_TOO_LARGE" in large.err


def test_a_topic_that_will_not_come(alone: Command, tmp_path: Path) -> None:
    with running_node(tmp_path / "node", "auto.create.topics.enable=false") as address:
        outcome = alone("produce", "p-typo", "-k", "k", "--tombstone", "-s", address)
    assert outcome.code == exits.NOT_FOUND
    assert outcome.err.count("\n") == 1 and "odradek topic create p-typo" in outcome.err
