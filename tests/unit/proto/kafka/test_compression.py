"""Every codec both ways, the framings found in the wild, and bombs (the shape of CVE-2026-111073)."""

from __future__ import annotations

import os
import tracemalloc
import zlib

import cramjam
import lz4.frame
import pytest
import zstandard

from odradek.proto.kafka.compression import (
    GZIP,
    LZ4,
    NONE,
    SNAPPY,
    ZSTD,
    CompressionError,
    DecompressionLimitError,
    compress,
    decompress,
    decompress_prefix,
)

CODECS = [NONE, GZIP, SNAPPY, LZ4, ZSTD]
COMPRESSED = CODECS[1:]
TEXT = b"the quick brown fox jumps over the lazy dog " * 5000
MIB = 1024 * 1024


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    "data", [b"", b"x", TEXT, os.urandom(100_000)], ids=["empty", "byte", "text", "noise"]
)
@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_round_trip(codec: int, data: bytes, wrap: type) -> None:
    assert decompress(codec, wrap(compress(codec, wrap(data))), len(data)) == data


@pytest.mark.parametrize("codec", CODECS)
def test_one_byte_more_than_the_limit_is_refused(codec: int) -> None:
    with pytest.raises(DecompressionLimitError):
        decompress(codec, compress(codec, TEXT), len(TEXT) - 1)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [1, 1000, len(TEXT), len(TEXT) + 1])
def test_prefix_is_what_the_whole_begins_with(codec: int, size: int) -> None:
    prefix = decompress_prefix(codec, compress(codec, TEXT), size, len(TEXT))
    assert TEXT.startswith(prefix)
    assert len(prefix) >= min(size, len(TEXT))


@pytest.mark.parametrize("level", [1, 9])
@pytest.mark.parametrize("codec", [GZIP, LZ4, ZSTD])
def test_levels(codec: int, level: int) -> None:
    assert decompress(codec, compress(codec, TEXT, level), len(TEXT)) == TEXT


def test_lz4_level_9_means_the_fast_compressor_as_in_kafka() -> None:
    assert compress(LZ4, TEXT, 9) == compress(LZ4, TEXT)
    assert compress(LZ4, TEXT, 17) != compress(LZ4, TEXT)


def test_lz4_blocks_are_independent_and_small_because_java_refuses_others() -> None:
    info = lz4.frame.get_frame_info(compress(LZ4, TEXT))
    assert (info["block_linked"], info["block_size"]) == (False, 64 * 1024)


def test_snappy_is_written_as_xerial_stream_and_read_in_both_framings() -> None:
    assert compress(SNAPPY, TEXT).startswith(b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
    assert decompress(SNAPPY, bytes(cramjam.snappy.compress_raw(TEXT)), len(TEXT)) == TEXT


def test_zstd_without_content_size_and_gzip_of_several_members() -> None:
    framed = zstandard.ZstdCompressor(write_content_size=False).compress(TEXT)
    assert zstandard.frame_content_size(framed) == -1
    assert decompress(ZSTD, framed, len(TEXT)) == TEXT
    assert decompress(GZIP, compress(GZIP, b"one") + compress(GZIP, b"two"), 100) == b"onetwo"


def test_gzip_members_are_limited() -> None:
    with pytest.raises(CompressionError, match="members"):
        decompress(GZIP, compress(GZIP, b"") * 17, 100)


def test_tiny_snappy_blocks_are_limited() -> None:
    block = bytes(cramjam.snappy.compress_raw(b"x"))
    stream = compress(SNAPPY, b"") + (len(block).to_bytes(4, "big") + block) * 1000
    with pytest.raises(CompressionError, match="blocks"):
        decompress(SNAPPY, stream, 10_000)


def _bombs() -> list[tuple[str, int, bytes]]:
    zeros = bytes(64 * MIB)
    zstd_without_size = zstandard.ZstdCompressor(write_content_size=False).compress(zeros)
    return [
        ("gzip", GZIP, compress(GZIP, zeros)),
        ("lz4", LZ4, compress(LZ4, zeros)),
        ("zstd", ZSTD, compress(ZSTD, zeros)),
        ("zstd, size unknown", ZSTD, zstd_without_size),
        ("xerial", SNAPPY, compress(SNAPPY, zeros)),
        ("raw snappy", SNAPPY, bytes(cramjam.snappy.compress_raw(zeros))),
        ("raw snappy that only claims a size", SNAPPY, b"\xff\xff\xff\xff\x0f" + b"x"),
        ("zstd that only claims a size", ZSTD, b"\x28\xb5\x2f\xfd\xc0\x00" + b"\xff" * 7 + b"\x7f" + b"x"),
    ]


def test_a_bomb_takes_no_more_memory_than_the_limit() -> None:
    for name, codec, bomb in _bombs():
        tracemalloc.start()
        try:
            with pytest.raises(CompressionError):
                decompress(codec, bomb, MIB)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 4 * MIB, f"{name} took {peak} bytes"


@pytest.mark.parametrize("codec", COMPRESSED)
def test_rubbish_is_an_error_of_our_own(codec: int) -> None:
    for data in (b"\x07", b"rubbish, not compressed at all", b"\xff" * 100):
        with pytest.raises(CompressionError):
            decompress(codec, data, 1000)


@pytest.mark.parametrize("codec", COMPRESSED)
def test_a_cut_off_stream_is_an_error(codec: int) -> None:
    data = compress(codec, os.urandom(5000))
    for size in (0, 3, len(data) // 2, len(data) - 1):
        with pytest.raises(CompressionError):
            decompress(codec, data[:size], 10_000)


def test_unknown_codec() -> None:
    for codec in (-1, 5, 7):
        with pytest.raises(CompressionError):
            decompress(codec, b"", 10)
        with pytest.raises(CompressionError):
            compress(codec, b"")


def test_gzip_is_what_zlib_reads() -> None:
    assert zlib.decompress(compress(GZIP, TEXT), 31) == TEXT
