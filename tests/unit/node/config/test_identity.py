"""Whose directory it is: on a memory disk, with every disk call failing once, and the lock between
processes."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odradek.node.config.identity import (
    claim_directories,
    format_uuid,
    identify,
    join_cluster,
    lock_directories,
    parse_uuid,
    random_uuid,
)
from odradek.node.config.properties import format_properties, parse_properties
from odradek.storage.config_types import ConfigError
from odradek.storage.disk import DiskError
from odradek.storage.memory_disk import MemoryDisk

_CLUSTER = "5L6g3nShT-eMCtK--X86sw"


def _uuids() -> Callable[[], bytes]:
    numbers = itertools.count(1)
    return lambda: next(numbers).to_bytes(16, "big")


def _disk(*directories: str) -> MemoryDisk:
    disk = MemoryDisk()
    for directory in directories:
        disk.makedirs(directory)
    return disk


def _put(disk: MemoryDisk, path: str, text: str) -> None:
    file = disk.open(path, create=True)
    file.append([text.encode()])
    file.close()


def _meta(disk: MemoryDisk, directory: str) -> dict[str, str]:
    return parse_properties(disk.read(f"{directory}/meta.properties").decode())


def _put_meta(disk: MemoryDisk, directory: str, **changes: str | None) -> None:
    properties: dict[str, str | None] = {
        "version": "1",
        "cluster.id": _CLUSTER,
        "node.id": "1",
        "directory.id": format_uuid(directory.encode().rjust(16, b"x")),
    }
    properties |= {name.replace("_", "."): value for name, value in changes.items()}
    text = format_properties({name: value for name, value in properties.items() if value is not None})
    _put(disk, f"{directory}/meta.properties", text)


def test_empty_directories_are_initialised_and_recognised_again() -> None:
    disk = _disk("a", "b")
    first = identify(disk, ["a", "b"], node_id=3, new_uuid=_uuids())
    assert _meta(disk, "a") == {
        "version": "1",
        "cluster.id": format_uuid((1).to_bytes(16, "big")),
        "node.id": "3",
        "directory.id": format_uuid((2).to_bytes(16, "big")),
    }
    assert _meta(disk, "b")["cluster.id"] == first.cluster_id
    assert len(set(first.directory_ids.values())) == 2
    again = identify(disk, ["a", "b"], node_id=3, cluster_id=first.cluster_id)
    assert again == first
    assert again.failed == {}


def test_initialising_survives_a_power_cut() -> None:
    disk = _disk("a")
    disk.sync_dir("")
    identity = identify(disk, ["a"], node_id=1)
    disk.crash()
    assert identify(disk, ["a"], node_id=1) == identity


def test_a_configured_cluster_id_is_used() -> None:
    disk = _disk("a")
    assert identify(disk, ["a"], node_id=1, cluster_id=_CLUSTER).cluster_id == _CLUSTER


def test_an_added_directory_joins_the_cluster_of_the_others() -> None:
    disk = _disk("a", "b")
    _put_meta(disk, "b")
    identity = identify(disk, ["a", "b"], node_id=1)
    assert identity.cluster_id == _CLUSTER
    assert _meta(disk, "a")["cluster.id"] == _CLUSTER


def test_a_missing_directory_id_is_added() -> None:
    disk = _disk("a")
    _put_meta(disk, "a", directory_id=None)
    identity = identify(disk, ["a"], node_id=1)
    assert format_uuid(identity.directory_ids["a"]) == _meta(disk, "a")["directory.id"]
    assert _meta(disk, "a")["cluster.id"] == _CLUSTER


def test_files_that_do_not_make_a_directory_full() -> None:
    disk = _disk("a", "a/lost+found")
    _put(disk, "a/.lock", "")
    _put(disk, "a/meta.properties.tmp", "half a fi")
    assert identify(disk, ["a"], node_id=1).directory_ids.keys() == {"a"}


def test_another_nodes_directory_is_refused_naming_both() -> None:
    disk = _disk("a")
    _put_meta(disk, "a", node_id="2")
    with pytest.raises(ConfigError, match=f"a belongs to node 2 of cluster {_CLUSTER}, but this is node 1"):
        identify(disk, ["a"], node_id=1)


def test_another_clusters_directory_is_refused_naming_both() -> None:
    disk = _disk("a")
    _put_meta(disk, "a")
    other = format_uuid(bytes(16))
    with pytest.raises(
        ConfigError, match=f"belongs to cluster {_CLUSTER}, .* configured for cluster {other}"
    ):
        identify(disk, ["a"], node_id=1, cluster_id=other)


def test_directories_of_two_clusters_are_refused() -> None:
    disk = _disk("a", "b", "c")
    _put_meta(disk, "a")
    _put_meta(disk, "b", cluster_id=format_uuid(bytes(16)))
    with pytest.raises(ConfigError, match=f"b belongs to cluster A+, but a to cluster {_CLUSTER}"):
        identify(disk, ["c", "a", "b"], node_id=1)
    assert not disk.exists("c/meta.properties"), "a refused start changes nothing"


def test_a_copied_directory_is_refused() -> None:
    disk = _disk("a", "b")
    _put_meta(disk, "a")
    _put(disk, "b/meta.properties", disk.read("a/meta.properties").decode())
    with pytest.raises(ConfigError, match=r"a and b have the same directory\.id"):
        identify(disk, ["a", "b"], node_id=1)


@pytest.mark.parametrize("trace", ["bootstrap.checkpoint", "__cluster_metadata-0"])
def test_a_directory_formatted_by_kafka_is_refused(trace: str) -> None:
    disk = _disk("a")
    _put_meta(disk, "a")
    _put(disk, f"a/{trace}", "")
    with pytest.raises(ConfigError, match="was formatted by Apache Kafka"):
        identify(disk, ["a"], node_id=1)


def test_a_directory_with_something_else_is_refused() -> None:
    disk = _disk("a")
    _put(disk, "a/holiday.jpg", "")
    with pytest.raises(ConfigError, match=r"not empty \(holiday\.jpg\)"):
        identify(disk, ["a"], node_id=1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": "0"}, "has version 0; only version 1"),
        ({"version": None}, "has version none"),
        ({"cluster_id": None}, "has no cluster.id"),
        ({"node_id": ""}, "has no node.id"),
        ({"directory_id": "short"}, "not a UUID: short"),
    ],
)
def test_a_damaged_identity_is_refused(changes: dict[str, str | None], sentence: str) -> None:
    disk = _disk("a")
    _put_meta(disk, "a", **changes)
    with pytest.raises(ConfigError, match=sentence):
        identify(disk, ["a"], node_id=1)


def test_no_turned_bit_makes_another_identity() -> None:
    """Every bit of the file: in an id it would be another valid id."""
    disk = _disk("a")
    identity = identify(disk, ["a"], node_id=1, new_uuid=_uuids())
    data = bytearray(disk.read("a/meta.properties"))
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        file = disk.open("a/meta.properties")
        file.truncate(0)
        file.append([bytes(data)])
        file.close()
        with contextlib.suppress(ConfigError):
            assert identify(disk, ["a"], node_id=1) == identity
        data[bit // 8] ^= 1 << bit % 8


def test_an_identity_without_a_checksum_is_believed() -> None:
    disk = _disk("a")
    identity = identify(disk, ["a"], node_id=1, new_uuid=_uuids())
    lines = disk.read("a/meta.properties").splitlines(keepends=True)
    assert lines[-1].startswith(b"#")
    file = disk.open("a/meta.properties")
    file.truncate(0)
    file.append([b"".join(lines[:-1])])
    file.close()
    assert identify(disk, ["a"], node_id=1) == identity


def test_a_configured_cluster_id_must_be_a_uuid() -> None:
    with pytest.raises(ConfigError, match="the cluster id mine is not valid"):
        identify(_disk("a"), ["a"], node_id=1, cluster_id="mine")


def test_the_node_lives_without_a_broken_directory_but_not_without_the_first() -> None:
    disk = _disk("a")
    identity = identify(disk, ["a", "missing"], node_id=1)
    assert identity.directory_ids.keys() == {"a"}
    assert identity.failed.keys() == {"missing"}
    with pytest.raises(ConfigError, match="the directory missing cannot be used"):
        identify(disk, ["missing", "a"], node_id=1)


def test_whichever_disk_call_fails_the_next_start_works() -> None:
    for nth in itertools.count(1):
        disk = _disk("a", "b")
        disk.fail_call(nth)
        calls = disk.calls
        with contextlib.suppress(ConfigError, DiskError):
            identify(disk, ["a", "b"], node_id=1)
        reached = disk.calls - calls >= nth
        disk.heal()
        identity = identify(disk, ["a", "b"], node_id=1)
        assert identity.directory_ids.keys() == {"a", "b"}
        assert identify(disk, ["a", "b"], node_id=1) == identity
        if not reached:
            assert nth > 10
            return


def test_a_second_lock_is_refused_and_takes_nothing() -> None:
    disk = MemoryDisk()
    held = lock_directories(disk, ["b"])
    with pytest.raises(ConfigError, match="the directory b is in use by another process"):
        lock_directories(disk, ["a", "b", "a"])
    for lock in held:
        lock.release()
    assert len(lock_directories(disk, ["a", "b", "a"])) == 2


def test_claiming_makes_the_directories_and_leaves_them_unlocked() -> None:
    disk = MemoryDisk()
    identity = claim_directories(disk, ["a", "b"], node_id=1, cluster_id=_CLUSTER)
    assert identity.directory_ids.keys() == {"a", "b"}
    with pytest.raises(ConfigError, match="but this is node 2"):
        claim_directories(disk, ["a", "b"], node_id=2)
    held = lock_directories(disk, ["b"])
    with pytest.raises(ConfigError, match="in use by another process"):
        claim_directories(disk, ["a", "b"], node_id=1)
    assert len(held) == 1


def test_another_process_is_kept_out(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from odradek.node.config.identity import lock_directories\n"
        "from odradek.storage.os_disk import OsDisk\n"
        "locks = lock_directories(OsDisk(), [sys.argv[1]])\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    from odradek.storage.os_disk import OsDisk

    command = [sys.executable, "-c", script, str(tmp_path / "d")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="in use by another process"):
            lock_directories(OsDisk(), [str(tmp_path / "d")])
        child.kill()
        child.wait(timeout=20)
    for lock in lock_directories(OsDisk(), [str(tmp_path / "d")]):
        lock.release()


@given(st.binary(min_size=16, max_size=16))
def test_uuids_are_read_back(value: bytes) -> None:
    text = format_uuid(value)
    assert len(text) == 22
    assert parse_uuid(text) == value


@pytest.mark.parametrize(
    "text", ["", "short", "x" * 21, "x" * 23, "!" * 22, "5L6g3nShT-eMCtK--X86sx", "é" * 22]
)
def test_texts_that_are_no_uuids(text: str) -> None:
    with pytest.raises(ValueError, match="is not a UUID"):
        parse_uuid(text)


def test_random_uuids_do_not_look_like_options() -> None:
    values = {random_uuid() for _ in range(500)}
    assert len(values) == 500
    assert not any(format_uuid(value).startswith("-") for value in values)


def test_a_node_of_several_waits_for_the_name_of_its_cluster() -> None:
    disk = _disk("a", "b")
    identity = identify(disk, ["a", "b"], node_id=2, is_founder=False)
    assert identity.cluster_id == "" and b"cluster.id" not in disk.read("a/meta.properties")
    again = identify(disk, ["a", "b"], node_id=2, is_founder=False)
    assert again == identity, "directories keep their ids"
    join_cluster(disk, identity, 2, _CLUSTER)
    assert identify(disk, ["a", "b"], node_id=2, is_founder=False) == identity._replace(cluster_id=_CLUSTER)


def test_directories_that_a_crash_left_half_named_belong_to_the_cluster() -> None:
    disk = _disk("a", "b")
    identity = identify(disk, ["a", "b"], node_id=2, is_founder=False)
    join_cluster(disk, identity._replace(directory_ids={"b": identity.directory_ids["b"]}), 2, _CLUSTER)
    assert identify(disk, ["a", "b"], node_id=2, is_founder=False) == identity._replace(cluster_id=_CLUSTER)
    assert _CLUSTER.encode() in disk.read("a/meta.properties")


def test_a_directory_that_was_made_here_outlives_a_power_cut() -> None:
    disk = MemoryDisk()
    claim_directories(disk, ["new/data"], node_id=1)
    disk.crash()
    assert disk.exists("new/data/meta.properties")
