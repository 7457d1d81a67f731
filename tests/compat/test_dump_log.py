"""Kafka's own tool, org.apache.kafka.tools.DumpLogSegments, reads the files we write: live, rolled and closed.

The jars come from `odradek.jepsen.db.kafka_jars`; without Java or Maven the tests are skipped and say so.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from odradek.jepsen.db.kafka_jars import JarsMissing, kafka_classpath, missing_toolchain
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.record_batch import Record, build_batch
from odradek.storage.flusher import SteppedFlusher
from odradek.storage.log import PartitionLog
from odradek.storage.log_config import LogConfig
from odradek.storage.log_dirs import LogDirs
from odradek.storage.os_disk import OsDisk

pytestmark = pytest.mark.timeout(1200)  # the jars may have to be fetched first
NOW_MS = 1_700_000_000_000
TOPIC_ID = bytes(range(16))
CONFIG = LogConfig(segment_bytes=40_000, index_interval_bytes=1000)
CODECS = (0, 1, 2, 3, 4)
BATCHES = 200
COMPLAINTS = ("Mismatches", "Index offset:", "Index timestamp:", "Found timestamp", "not found", "Error")


@pytest.fixture(scope="module")
def classpath() -> str:
    reason = missing_toolchain()
    if reason is not None:
        pytest.skip(f"DumpLogSegments did not check our files: {reason}")
    try:
        return kafka_classpath()
    except JarsMissing as error:
        pytest.skip(f"DumpLogSegments did not check our files: {error}")


def _dump(classpath: str, files: list[Path], *arguments: str) -> str:
    command = ["java", "-Xmx256m", "-cp", classpath, "org.apache.kafka.tools.DumpLogSegments"]
    command += ["--files", ",".join(map(str, files)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr  # complaints go to the second


def _batch(number: int) -> bytearray:
    """Ten records; every fifth batch comes from before the last one, so that the time index has gaps."""
    timestamp = NOW_MS + number * 100 - (1000 if number % 5 == 0 else 0)
    records = [Record(i, timestamp + i, b"k%d" % i, b"value %d" % number * 3) for i in range(10)]
    return build_batch(
        records,
        codec=CODECS[number % len(CODECS)],
        producer_id=1000 + number % 3,
        producer_epoch=0,
        base_sequence=number // 3 * 10,
    )


def _fill(directory: Path) -> tuple[LogDirs, PartitionLog]:
    dirs = LogDirs(OsDisk(), [str(directory)], lambda step: None, flusher=SteppedFlusher)
    dirs.start(NOW_MS)
    log = dirs.open("topic", 0, TOPIC_ID, CONFIG)
    for number in range(BATCHES):
        result = log.append_as_leader(_batch(number), number // 100, NOW_MS + number)
        assert result.error == ErrorCode.NONE, result
    return dirs, log


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a partition after a clean end."""
    directory = tmp_path_factory.mktemp("closed")
    dirs, _ = _fill(directory)
    dirs.close()
    return directory / "topic-0"


def _files(partition: Path, suffix: str) -> list[Path]:
    files = sorted(partition.glob(f"*{suffix}"))
    assert len(files) > 1, f"{suffix}: {files}"
    return files


def test_every_record_is_read_back(classpath: str, closed: Path) -> None:
    shown = _dump(classpath, _files(closed, ".log"), "--deep-iteration", "--print-data-log")
    offsets = [int(found) for found in re.findall(r"^\| offset: (\d+) ", shown, re.MULTILINE)]
    assert offsets == list(range(BATCHES * 10))
    assert shown.count("isvalid: true") == BATCHES
    assert "isvalid: false" not in shown
    assert f"payload: {'value 7' * 3}" in shown
    assert "compresscodec: zstd" in shown and "compresscodec: gzip" in shown
    assert "invalid" not in shown.lower().replace("isvalid", "")


def test_both_indexes_agree_with_the_data(classpath: str, closed: Path) -> None:
    shown = _dump(classpath, _files(closed, ".index") + _files(closed, ".timeindex"))
    assert len(re.findall(r"^offset: \d+ position: \d+", shown, re.MULTILINE)) > 10
    assert len(re.findall(r"^timestamp: \d+ offset: \d+", shown, re.MULTILINE)) > 10
    for complaint in COMPLAINTS:
        assert complaint not in shown, shown[-2000:]


@pytest.mark.parametrize("check", ["--index-sanity-check", "--verify-index-only"])
def test_the_indexes_pass_its_checks(classpath: str, closed: Path, check: str) -> None:
    files = _files(closed, ".index") + _files(closed, ".timeindex")
    shown = _dump(classpath, files, check)
    if check == "--index-sanity-check":
        assert shown.count("passed sanity check.") == len(files)
    for complaint in COMPLAINTS:
        assert complaint not in shown, shown[-2000:]


def test_the_producer_snapshots_are_read(classpath: str, closed: Path) -> None:
    shown = _dump(classpath, _files(closed, ".snapshot"))
    newest = shown[shown.rindex("Dumping") :]
    assert sorted(re.findall(r"producerId: (\d+) producerEpoch: 0", newest)) == ["1000", "1001", "1002"]
    assert f"lastOffset: {BATCHES * 10 - 1} " in newest


def test_the_files_of_a_running_log_are_read(classpath: str, tmp_path: Path) -> None:
    dirs, log = _fill(tmp_path)
    try:
        partition = tmp_path / "topic-0"
        log.checkpoint()
        active = _files(partition, ".log")[-1]
        files = [active, active.with_suffix(".index"), active.with_suffix(".timeindex")]
        shown = _dump(classpath, files, "--deep-iteration")
        assert f"lastOffset: {BATCHES * 10 - 1} " in shown
        for complaint in (*COMPLAINTS, "isvalid: false"):
            assert complaint not in shown, shown[-2000:]
    finally:
        dirs.close()
