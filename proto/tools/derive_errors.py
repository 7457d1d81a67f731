"""Derives `odradek/proto/kafka/errors.py` from the error table inside a kafka-clients jar.

    python proto/tools/derive_errors.py kafka-clients-4.4.0.jar slf4j-api.jar

The table exists only as compiled code, so a small Java program (Java 17 runs it from source) prints it: code,
name, and whether its exception counts as retriable.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "odradek" / "proto" / "kafka" / "errors.py"

PRINTER = """
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.protocol.Errors;

public class PrintErrors {
    public static void main(String[] arguments) {
        for (Errors error : Errors.values())
            System.out.println(
                error.code() + " " + error.name() + " " + (error.exception() instanceof RetriableException));
    }
}
"""

TEXT = '''"""The error codes of the Kafka protocol. Derived from {source} by `proto/tools/derive_errors.py`.

An expected outcome is one of these values in the result slot, never an exception. `retriable` says whether a
client may simply try again: whether Kafka's own client treats the error as transient.
"""

from enum import IntEnum
from typing import Final


class ErrorCode(IntEnum):
{members}

    @property
    def retriable(self) -> bool:
        return self in RETRIABLE


RETRIABLE: Final = frozenset(
    [
{retriable}
    ]
)
'''


def print_errors(jars: list[str]) -> list[tuple[int, str, bool]]:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "PrintErrors.java"
        program.write_text(PRINTER)
        java = ["java", "-cp", os.pathsep.join(jars), str(program)]
        output = subprocess.run(java, check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in output.splitlines()]
    return [(int(code), name, retriable == "true") for code, name, retriable in rows]


def derive(jars: list[str], target: Path) -> None:
    errors = sorted(print_errors(jars))
    members = "\n".join(f"    {name} = {code}" for code, name, _ in errors)
    retriable = "\n".join(f"        ErrorCode.{name}," for _, name, again in errors if again)
    target.write_text(TEXT.format(source=Path(jars[0]).stem, members=members, retriable=retriable))


if __name__ == "__main__":
    derive(sys.argv[1:], TARGET)
