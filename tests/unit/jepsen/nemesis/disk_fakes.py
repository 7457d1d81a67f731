"""Nodes and images in plain folders: what is synced is one JSON file, and what the kernel has is the folder."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from odradek.jepsen.ports import Cluster


def by_name(root: Path, path: Path) -> Hashable:
    """Which file a file is, where there are no inodes to ask."""
    return path.relative_to(root)


class FolderImage:
    """`ports.Image`: `sync` writes the folder to the file, as an unmount does."""

    def __init__(self, file: Path, mount_point: Path) -> None:
        self.file = file
        self.mount_point = mount_point
        self.mounted = False
        self.failed = False
        self.holder: FolderNode | None = None

    def sync(self) -> None:
        files = [path for path in self.mount_point.rglob("*") if path.is_file()]
        content = {str(path.relative_to(self.mount_point)): path.read_bytes().hex() for path in files}
        self.file.write_text(json.dumps(content))

    def mount(self) -> None:
        if self.mounted:
            return
        self.mount_point.mkdir(exist_ok=True)
        for name, content in json.loads(self.file.read_text()).items():
            (self.mount_point / name).parent.mkdir(parents=True, exist_ok=True)
            (self.mount_point / name).write_bytes(bytes.fromhex(content))
        self.mounted = True
        self.failed = False

    def unmount(self) -> None:
        if not self.mounted:
            return
        if self.holder is not None and self.holder.pid is not None:
            raise OSError(errno.EBUSY, "busy")
        if not self.failed:
            self.sync()
        shutil.rmtree(self.mount_point)
        self.mount_point.mkdir()
        self.mounted = False

    def copy_to(self, target: Path) -> None:
        shutil.copy(self.file, target)

    def replace_by(self, source: Path) -> None:
        assert not self.mounted
        source.replace(self.file)

    def fail(self) -> None:
        self.failed = self.mounted

    def make_anew(self) -> None:
        assert not self.mounted
        self.file.write_text("{}")


class FolderNode:
    """`ports.Node`, as far as disks go. `calls` is what was done to it; one that `refuses` ends at once when started
    unless its disk is empty."""

    def __init__(self, number: int, root: Path) -> None:
        self.id = number
        self.folder = root / f"node{number}"
        self.folder.mkdir()
        self.image = FolderImage(self.folder / "image", self.folder / "disk")
        self.image.make_anew()
        self.image.mount()
        self.image.holder = self
        self.data = self.image.mount_point / "data"
        self.data.mkdir()
        self.pid: int | None = 1000 + number
        self.calls: list[str] = []
        self.stands = True
        self.refuses = ""

    def spawn(self) -> None:
        assert self.image.mounted, "started without its disk"
        self.calls.append("spawn")
        if self.refuses and any(self.data.iterdir()):
            (self.folder / "server.log").write_text(f"-- start 2\n{self.refuses}\n")
        else:
            self.pid = 2000 + self.id

    def kill(self) -> None:
        if self.pid is not None:
            self.calls.append("kill")
        self.pid = None

    def pause(self) -> None:
        if not self.stands:
            raise TimeoutError("does not stand still")
        if self.pid is not None:
            self.calls.append("pause")


class FolderCluster:
    def __init__(self, root: Path, size: int = 3) -> None:
        self.nodes: Mapping[int, FolderNode] = {
            number: FolderNode(number, root) for number in range(1, size + 1)
        }
        self.led = 1
        self.watched: list[tuple[Sequence[int], float]] = []

    def leader_of(self, key: str) -> int | None:
        return self.led

    def await_serving(self, nodes: Sequence[int], timeout_s: float) -> None:
        self.watched.append((nodes, timeout_s))
        if any(self.nodes[node].pid is None for node in nodes):
            raise TimeoutError("does not run")

    def controller(self) -> int | None:
        return self.led

    @property
    def port(self) -> Cluster:
        """As what the faults take it."""
        return cast(Cluster, cast(Any, self))
