"""Compiles a message class and a version into one straight-line encoding function.

The function is `encode(o0, out) -> buffers`: it appends to the bytearray `out` (which may already hold a
header) and returns the buffers to send in order, `out` first. Runs of fields of fixed size are one `pack`,
and the run swallows the length that follows it. A records field becomes a buffer of its own, by reference;
everything else is joined. Names in the text: `o0` `o1` ... the structure being written at each depth, `k`
the last length.

Fields that the version does not have are ignored; a tagged field is written only when it differs from its
default. What cannot be expressed (null where the version has none, a string above 32767 bytes in a classic
version, a number out of range) leaves as EncodeError.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from odradek.proto.kafka import primitives
from odradek.proto.kafka.layout import CODES, Item, Layout, has_records, layout_of
from odradek.proto.kafka.primitives import EncodeError, array_packers, packer
from odradek.proto.kafka.schema import Buffer, Message, default_source
from odradek.proto.kafka.source import Source

Encoder = Callable[[Any, bytearray], list[Buffer]]


def compile_encoder(cls: type[Message], version: int) -> Encoder:
    """The function for a version that the message has."""
    writer = _EncoderWriter(cls, version)
    return writer.source.build("encode", f"encode {cls.__name__} v{version}")


class _EncoderWriter:
    def __init__(self, cls: type[Message], version: int) -> None:
        self.version = version
        self.flexible = version >= cls.INFO.flexible_from
        self.has_records = has_records(cls, version)
        self.source = Source(
            {
                "errors": (struct.error, AttributeError, TypeError, UnicodeEncodeError, EncodeError),
                "LENGTHS": primitives.LENGTHS,
                "uvarint": primitives.uvarint,
                "pack_array": primitives.pack_array,
                "fail_uuid": primitives.fail_uuid,
                "failure": primitives.encode_failure,
            }
        )
        self._run: list[tuple[str, str]] = []
        self._write(cls)

    def _write(self, cls: type[Message]) -> None:
        emit = self.source.emit
        with self.source.block("def encode(o0, out):"):
            if self.has_records:
                emit("buffers = []")
            with self.source.block("try:"):
                self._structure(layout_of(cls, self.version, self.flexible), 0)
            with self.source.block("except errors as error:"):
                emit(f'raise failure("{cls.__name__} v{self.version}", error) from error')
            if self.has_records:
                with self.source.block("if out:"):
                    emit("buffers.append(out)")
                emit("return buffers")
            else:
                emit("return [out]")

    # Runs of fixed size.

    def _fixed(self, code: str, expression: str) -> None:
        """Adds to the pending run; `x` is a zero byte."""
        self._run.append((code, expression))

    def _flush(self, compact_length: bool = False) -> None:
        """Emits the pending run; with `compact_length` followed by the varint in `k`."""
        run, self._run = self._run, []
        codes = "".join(code for code, _ in run)
        if codes.count("x") == len(codes):
            zeros = "".join("\\0" for _ in run)
            if compact_length:
                suffix = f'b"{zeros}" + ' if run else ""
                self.source.emit(f"out += {suffix}(LENGTHS[k] if k < 128 else uvarint(k))")
            elif run:
                self.source.emit(f'out += b"{zeros}"')
            return
        values = ", ".join(value for code, value in run if code != "x")
        plain = f"{self._packer(codes)}({values})"
        if compact_length:
            together = f"{self._packer(codes + 'B')}({values}, k)"
            self.source.emit(f"out += {together} if k < 128 else {plain} + uvarint(k)")
        else:
            self.source.emit(f"out += {plain}")

    def _packer(self, codes: str) -> str:
        return self.source.constant("p", packer(codes))

    def _length(self, compact: bool, classic_code: str) -> None:
        """Emits the run and the length in `k`, which is already in the form of the version."""
        if compact:
            self._flush(compact_length=True)
        else:
            self._fixed(classic_code, "k")
            self._flush()

    # Structures and fields.

    def _structure(self, layout: Layout, depth: int) -> None:
        """Encodes the structure in `o<depth>`; leaves no run pending."""
        assert depth < 12, f"{layout.cls.__qualname__}: structures nested too deeply"
        for item in layout.items:
            self._field(item, f"o{depth}.{item.name}", depth)
        if layout.flexible and not layout.tagged:
            self._fixed("x", "")
        self._flush()
        if layout.tagged:
            self._tags(layout, depth)

    def _field(self, item: Item, value: str, depth: int) -> None:
        if item.kind == "uuid":
            with self.source.block(f"if len({value}) != 16:"):
                self.source.emit(f"fail_uuid({value})")
        if item.kind in CODES:
            self._fixed(CODES[item.kind], value)
        elif item.kind == "array":
            self._array(item, value, depth)
        elif item.kind == "struct":
            self._nested(item, value, depth)
        else:
            self._text(item.kind, item.compact, item.nullable, value)

    def _text(self, kind: str, compact: bool, nullable: bool, value: str) -> None:
        """A string, bytes or records: a length and that many bytes."""
        emit = self.source.emit
        content = f"{value}.encode()" if kind == "string" else value
        if nullable:
            emit(f"s = {value}")
            with self.source.block("if s is None:"):
                emit("k = 0" if compact else "k = -1")
                emit('s = b""')
            with self.source.block("else:"):
                if kind == "string":
                    emit("s = s.encode()")
                emit("k = len(s) + 1" if compact else "k = len(s)")
        else:
            emit(f"s = {content}")
            emit("k = len(s) + 1" if compact else "k = len(s)")
        self._length(compact, "h" if kind == "string" else "i")
        if kind == "records":
            with self.source.block("if s:"):
                emit("buffers.append(out)")
                emit("buffers.append(s)")
                emit("out = bytearray()")
        else:
            emit("out += s")

    def _nested(self, item: Item, value: str, depth: int) -> None:
        assert isinstance(item.element, type), item
        layout = layout_of(item.element, self.version, self.flexible)
        inner = f"o{depth + 1}"
        self._flush()
        self.source.emit(f"{inner} = {value}")
        if not item.nullable:
            self._structure(layout, depth + 1)
            return
        with self.source.block(f"if {inner} is None:"):
            self.source.emit('out += b"\\xff"')
        with self.source.block("else:"):
            self.source.emit('out += b"\\1"')
            self._structure(layout, depth + 1)

    # Arrays.

    def _array(self, item: Item, value: str, depth: int) -> None:
        emit = self.source.emit
        values = f"a{depth}"
        emit(f"{values} = {value}")
        count = f"len({values}) + 1" if item.compact else f"len({values})"
        null = "0" if item.compact else "-1"
        emit(f"k = {null} if {values} is None else {count}" if item.nullable else f"k = {count}")
        self._length(item.compact, "i")
        if isinstance(item.element, str) and item.element in CODES and item.element != "uuid":
            self._numbers(item.element, values)
            return
        with self.source.block(f"for o{depth + 1} in {values} or ():"):
            if not isinstance(item.element, str):
                self._structure(layout_of(item.element, self.version, self.flexible), depth + 1)
            elif item.element == "uuid":
                with self.source.block(f"if len(o{depth + 1}) != 16:"):
                    emit(f"fail_uuid(o{depth + 1})")
                emit(f"out += o{depth + 1}")
            else:
                self._text(item.element, item.compact, False, f"o{depth + 1}")

    def _numbers(self, element: str, values: str) -> None:
        code = CODES[element]
        short = self.source.constant("s", array_packers(code))
        with self.source.block(f"if {values}:"):
            self.source.emit(f"k = len({values})")
            packed = (
                f'{short}[k](*{values}) if k < {primitives.SHORT_ARRAY} else pack_array("{code}", {values})'
            )
            self.source.emit(f"out += {packed}")

    # Tagged fields.

    def _tags(self, layout: Layout, depth: int) -> None:
        emit = self.source.emit
        conditions = [self._differs(layout, item, f"o{depth}.{item.name}") for _, item in layout.tagged]
        with self.source.block(f"if {' or '.join(conditions)}:"):
            if len(conditions) == 1:
                emit('out += b"\\1"')
                self._tag(*layout.tagged[0], depth)
            else:
                emit(
                    f"out += LENGTHS[{' + '.join(f'(1 if {condition} else 0)' for condition in conditions)}]"
                )
                for (tag, item), condition in zip(layout.tagged, conditions, strict=True):
                    with self.source.block(f"if {condition}:"):
                        self._tag(tag, item, depth)
        with self.source.block("else:"):
            emit('out += b"\\0"')

    def _tag(self, tag: int, item: Item, depth: int) -> None:
        """Writes one tagged field: its content goes into a buffer first, since its size comes before it."""
        outer = f"w{depth}"
        self.source.emit(f"{outer} = out")
        self.source.emit("out = bytearray()")
        self._field(item, f"o{depth}.{item.name}", depth)
        self._flush()
        self.source.emit(f"{outer} += uvarint({tag}) + uvarint(len(out))")
        self.source.emit(f"{outer} += out")
        self.source.emit(f"out = {outer}")

    def _differs(self, layout: Layout, item: Item, value: str) -> str:
        """The condition under which a tagged field is written."""
        default = default_source(layout.cls, item.field, self.source.scope)
        if default == "None":
            return f"{value} is not None"
        if default == "[]":
            return f"({value} is None or {value})" if item.nullable else value
        if item.kind == "struct" and not default.endswith("()"):
            return f"({value} is not {default} and {value} != {default})"
        return f"{value} != {default}"


__all__ = ["Encoder", "compile_encoder"]
