"""`make cluster`: several nodes on this machine, each from its properties file, that live and end together.

Decides: what is printed, and that Ctrl-C (or SIGTERM) ends all nodes. Does not decide: anything about a node, which
its file says. A node that ends before all serve ends the rest; later the others go on, as they should.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = Path(sys.executable).parent / "odradek"
ANNOUNCED = " is listening on "
STOP_TIMEOUT_S = 20


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Node:
    """One process; its output is shown with its name in front."""

    def __init__(self, file: Path, data: Path | None, on_change: threading.Semaphore) -> None:
        self.name = file.stem
        self.address = ""
        self.over = False
        self.again = [str(PROGRAM), "start", "--config", str(file)]
        if data is not None:
            self.again += ["--data", str(data / self.name)]
        self._on_change = on_change
        self.process = subprocess.Popen(
            self.again,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C in the terminal is for this program alone
        )
        threading.Thread(target=self._copy_output, daemon=True).start()

    def _copy_output(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if ANNOUNCED in line:
                self.address = line.partition(ANNOUNCED)[2].split(",")[0].strip()
                self._on_change.release()
            elif not line.startswith(("Try it", "  ")):
                say(f"{self.name} | {line.rstrip()}")
        self.process.wait()
        self.over = True
        self._on_change.release()


def show(nodes: Sequence[Node]) -> None:
    """The addresses, and what to try."""
    servers = ",".join(node.address for node in nodes)
    say(f"\n{len(nodes)} nodes are one cluster:")
    for node in nodes:
        say(f"  {node.name}  {node.address}  pid {node.process.pid}")
    victim = nodes[-1]
    again = " ".join(
        str(Path(part).relative_to(ROOT)) if str(ROOT) in part else part for part in victim.again
    )
    say(
        "Try it:\n"
        f"  echo hello | kcat -P -b {servers} -t greetings; kcat -C -e -b {servers} -t greetings\n"
        f"  kcat -L -b {servers}                        # leaders, replicas, in-sync replicas\n"
        f"  kill -9 {victim.process.pid}                # the others take over\n"
        f"  {again}  # and it comes back\n"
        "Ctrl-C ends all of them.\n"
    )


def live(nodes: Sequence[Node], changes: threading.Semaphore) -> int:
    """Wait until all serve, then until all have ended; the exit code."""
    while not all(node.address for node in nodes):
        changes.acquire()
        ended = [node for node in nodes if node.over]
        if ended:
            say(f"{ended[0].name} ended with status {ended[0].process.returncode}: ending the others")
            return 1
    show(nodes)
    told: set[str] = set()
    while len(told) < len(nodes):
        changes.acquire()
        for node in nodes:
            if node.over and node.name not in told:
                told.add(node.name)
                say(f"{node.name} ended with status {node.process.returncode}")
    return 1


def end(nodes: Sequence[Node]) -> None:
    """SIGTERM to all, SIGKILL to those that do not end in time or when interrupted again."""
    for node in nodes:
        if node.process.poll() is None:
            node.process.terminate()
    try:
        for node in nodes:
            node.process.wait(STOP_TIMEOUT_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        for node in nodes:
            node.process.kill()
            node.process.wait()


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="deploy/cluster.py", description="Several nodes on this machine.")
    parser.add_argument(
        "files", nargs="*", type=Path, help="a server.properties per node (deploy/cluster/*.properties)"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="data in DIR/<name>, instead of log.dirs")
    options = parser.parse_args(argv)
    files = options.files or sorted((ROOT / "deploy" / "cluster").glob("*.properties"))
    data = options.data.absolute() if options.data else None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    changes = threading.Semaphore(0)
    nodes: list[Node] = []
    try:
        nodes.extend(Node(file.absolute(), data, changes) for file in files)
        return live(nodes, changes)
    except KeyboardInterrupt:
        return 0
    finally:
        end(nodes)
        say("all nodes have ended")


if __name__ == "__main__":
    sys.exit(main())
