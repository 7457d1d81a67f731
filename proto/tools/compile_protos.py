"""Makes `*_pb2.py` and `*_pb2.pyi` of every .proto file beside it: the public API in `odradek/v1`, and what only nodes
say to each other in `odradek/proto/v1`.

    python proto/tools/compile_protos.py            write (make generate)
    python proto/tools/compile_protos.py --check    only compare: exit code 1 and the names of stale files

Needs grpcio-tools in the version that pyproject.toml names, so that everybody generates the same bytes. No gRPC stubs
are generated: they would be untyped, would fix the serialisers, and are two lines of code where they are needed.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (ROOT / "odradek" / "v1", ROOT / "odradek" / "proto" / "v1")
SUFFIXES = ("_pb2.py", "_pb2.pyi")


def generated() -> dict[Path, bytes]:
    """What the compiler makes of the sources now: content by the path that it belongs at."""
    from grpc_tools import protoc

    sources = sorted(
        path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in folder.glob("*.proto")
    )
    well_known = str(resources.files("grpc_tools") / "_proto")
    with tempfile.TemporaryDirectory() as target:
        arguments = [
            "protoc",
            f"-I{ROOT}",
            f"-I{well_known}",
            f"--python_out={target}",
            f"--pyi_out={target}",
        ]
        if protoc.main([*arguments, *sources]) != 0:
            raise SystemExit("protoc refused the sources")
        return {
            ROOT / path.relative_to(target): path.read_bytes()
            for path in sorted(Path(target).rglob("*"))
            if path.is_file()
        }


def stale(wanted: dict[Path, bytes]) -> list[Path]:
    """Files that differ, are missing, or have lost their source."""
    present = {path for folder in FOLDERS for suffix in SUFFIXES for path in folder.glob(f"*{suffix}")}
    differing = {
        path for path, content in wanted.items() if path not in present or path.read_bytes() != content
    }
    return sorted(differing | (present - set(wanted)))


def main(arguments: list[str]) -> int:
    wanted = generated()
    paths = stale(wanted)
    for path in paths:
        if "--check" in arguments:
            sys.stderr.write(f"{path.relative_to(ROOT.parent)} is stale: make generate\n")
        elif path in wanted:
            path.write_bytes(wanted[path])
        else:
            path.unlink()
    return 1 if paths and "--check" in arguments else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
