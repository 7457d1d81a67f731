"""The examples of client/examples, built for tests as their README files say, each language by its own tools.

Decides: where they are built (a copy in the cache folder, in which the .proto files lie as they do here), when again
(when a source has changed) and how a missing toolchain is told. A toolchain that is there but fails is a failure.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.compat.places import CACHE, ROOT

_API = ("odradek/v1/record.proto", "odradek/v1/record_service.proto")
_PUBLISHED = tuple(Path("proto", name) for name in ("buf.yaml", *_API))
_BUILT = CACHE / "languages"
_STAMP = "built"
_BUILD_S = 900.0
#: Folders that builds make in that of a language; see client/examples/.gitignore.
_MADE = frozenset(
    ("bin", "odradek", "target", "node_modules", "generated", "dist", "tools", ".venv", "__pycache__")
)


class Programs(NamedTuple):
    """Command lines, to which the arguments are added, and the folder in which they are run."""

    produce: Sequence[str]
    consume: Sequence[str]
    folder: Path


class Language(NamedTuple):
    name: str
    tools: Mapping[str, str]
    """Program -> what it is needed for."""
    build: Callable[[Path], None]
    produce: Sequence[str]
    consume: Sequence[str]

    def __str__(self) -> str:
        return self.name


def built(language: Language) -> Programs:
    """The programs; skips the test when a tool is not installed."""
    for program, why in language.tools.items():
        if shutil.which(program) is None:
            pytest.skip(f"no {language.name} example: {program} is not on the PATH ({why})")
    return build_in(_BUILT / language.name, language)


def build_in(home: Path, language: Language) -> Programs:
    folder = home / "client" / "examples" / language.name
    wanted = _sources(language.name)
    digest = hashlib.sha256()
    for path, content in sorted(wanted.items()):
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    stamp = home / _STAMP
    if not stamp.exists() or stamp.read_text() != digest.hexdigest():
        stamp.unlink(missing_ok=True)
        for path in set(_files(home, language.name)) - wanted.keys():
            (home / path).unlink()
        for path, content in wanted.items():
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_bytes(content)
        language.build(folder)
        stamp.write_text(digest.hexdigest())
    return Programs(language.produce, language.consume, folder)


def _sources(name: str) -> dict[Path, bytes]:
    return {path: (ROOT / path).read_bytes() for path in [*_PUBLISHED, *_files(ROOT, name)]}


def _files(root: Path, name: str) -> Iterator[Path]:
    """The files of an example that are not made by its build, relative to `root`."""
    example = root / "client" / "examples" / name
    for folder, folders, files in os.walk(example):
        if Path(folder) == example:
            folders[:] = [one for one in folders if one not in _MADE]
        yield from (Path(folder, file).relative_to(root) for file in files)


def _run(folder: Path, *commands: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    for command in commands:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | dict(environment or {}),
            capture_output=True,
            text=True,
            timeout=_BUILD_S,
        )
        assert done.returncode == 0, (
            f"{' '.join(command)}\nstatus {done.returncode}\n{done.stdout}{done.stderr}"
        )


def _go(folder: Path) -> None:
    """With the compiler of the tests for the `protoc` that its README asks for."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    protoc = tools / "protoc"
    protoc.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m grpc_tools.protoc "$@"\n')
    protoc.chmod(0o755)
    environment = {"GOBIN": str(tools), "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    install, generate = ["go", "install", "tool"], ["go", "generate"]
    build = ["go", "build", "-mod=readonly", "-o", "bin/", "./produce", "./consume"]
    _run(folder, install, generate, build, environment=environment)


def _java(folder: Path) -> None:
    _run(folder, ["mvn", "--batch-mode", "--quiet", "compile"])


def _typescript(folder: Path) -> None:
    _run(folder, ["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "build"])


def _rust(folder: Path) -> None:
    _run(folder, ["cargo", "build", "--locked", "--quiet"])


def _python(folder: Path) -> None:
    outputs = ["--python_out=.", "--grpc_python_out=."]
    _run(folder, [sys.executable, "-m", "grpc_tools.protoc", "-I", "../../../proto", *outputs, *_API])
    # Here the package odradek is installed too: its odradek.v1 would be found before one that has no such file.
    (folder / "odradek" / "v1" / "__init__.py").touch()


PYTHON = Language("python", {}, _python, [sys.executable, "produce.py"], [sys.executable, "consume.py"])
_JAVA = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"target/classes{os.pathsep}target/lib/*"]
LANGUAGES = (
    PYTHON,
    Language("go", {"go": "1.26 or newer"}, _go, ["bin/produce"], ["bin/consume"]),
    Language(
        "java",
        {"javac": "a JDK, 17 or newer", "mvn": "Maven builds it"},
        _java,
        [*_JAVA, "dev.odradek.examples.Produce"],
        [*_JAVA, "dev.odradek.examples.Consume"],
    ),
    Language(
        "typescript",
        {"node": "20 or newer", "npm": "installs its packages"},
        _typescript,
        ["node", "dist/src/produce.js"],
        ["node", "dist/src/consume.js"],
    ),
    Language("rust", {"cargo": "builds it"}, _rust, ["target/debug/produce"], ["target/debug/consume"]),
)
