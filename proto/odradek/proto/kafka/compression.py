"""The five codecs a record batch may carry, with bounded decompression.

Decides: how bytes are framed for each codec, and how far decompression may go. Does not decide: which codec
a topic uses, or what is inside (`record_batch`).

Invariants: decompression never produces more than its limit plus one codec block, whatever sizes the
compressed bytes claim; a bomb is found while it inflates, not afterwards (the shape of CVE-2026-111073).
Codec libraries are imported at first use. Safe to call from several threads.

Framing found in the wild: gzip is RFC 1952; snappy is either one raw block (librdkafka) or the xerial
stream (Java, kafka-python), of which we write the second because the Java reader takes nothing else; lz4 is
the standard frame with independent blocks (the Java reader refuses linked ones); zstd is the standard
frame, often without a content size. One limit of the zstd library shows: a frame without content size that
is cut off yields what it held without an error, so a caller must notice missing records itself (the record
readers do).
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from zstandard import ZstdDecompressor

Buffer: TypeAlias = bytes | bytearray | memoryview

NONE: Final = 0
GZIP: Final = 1
SNAPPY: Final = 2
LZ4: Final = 3
ZSTD: Final = 4

CODEC_NAMES: Final = ("none", "gzip", "snappy", "lz4", "zstd")
"""Kafka's name of each codec number. The topic setting says `uncompressed` where a batch has 0."""

LZ4_DEFAULT_LEVEL: Final = 9
"""Kafka's `compression.lz4.level` default.

Its meaning there is the fast compressor, not level 9 of the slow one.
"""

_CHUNK: Final = 256 * 1024
_MAX_GZIP_MEMBERS: Final = 16
_MAX_SNAPPY_RATIO: Final = 32
"""A copy element of 3 bytes yields at most 64: a block that claims more than this ratio lies."""
_ZSTD_MAX_WINDOW: Final = 1 << 27
"""The window of zstd level 22; libzstd and the Java client refuse larger ones as well."""

_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER: Final = _XERIAL_MAGIC + b"\x00\x00\x00\x01\x00\x00\x00\x01"
_XERIAL_BLOCK: Final = 32 * 1024
_MIN_SNAPPY_BLOCKS: Final = 64
_MIN_SNAPPY_BLOCK: Final = 256
"""So many blocks may be of any size; beyond them the average must be this many bytes, or the walk costs too
much.
"""


class CompressionError(ValueError):
    """The bytes are not what the codec says, or the codec is unknown."""


class DecompressionLimitError(CompressionError):
    """The data would decompress to more bytes than the caller allows."""


def decompress(codec: int, data: Buffer, limit: int) -> bytes:
    """All of `data` decompressed, at most `limit` bytes.

    CompressionError; DecompressionLimitError when it is more.
    """
    if codec == SNAPPY:
        out = _inflate_snappy(data, limit + 1, limit)
    else:
        out = _inflate(codec, data, limit + 1)
    if len(out) > limit:
        raise DecompressionLimitError(f"{_name(codec)} data decompresses to more than {limit} bytes")
    return out


def decompress_prefix(codec: int, data: Buffer, size: int, limit: int) -> bytes:
    """At least the first `size` decompressed bytes, or all when there are fewer.

    Costs what the prefix costs, except for a raw snappy block, which has to be decompressed whole: a block
    larger than `limit` is DecompressionLimitError. CompressionError for whatever is found wrong on the way.
    """
    if codec == SNAPPY:
        return _inflate_snappy(data, size, limit)
    return _inflate(codec, data, size)


def compress(codec: int, data: Buffer, level: int | None = None) -> bytes:
    """`data` framed as `codec` wants it. `level` is the value of Kafka's `compression.<codec>.level`."""
    if codec == NONE:
        return bytes(data)
    if codec == GZIP:
        deflater = zlib.compressobj(-1 if level is None else level, zlib.DEFLATED, 31)
        return deflater.compress(data) + deflater.flush()
    if codec == SNAPPY:
        return _compress_xerial(data)
    if codec == LZ4:
        return _compress_lz4(data, level)
    if codec == ZSTD:
        import zstandard

        return zstandard.ZstdCompressor(level=3 if level is None else level).compress(data)
    raise CompressionError(f"unknown codec {codec}")


def _name(codec: int) -> str:
    return CODEC_NAMES[codec] if 0 <= codec < len(CODEC_NAMES) else str(codec)


def _inflate(codec: int, data: Buffer, size: int) -> bytes:
    """At least `size` bytes, or all of them; never more than `size` plus a codec block."""
    if codec == GZIP:
        return _inflate_gzip(data, size)
    if codec == LZ4:
        return _inflate_lz4(data, size)
    if codec == ZSTD:
        return _inflate_zstd(data, size)
    if codec == NONE:
        return bytes(memoryview(data)[:size])
    raise CompressionError(f"unknown codec {codec}")


