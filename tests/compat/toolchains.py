"""Programs of other toolchains that tests run: found or built, or the test is skipped with the reason.

Decides: where built things go (the cache folder) and how a missing toolchain is told. A toolchain that is there
but fails is a failure, not a skip.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.compat.places import CACHE
from tests.compat.servers import java

from odradek.jepsen.db.kafka_jars import JarsMissing, kafka_classpath, missing_toolchain

_BUILT = CACHE / "compat"
_SOURCES = Path(__file__).parent


def run(command: list[str], *, stdin: str = "", timeout_s: float = 60.0, cwd: Path | None = None) -> str:
    """Standard output of a program that must succeed."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(command)}\nstatus {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def needed(program: str, why: str) -> str:
    """The path of a program; skips the test when it is not installed."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not on the PATH: {why}")
    return path


def kafka_tool(name: str, *arguments: str, stdin: str = "", timeout_s: float = 60.0) -> str:
    """Run a class of the Kafka jars and return what it printed."""
    try:
        reason = missing_toolchain()
        if reason is None:
            kafka_classpath()
    except JarsMissing as error:
        reason = str(error)
    if reason is not None:
        pytest.skip(f"no Kafka tools: {reason}")
    return run(java([name, *arguments], "128m"), stdin=stdin, timeout_s=timeout_s)


def franz_go() -> Path:
    """The Go program, built from `go/` with the versions of its go.sum."""
    go = needed("go", "Go builds the franz-go program")
    target = _BUILT / "franz-go"
    _BUILT.mkdir(parents=True, exist_ok=True)
    run([go, "build", "-mod=readonly", "-o", str(target), "."], timeout_s=600, cwd=_SOURCES / "go")
    return target


def kafkajs() -> Path:
    """The folder of the Node program with its packages installed as its lock file says."""
    needed("node", "Node runs the kafkajs program")
    npm = needed("npm", "npm installs kafkajs")
    target = _BUILT / "node"
    target.mkdir(parents=True, exist_ok=True)
    changed = False
    for name in ("package.json", "package-lock.json", "main.js"):
        source = (_SOURCES / "node" / name).read_text()
        changed |= not (target / name).exists() or (target / name).read_text() != source
        (target / name).write_text(source)
    if changed or not (target / "node_modules" / "kafkajs").exists():
        run([npm, "ci", "--no-audit", "--no-fund"], timeout_s=300, cwd=target)
    return target
