"""One worker: an operating system process that carries out what its spec says, until it is told to stop.

    python -m odradek.jepsen.workloads.worker --spec FILE_OR_JSON

Decides: which module does the work of a role, and when it ends: at SIGTERM or SIGINT, or when its standard input ends
(so it must be given a pipe: workers do not outlive the run). Then operations that are under way get 10 s to end; what
has no answer by then stays open in the history. Exit status 0, what the role returns (final reads: 1 when not all was
read), or 2 for a spec that is none.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Final

from odradek.jepsen.history import Writer
from odradek.jepsen.workloads.spec import WorkerSpec

#: Role: the module that does it. Loaded when it is needed: a worker pays for the library of its own door alone.
_ROLES: Final = {
    "kafka-send": "kafka_sender",
    "kafka-read": "kafka_reader",
    "kafka-watermarks": "kafka_watermarks",
    "kafka-final": "kafka_final",
    "kafka-member": "kafka_member",
    "kafka-committed": "kafka_committed",
    "kafka-admin": "kafka_admin",
    "grpc-named-send": "grpc_named_sender",
    "grpc-member": "grpc_member",
    "grpc-send": "grpc_sender",
    "grpc-read": "grpc_reader",
    "grpc-final": "grpc_final",
}


def load(text: str) -> WorkerSpec:
    """A spec from JSON, or from the file of that name. Raises OSError, ValueError, TypeError."""
    return WorkerSpec.from_json(text if text.lstrip().startswith("{") else Path(text).read_text())


def executor(role: str) -> Callable[[WorkerSpec, Writer, threading.Event], int | None]:
    """What does the work of a role. Raises ValueError that names the roles there are."""
    if role not in _ROLES:
        raise ValueError(f"no role {role!r}: there are {', '.join(_ROLES)}")
    module = import_module(f"odradek.jepsen.workloads.{_ROLES[role]}")
    run: Callable[[WorkerSpec, Writer, threading.Event], int | None] = module.run
    return run


def _stop_at_the_end_of_input(stopping: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stopping.set()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="odradek.jepsen.workloads.worker")
    parser.add_argument("--spec", required=True, help="JSON, or a file that holds it")
    try:
        spec = load(parser.parse_args(arguments).spec)
        run = executor(spec.role)
    except (OSError, ValueError, TypeError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    threading.Thread(target=_stop_at_the_end_of_input, args=[stopping], daemon=True).start()
    writer = Writer(Path(spec.history))
    status = run(spec, writer, stopping) or 0
    writer.close()
    return status


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # Clients of a broken cluster may take long to be destroyed; the history is complete.
    os._exit(status)