def _inflate_gzip(data: Buffer, size: int) -> bytes:
    # Members may be concatenated. Their number is capped because each one copies the rest of the input.
    parts: list[bytes] = []
    have = 0
    for _ in range(_MAX_GZIP_MEMBERS):
        inflater = zlib.decompressobj(31)
        try:
            part = inflater.decompress(data, size - have)
        except zlib.error as error:
            raise CompressionError(f"gzip: {error}") from error
        parts.append(part)
        have += len(part)
        if have >= size:
            return b"".join(parts)
        if not inflater.eof:
            raise CompressionError("gzip: data is cut off")
        data = inflater.unused_data
        if data[:2] != b"\x1f\x8b":
            return parts[0] if len(parts) == 1 else b"".join(parts)
    raise CompressionError(f"gzip: more than {_MAX_GZIP_MEMBERS} members")


def _inflate_lz4(data: Buffer, size: int) -> bytes:
    import lz4.frame

    # max_length is reserved at once by the library, so a large output is fetched in chunks.
    inflater = lz4.frame.LZ4FrameDecompressor()
    parts: list[bytes] = []
    have = 0
    source: Buffer = data
    while have < size:
        try:
            part: bytes = inflater.decompress(source, max_length=min(size - have, _CHUNK))
        except (RuntimeError, EOFError, ValueError, MemoryError) as error:
            raise CompressionError(f"lz4: {error}") from error
        parts.append(part)
        have += len(part)
        if inflater.eof:
            break
        if not part:
            raise CompressionError("lz4: data is cut off")
        source = b""
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _inflate_zstd(data: Buffer, size: int) -> bytes:
    import zstandard

    # One decompressor serves one thread at a time: a free list, whose pop and append are atomic.
    try:
        inflater = _idle_zstd.pop()
    except IndexError:
        inflater = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW)
    try:
        content_size = zstandard.frame_content_size(data)
        if 0 <= content_size < min(size, _CHUNK):
            return inflater.decompress(data, allow_extra_data=False)
        out = _read_zstd_stream(inflater, data, size)
        if len(out) < min(size, content_size):
            raise CompressionError("zstd: data is cut off")
        return out
    except (zstandard.ZstdError, MemoryError) as error:
        raise CompressionError(f"zstd: {error}") from error
    finally:
        _idle_zstd.append(inflater)


_idle_zstd: list[ZstdDecompressor] = []


def _read_zstd_stream(inflater: ZstdDecompressor, data: Buffer, size: int) -> bytes:
    parts: list[bytes] = []
    have = 0
    with inflater.stream_reader(data, read_across_frames=True) as reader:
        while have < size:
            part = reader.read(min(size - have, _CHUNK))
            if not part:
                break
            parts.append(part)
            have += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _inflate_snappy(data: Buffer, size: int, limit: int) -> bytes:
    view = memoryview(data)
    if bytes(view[:8]) != _XERIAL_MAGIC:
        return _inflate_snappy_block(view, limit)
    if len(view) < len(_XERIAL_HEADER):
        raise CompressionError("snappy: stream header is cut off")
    parts: list[bytes] = []
    have = 0
    pos = len(_XERIAL_HEADER)
    while pos < len(view) and have < size:
        length = int.from_bytes(view[pos : pos + 4], "big")
        pos += 4
        if length <= 0 or length > len(view) - pos:
            raise CompressionError(f"snappy: block of {length} bytes with {len(view) - pos} left")
        part = _inflate_snappy_block(view[pos : pos + length], limit - have)
        parts.append(part)
        have += len(part)
        pos += length
        if len(parts) > _MIN_SNAPPY_BLOCKS + have // _MIN_SNAPPY_BLOCK:
            raise CompressionError(f"snappy: {len(parts)} blocks for {have} bytes")
    return b"".join(parts)


def _inflate_snappy_block(block: memoryview, limit: int) -> bytes:
    import cramjam

    try:
        claimed: int = cramjam.snappy.decompress_raw_len(block)
        if claimed > limit:
            raise DecompressionLimitError(f"snappy block of {claimed} bytes where {limit} are allowed")
        if claimed > len(block) * _MAX_SNAPPY_RATIO:
            raise CompressionError(f"snappy: {len(block)} bytes cannot hold {claimed}")
        return bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        raise CompressionError(str(error)) from error


def _compress_xerial(data: Buffer) -> bytes:
    import cramjam

    view = memoryview(data)
    out = bytearray(_XERIAL_HEADER)
    for pos in range(0, len(view), _XERIAL_BLOCK):
        block = bytes(cramjam.snappy.compress_raw(view[pos : pos + _XERIAL_BLOCK]))
        out += len(block).to_bytes(4, "big")
        out += block
    return bytes(out)


def _compress_lz4(data: Buffer, level: int | None) -> bytes:
    import lz4.frame

    options: dict[str, Any] = {
        "block_size": lz4.frame.BLOCKSIZE_MAX64KB,
        "block_linked": False,
        "store_size": False,
        "compression_level": 0 if level is None or level == LZ4_DEFAULT_LEVEL else level,
    }
    compressed: bytes = lz4.frame.compress(data, **options)
    return compressed
