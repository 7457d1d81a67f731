"""Compiles a message class and a version into one straight-line decoding function.

The function is `decode(data, p) -> (message, position after it)`. Runs of fields of fixed size are one
`unpack_from`, and the run swallows the length that follows it; structures are nested loops, not calls.
Names in the text: `b` the data, `p` the position, `n` the end, `m` the memory budget, `k` the last length
read, `o0` `o1` ... the structure being filled at each depth.

Invariants: nothing is allocated for a length or count before it was compared with what remains; every failure
leaves as DecodeError. Source of the limits: `primitives`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from odradek.proto.kafka import primitives
from odradek.proto.kafka.layout import (
    CODES,
    SIZES,
    Item,
    Layout,
    has_arrays,
    has_records,
    layout_of,
    least_bytes,
    object_bytes,
)
from odradek.proto.kafka.primitives import DecodeError, array_unpackers, unpacker
from odradek.proto.kafka.schema import Message, default_source
from odradek.proto.kafka.source import Source

Decoder = Callable[[Any, int], tuple[Any, int]]


def compile_decoder(cls: type[Message], version: int) -> Decoder:
    """The function for a version that the message has."""
    writer = _DecoderWriter(cls, version)
    return writer.source.build("decode", f"decode {cls.__name__} v{version}")


class _DecoderWriter:
    def __init__(self, cls: type[Message], version: int) -> None:
        self.version = version
        self.flexible = version >= cls.INFO.flexible_from
        self.zero_copy = has_records(cls, version)
        self.source = Source(
            {
                "new": object.__new__,
                "errors": (struct.error, IndexError, UnicodeDecodeError, DecodeError),
                "FLOOR": primitives.MEMORY_FLOOR,
                "PER_BYTE": primitives.MEMORY_PER_BYTE,
                "CEILING": primitives.MEMORY_CEILING,
                "long_uvarint": primitives.long_uvarint,
                "read_uvarint": primitives.read_uvarint,
                "read_tag": primitives.read_tag,
                "skip_tags": primitives.skip_tags,
                "unpack_array": primitives.unpack_array,
                "fail_null": primitives.fail_null,
                "fail_length": primitives.fail_length,
                "fail_count": primitives.fail_count,
                "fail_memory": primitives.fail_memory,
                "fail_tags": primitives.fail_tags,
                "fail_tag_size": primitives.fail_tag_size,
                "failure": primitives.decode_failure,
            }
        )
        self._run: list[tuple[str, str]] = []
        self._write(cls)

    def _write(self, cls: type[Message]) -> None:
        emit = self.source.emit
        with self.source.block("def decode(data, p):"):
            if self.zero_copy:
                emit("b = data")
                emit("v = memoryview(data)")
            else:
                emit("b = data if type(data) is bytes else bytes(data)")
            emit("n = len(b)")
            if has_arrays(cls, self.version):
                emit("m = FLOOR + PER_BYTE * n")
                with self.source.block("if m > CEILING:"):
                    emit("m = CEILING")
            with self.source.block("try:"):
                self._structure(layout_of(cls, self.version, self.flexible), 0)
            with self.source.block("except errors as error:"):
                emit(f'raise failure("{cls.__name__} v{self.version}", error) from None')
            emit("return o0, p")

    # Runs of fixed size.

    def _fixed(self, code: str, target: str) -> None:
        self._run.append((code, target))

    def _flush(self) -> None:
        """Emits the pending run: one unpack, or less for a single byte."""
        run, self._run = self._run, []
        if not run:
            return
        codes = "".join(code for code, _ in run)
        target = run[0][1]
        if codes == "B":
            self.source.emit(f"{target} = b[p]")
        elif codes == "?":
            self.source.emit(f"{target} = b[p] != 0")
        elif codes == "b":
            self.source.emit(f"k = b[p]; {target} = k if k < 128 else k - 256")
        else:
            targets = ", ".join(target for _, target in run) + ("," if len(run) == 1 else "")
            self.source.emit(f"{targets} = {self._unpacker(codes)}(b, p)")
        self.source.emit(f"p += {sum(SIZES[code] for code, _ in run)}")

    def _unpacker(self, codes: str) -> str:
        return self.source.constant("u", unpacker(codes))

    def _length(self, compact: bool, classic_code: str) -> None:
        """Reads a length or count into `k`: its number plus one if compact, plain and negative for null if
        not."""
        self._fixed("B" if compact else classic_code, "k")
        self._flush()
        if compact:
            with self.source.block("if k > 127:"):
                self.source.emit("k, p = long_uvarint(b, p, k)")

    # Structures and fields.

    def _structure(self, layout: Layout, depth: int) -> None:
        """Decodes one structure into `o<depth>`."""
        assert depth < 12, f"{layout.cls.__qualname__}: structures nested too deeply"
        this = f"o{depth}"
        self.source.emit(f"{this} = new({self.source.constant('c', layout.cls)})")
        for field in (*layout.absent, *(item.field for _, item in layout.tagged)):
            value = default_source(layout.cls, field, self.source.scope)
            self.source.emit(f"{this}.{field.name} = {value}")
        for item in layout.items:
            self._field(layout, item, f"{this}.{item.name}", depth)
        self._flush()
        if layout.flexible:
            self._tags(layout, depth)

    def _field(self, layout: Layout, item: Item, target: str, depth: int) -> None:
        label = f"{layout.cls.__name__}.{item.name}"
        if item.kind in CODES:
            self._fixed(CODES[item.kind], target)
        elif item.kind == "array":
            self._array(item, target, label, depth)
        elif item.kind == "struct":
            self._nested(item, target, depth)
        else:
            self._text(item.kind, item.compact, item.nullable, target, label)

    def _text(self, kind: str, compact: bool, nullable: bool, target: str, label: str) -> None:
        """A string, bytes or records: a length and that many bytes."""
        self._length(compact, "h" if kind == "string" else "i")
        slice_ = "v[p:e]" if kind == "records" else "b[p:e]"
        if kind == "string":
            slice_ = 'str(b[p:e], "utf-8")' if self.zero_copy else "b[p:e].decode()"
        elif kind == "octets" and self.zero_copy:
            slice_ = "bytes(b[p:e])"
        with self.source.block("if k < 1:" if compact else "if k < 0:"):
            self.source.emit(f"{target} = None" if nullable else f'fail_null("{label}")')
        with self.source.block("else:"):
            self.source.emit("e = p + k - 1" if compact else "e = p + k")
            with self.source.block("if e > n:"):
                self.source.emit(f'fail_length("{label}", e - p, n - p)')
            self.source.emit(f"{target} = {slice_}")
            self.source.emit("p = e")

    def _nested(self, item: Item, target: str, depth: int) -> None:
        assert isinstance(item.element, type), item
        layout = layout_of(item.element, self.version, self.flexible)
        self._flush()
        if not item.nullable:
            self._structure(layout, depth + 1)
            self.source.emit(f"{target} = o{depth + 1}")
            return
        self.source.emit("k = b[p]; p += 1")
        with self.source.block("if k > 127:"):
            self.source.emit(f"{target} = None")
        with self.source.block("else:"):
            self._structure(layout, depth + 1)
            self.source.emit(f"{target} = o{depth + 1}")

    # Arrays.

    def _array(self, item: Item, target: str, label: str, depth: int) -> None:
        self._length(item.compact, "i")
        with self.source.block("if k < 1:" if item.compact else "if k < 0:"):
            self.source.emit(f"{target} = None" if item.nullable else f'fail_null("{label}")')
        with self.source.block("else:"):
            if item.compact:
                self.source.emit("k -= 1")
            self._check_count(item, label)
            if isinstance(item.element, str) and item.element in CODES:
                self._numbers(item.element, target)
                return
            values = f"a{depth}"
            self.source.emit(f"{target} = {values} = []")
            with self.source.block("for _ in range(k):"):
                if isinstance(item.element, str):
                    self._text(item.element, item.compact, False, "x", label)
                    self.source.emit(f"{values}.append(x)")
                else:
                    self._structure(layout_of(item.element, self.version, self.flexible), depth + 1)
                    self.source.emit(f"{values}.append(o{depth + 1})")

    def _check_count(self, item: Item, label: str) -> None:
        """Bounds the count in `k` by the bytes that remain and by the memory that its elements would take."""
        least = least_bytes(item.element, self.version, self.flexible)
        if least == 0:
            condition = f"k > {primitives.MAX_EMPTY_ELEMENTS}"
        else:
            condition = "k > n - p" if least == 1 else f"k * {least} > n - p"
        with self.source.block(f"if {condition}:"):
            self.source.emit(f'fail_count("{label}", k, n - p)')
        self.source.emit(f"m -= k * {object_bytes(item.element, self.version)}")
        with self.source.block("if m < 0:"):
            self.source.emit(f'fail_memory("{label}", k)')

    def _numbers(self, element: str, target: str) -> None:
        if element == "uuid":
            self.source.emit(f"{target} = [bytes(b[i : i + 16]) for i in range(p, p + 16 * k, 16)]")
            self.source.emit("p += 16 * k")
            return
        code = CODES[element]
        short = self.source.constant("s", array_unpackers(code))
        with self.source.block(f"if k < {primitives.SHORT_ARRAY}:"):
            self.source.emit(f"{target} = list({short}[k](b, p))")
        with self.source.block("else:"):
            self.source.emit(f'{target} = list(unpack_array("{code}", k, b, p))')
        self.source.emit(f"p += {SIZES[code]} * k")

    # Tagged fields.

    def _tags(self, layout: Layout, depth: int) -> None:
        emit = self.source.emit
        if not layout.tagged:
            with self.source.block("if b[p]:"):
                emit("p = skip_tags(b, p, n)")
            with self.source.block("else:"):
                emit("p += 1")
            return
        tag, end, start = f"t{depth}", f"e{depth}", f"q{depth}"
        emit("k = b[p]; p += 1")
        with self.source.block("if k:"):
            with self.source.block("if k > 127:"):
                emit("k, p = long_uvarint(b, p, k)")
            with self.source.block(f"if k > {primitives.MAX_TAGS}:"):
                emit("fail_tags(k)")
            emit(f"{tag} = -1")
            with self.source.block("for _ in range(k):"):
                emit(f"{tag}, k, p = read_tag(b, p, n, {tag})")
                emit(f"{start} = p; {end} = p + k")
                for position, (number, item) in enumerate(layout.tagged):
                    with self.source.block(f"{'elif' if position else 'if'} {tag} == {number}:"):
                        self._field(layout, item, f"o{depth}.{item.name}", depth)
                        self._flush()
                with self.source.block("else:"):
                    emit(f"p = {end}")
                with self.source.block(f"if p != {end}:"):
                    emit(f"fail_tag_size({tag}, {end} - {start}, p - {start})")


__all__ = ["Decoder", "compile_decoder"]
