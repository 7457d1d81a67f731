"""Logs as nodes leave them are read to their end; what is damaged is told and ends the reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from odradek.jepsen import payload
from odradek.jepsen.readback import folder_of, key_of, read_node, read_replica
from odradek.proto.kafka.record_batch import Record, build_batch, build_end_txn_marker

KEY = "q-a/3"


def _record(offset: int, value: int, key: str = KEY) -> Record:
    name, content, headers = payload.encode(value, key)
    return Record(
        offset, 1000 + offset, name, content, [(h, v) for h, v in headers if not isinstance(v, str)]
    )


def _batch(base: int, *values: int, codec: int = 0, epoch: int = 5) -> bytes:
    records = [_record(base + place, value) for place, value in enumerate(values)]
    return bytes(
        build_batch(
            records, codec=codec, leader_epoch=epoch, producer_id=9, producer_epoch=1, base_sequence=base
        )
    )


def _folder(data: Path, segments: dict[int, bytes], *, clean: bool = True) -> Path:
    folder = data / folder_of(KEY)
    folder.mkdir()
    for base, content in segments.items():
        (folder / f"{base:020}.log").write_bytes(content)
        (folder / f"{base:020}.index").write_bytes(b"")
    if clean:
        (data / ".kafka_cleanshutdown").write_bytes(b"")
    return folder


def test_names_of_folders() -> None:
    assert (folder_of(KEY), key_of("q-a-3")) == ("q-a-3", KEY)


@pytest.mark.parametrize("codec", range(5))
def test_batches_and_records_of_all_segments(tmp_path: Path, codec: int) -> None:
    second = _batch(2, 12, 13, 14, codec=codec)
    folder = _folder(
        tmp_path, {0: _batch(0, 10, 11, codec=codec) + second, 5: _batch(5, 15, epoch=6), 6: b""}
    )
    replica = read_replica(folder)
    assert (replica.log_start, replica.end, replica.clean, replica.flaws) == (0, 6, True, [])
    assert [(b.base_offset, b.last_offset, b.leader_epoch) for b in replica.batches()] == [
        (0, 1, 5),
        (2, 4, 5),
        (5, 5, 6),
    ]
    assert [(b.producer_id, b.producer_epoch, b.base_sequence) for b in replica.batches()][1] == (9, 1, 2)
    assert dict(zip(replica.offsets, replica.values)) == {offset: 10 + offset for offset in range(6)}


def test_every_byte_counts_for_the_hash_that_the_checksum_does_not_cover(tmp_path: Path) -> None:
    digests = []
    for epoch in (5, 6):
        data = tmp_path / str(epoch)
        data.mkdir()
        replica = read_replica(_folder(data, {0: _batch(0, 1, epoch=epoch)}))
        digests.append((replica.crcs[0], replica.digests[0]))
    assert digests[0][0] == digests[1][0]
    assert digests[0][1] != digests[1][1]


def test_markers_of_transactions_hold_no_record(tmp_path: Path) -> None:
    marker = build_end_txn_marker(
        is_commit=True, producer_id=9, producer_epoch=1, coordinator_epoch=0, timestamp=1, base_offset=1
    )
    replica = read_replica(_folder(tmp_path, {0: _batch(0, 10) + bytes(marker)}))
    assert (len(replica), replica.end, list(replica.values), replica.flaws) == (2, 2, [10], [])


@pytest.mark.parametrize("cut", [1, 40, 70])
def test_a_torn_tail(tmp_path: Path, cut: int) -> None:
    last = _batch(2, 12)
    folder = _folder(tmp_path, {0: _batch(0, 10, 11) + last[:-cut]}, clean=False)
    replica = read_replica(folder)
    assert (replica.end, replica.clean) == (2, False)
    assert [(flaw.kind, flaw.offset) for flaw in replica.flaws] == [("torn", 2)]


def test_zeros_and_flipped_bits_are_no_batch(tmp_path: Path) -> None:
    folder = _folder(tmp_path, {0: _batch(0, 10) + bytes(4096)})
    assert [flaw.kind for flaw in read_replica(folder).flaws] == ["torn"]
    flipped = bytearray(_batch(0, 10))
    flipped[-3] ^= 4
    (folder / f"{0:020}.log").write_bytes(flipped)
    replica = read_replica(folder)
    assert len(replica) == 0
    assert "checksum" in replica.flaws[0].detail


def test_damage_before_the_last_segment_is_no_torn_tail(tmp_path: Path) -> None:
    folder = _folder(tmp_path, {0: _batch(0, 10) + b"rubbish", 1: _batch(1, 11)}, clean=False)
    replica = read_replica(folder)
    assert [flaw.kind for flaw in replica.flaws] == ["corrupt"]
    assert replica.end == 1


def test_missing_offsets_and_batches_out_of_order(tmp_path: Path) -> None:
    folder = _folder(tmp_path, {0: _batch(0, 10), 4: _batch(4, 14) + _batch(2, 12)})
    assert [(flaw.kind, flaw.offset) for flaw in read_replica(folder).flaws] == [("gap", 1), ("order", 2)]


def test_a_record_that_is_not_what_was_sent(tmp_path: Path) -> None:
    elsewhere = bytes(build_batch([_record(0, 10, "q-a/2"), _record(1, 11)]))
    replica = read_replica(_folder(tmp_path, {0: elsewhere}))
    assert [(flaw.kind, flaw.offset) for flaw in replica.flaws] == [("record", 0)]
    assert list(replica.values) == [11]
    assert read_replica(tmp_path / folder_of(KEY), None).flaws == []


def test_the_log_start_is_that_of_the_checkpoint_or_of_the_first_segment(tmp_path: Path) -> None:
    folder = _folder(tmp_path, {4: _batch(4, 14, 15)})
    assert read_replica(folder).log_start == 4
    (tmp_path / "log-start-offset-checkpoint").write_text("0\n2\nq 3 7\nq-a 3 5\n")
    assert read_replica(folder).log_start == 5
    assert read_replica(folder).flaws == []


def test_a_node_has_replicas_of_some_keys(tmp_path: Path) -> None:
    _folder(tmp_path, {0: _batch(0, 10)})
    (tmp_path / "q-b-0.5f-delete").mkdir()
    assert list(read_node(tmp_path, [KEY, "q-b/0"])) == [KEY]


def test_an_empty_log(tmp_path: Path) -> None:
    replica = read_replica(_folder(tmp_path, {7: b""}))
    assert (replica.log_start, replica.end, len(replica)) == (7, 7, 0)
