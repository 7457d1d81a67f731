from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from odradek.client.cli.feeding import Cut, feed, only, whole
from odradek.client.cli.input_format import InputFormat, InputRecord, lines_with_keys


async def _values(files: list[str], cut: Cut) -> tuple[list[bytes | None], int]:
    read: list[int] = []
    values = [record.value async for batch in feed(files, cut, read.append) for record in batch]
    return values, sum(read)


async def test_files_one_after_another(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1\n2")
    (tmp_path / "b").write_bytes(b"3\n")
    names = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert await _values(names, lambda read: lines_with_keys(read, None)) == ([b"1", b"2", b"3"], 5)
    assert await _values(names, whole) == ([b"1\n2", b"3\n"], 5)


async def test_more_than_fits_at_once(tmp_path: Path) -> None:
    lines = [b"%d" % number * 50 for number in range(20_000)]
    (tmp_path / "a").write_bytes(b"\n".join(lines))
    values, _ = await _values([str(tmp_path / "a")], lambda read: lines_with_keys(read, None))
    assert values == lines


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="no /proc here")
async def test_what_is_there_is_handed_over_before_more_comes() -> None:
    readable, writable = os.pipe()
    batches = feed([f"/proc/self/fd/{readable}"], lambda read: lines_with_keys(read, None), lambda _: None)
    os.write(writable, b"first\n")
    async with asyncio.timeout(30):
        assert await anext(batches) == [InputRecord(b"first")]
        os.write(writable, b"second\n")
        assert await anext(batches) == [InputRecord(b"second")]
        os.close(writable)
        with pytest.raises(StopAsyncIteration):
            await anext(batches)
    os.close(readable)


async def test_errors_come_where_the_records_were_wanted(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await _values([str(tmp_path / "none")], whole)
    (tmp_path / "a").write_bytes(b"x a\n")
    with pytest.raises(ValueError, match="record 1"):
        await _values([str(tmp_path / "a")], InputFormat("%p %s\\n").records)


async def test_one_record() -> None:
    assert [batch async for batch in only(InputRecord(None, b"k"))] == [[InputRecord(None, b"k")]]
