"""What this machine can do for a run, tried out: nothing is believed because a tool is installed.

Decides: how each capability is tried, and what is said when it is missing. Does not decide: what needs it (the kinds of
`nemesis` name what they need), nor whether a run without it is worth anything.
Invariants: a probe leaves nothing behind; all of them together take less than a second on an idle machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from odradek.jepsen.db import leftovers, network
from odradek.jepsen.db.control_groups import cgroup_folder
from odradek.jepsen.db.image import LoopImage
from odradek.jepsen.db.kafka_jars import KAFKA_VERSION, JarsMissing, missing_toolchain

#: Without these there is no cluster.
ESSENTIAL: Final = ("root", "tools", "netns", "loop", "disk")
_TOOLS = ("ip", "nsenter", "setpriv", "mount", "umount", "losetup", "mkfs.ext4")
_FREE_BYTES_MIN = 2 << 30
_PROBE_TIMEOUT_S = 10.0
_DAY_S = 86_400

NFT_RULES = """\
table ip odk_probe {
  chain cut { type filter hook output priority -300; ip daddr 192.0.2.1 drop; }
  chain turn { type nat hook output priority -100; ip daddr 192.0.2.2 tcp dport 1 dnat ip to 192.0.2.3:1; }
}
"""


class Capability(NamedTuple):
    """`detail` is what was found, or why it is missing; `use` is what a run has of it."""

    name: str
    present: bool
    detail: str
    use: str


class Missing(Exception):
    """A probe found that the machine cannot do it; the message says why."""


class Capabilities:
    """What was found, in the order of the probes."""

    def __init__(self, found: Sequence[Capability]) -> None:
        self._found = {one.name: one for one in found}

    @property
    def found(self) -> list[Capability]:
        return list(self._found.values())

    @property
    def names(self) -> frozenset[str]:
        """Of what is present."""
        return frozenset(name for name, one in self._found.items() if one.present)

    def detail(self, name: str) -> str:
        """What was found (a path, a version), or why it is missing."""
        return self._found[name].detail

    def unable(self) -> str | None:
        """Why no cluster can be run here at all, or None when one can."""
        return self._reason(ESSENTIAL) or None

    def missing_for(self, needs: Mapping[str, Collection[str]]) -> dict[str, str]:
        """By name of what cannot be done: why. `needs` is, by name, the capabilities that it needs."""
        reasons = {name: self._reason(wanted) for name, wanted in needs.items()}
        return {name: reason for name, reason in reasons.items() if reason}

    def lines(self, needs: Mapping[str, Collection[str]] | None = None) -> list[str]:
        """For people, one line for each capability; a missing one names what is skipped because of it."""
        width = max(map(len, self._found), default=0)
        lines = []
        for name, one in self._found.items():
            line = f"{'yes' if one.present else 'NO '}  {name:{width}}  {one.use}: {one.detail}"
            skipped = sorted(what for what, wanted in (needs or {}).items() if name in wanted)
            if not one.present and skipped:
                line += f"; SKIPPED: {', '.join(skipped)}"
            lines.append(line)
        return lines

    def _reason(self, wanted: Collection[str]) -> str:
        """Why not all of these are there; empty when they are. What was never probed is missing too."""
        unknown = [name for name in wanted if name not in self._found]
        absent = [one for name, one in self._found.items() if name in wanted and not one.present]
        return "; ".join(
            [*(f"{one.name}: {one.detail}" for one in absent), *(f"{name}: unknown" for name in unknown)]
        )


def probe(folder: Path | None = None) -> Capabilities:
    """Try all. `folder` is where a run's things would lie: its free space counts."""
    place = folder or Path(tempfile.gettempdir())
    place.mkdir(parents=True, exist_ok=True)
    found = [_try("root", "everything", _root), _try("tools", "namespaces and images", _tools)]
    if all(one.present for one in found):
        with _scratch(place) as scratch:
            found += _probes_as_root(scratch)
    else:
        why = "; ".join(one.detail for one in found if not one.present)
        found += [Capability(name, False, f"not tried ({why})", use) for name, use in _USES_AS_ROOT.items()]
    found.append(_try("disk", "images and results", lambda: _free(place)))
    found.append(_try("strace", "errors of single system calls", _strace))
    found.append(_try("faketime", "clocks of single nodes", _faketime))
    found.append(_try("device-mapper", "nothing; loop images do without", _device_mapper))
    found.append(_try("kafka", "Apache Kafka as the cluster under test", _kafka))
    return Capabilities(found)


def libfaketime() -> Path | None:
    """The library to preload, wherever the distribution put it."""
    places = [
        *Path("/usr/lib").glob("*-linux-*"),
        Path("/usr/lib"),
        Path("/usr/lib64"),
        Path("/usr/local/lib"),
    ]
    found = (path for place in places for path in place.glob("faketime/libfaketime.so.1"))
    return next(found, None)


class _Scratch(NamedTuple):
    network: network.Network
    folder: Path


#: The probes that need root, in order.
_USES_AS_ROOT: Mapping[str, str] = {
    "netns": "a network namespace per node, on a bridge",
    "nft": "partitions, and links through the proxy",
    "ss-kill": "ends connections, so that new ones go through the proxy",
    "loop": "a file system per node, power cuts",
    "ext4-shutdown": "failing disks",
    "cgroup-cpu": "starved nodes",
    "netem": "nothing; the proxy does without",
}


def _probes_as_root(scratch: _Scratch) -> list[Capability]:
    image = LoopImage(scratch.folder / "disk.img", scratch.folder / "disk", 32)
    probes: dict[str, Callable[[], str]] = {
        "netns": lambda: _namespaces(scratch.network),
        "nft": lambda: _nft(scratch.network.clients.namespace),
        "ss-kill": lambda: _ss_kill(scratch.network.clients.namespace),
        "loop": lambda: _loop(image),
        "ext4-shutdown": lambda: _shutdown(image),
        "cgroup-cpu": _cgroup_cpu,
        "netem": lambda: _netem(scratch.network.clients.namespace),
    }
    return [_try(name, _USES_AS_ROOT[name], probes[name]) for name in _USES_AS_ROOT]


@contextlib.contextmanager
def _scratch(place: Path) -> Iterator[_Scratch]:
    """Claimed like a run, so that others leave it alone, and take it away should this process die."""
    tag = f"probe{os.getpid()}"
    folder = Path(tempfile.mkdtemp(prefix="odk-probe-", dir=place))
    try:
        with leftovers.claimed(tag, folder):
            yield _Scratch(network.plan(tag, 1), folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _try(name: str, use: str, attempt: Callable[[], str]) -> Capability:
    try:
        return Capability(name, True, attempt(), use)
    except Missing as missing:
        return Capability(name, False, str(missing), use)
    except (OSError, subprocess.SubprocessError) as error:
        return Capability(name, False, f"{type(error).__name__}: {error}".splitlines()[0], use)


def _root() -> str:
    if os.geteuid() != 0:
        raise Missing("this process is not root")
    return "yes"


def _tools() -> str:
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if absent:
        raise Missing(f"not on the PATH: {', '.join(absent)}")
    return ", ".join(_TOOLS)


def _namespaces(net: network.Network) -> str:
    network.set_up(net)
    address = (net.nodes[1].address, 9092)
    with network.sockets_in(net.nodes[1].namespace):
        listener = socket.create_server(address)
    with listener, network.sockets_in(net.clients.namespace):
        socket.create_connection(address, timeout=_PROBE_TIMEOUT_S).close()
    return "a connection crossed the bridge"


def _nft(namespace: str) -> str:
    _said(network.entering(namespace, ["nft", "-f", "-"]), NFT_RULES)
    return "filter and nat rules"


def _ss_kill(namespace: str) -> str:
    with network.sockets_in(namespace):
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        dialled = socket.create_connection(("127.0.0.1", port), timeout=_PROBE_TIMEOUT_S)
    with listener, dialled:
        _said(network.entering(namespace, ["ss", "-K", "dst", "127.0.0.1", "dport", "=", str(port)]))
        dialled.settimeout(0)
        try:
            dialled.recv(1)
        except BlockingIOError:
            raise Missing("ss -K left the connection alone") from None
        except ConnectionError:
            return "a connection was ended"
    raise Missing("ss -K did not reset the connection")


def _loop(image: LoopImage) -> str:
    setting = Path("/proc/sys/vm/dirty_writeback_centisecs")
    if not os.access(setting, os.W_OK):
        raise Missing(f"{setting} cannot be written")
    image.create()
    image.mount()
    (image.mount_point / "probe").write_text("probe")
    return "ext4 on a loop device"


def _shutdown(image: LoopImage) -> str:
    if not image.mounted:
        raise Missing("no image is mounted")
    image.fail()
    try:
        (image.mount_point / "probe").write_text("again")
    except OSError:
        return "a write failed, as it should"
    raise Missing("a write succeeded after the shutdown")


def _cgroup_cpu() -> str:
    root = cgroup_folder(Path("/proc/mounts").read_text())
    if root is None:
        raise Missing("no cgroup file system with cpu is mounted")
    group = root / f"odk-probe-{os.getpid()}"
    group.mkdir()
    try:
        for file, limit in (("cpu.cfs_quota_us", "20000"), ("cpu.max", "20000 100000")):
            if (group / file).exists():
                (group / file).write_text(limit)
                return f"{file} below {root}"
    finally:
        group.rmdir()
    raise Missing(f"a group in {root} has no limit of CPU time")


def _netem(namespace: str) -> str:
    _said(network.entering(namespace, ["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]))
    return "tc qdisc netem"


def _free(place: Path) -> str:
    free = shutil.disk_usage(place).free
    if free < _FREE_BYTES_MIN:
        raise Missing(f"{free >> 20} MiB free at {place}, less than {_FREE_BYTES_MIN >> 20}")
    return f"{free >> 30} GiB free at {place}"


def _strace() -> str:
    _said(["strace", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO", "true"])
    return shutil.which("strace") or ""


def _faketime() -> str:
    library = libfaketime()
    if library is None:
        raise Missing("there is no faketime/libfaketime.so.1 in the folders of libraries")
    own = {"LD_PRELOAD": str(library), "FAKETIME": "+2d", "DONT_FAKE_MONOTONIC": "1"}
    told = int(_said(["date", "+%s"], environment=own))
    if told < time.time() + _DAY_S:
        raise Missing(f"{library} does not change the time of a program")
    return str(library)


def _device_mapper() -> str:
    with open("/dev/mapper/control", "rb") as control:
        fcntl.fcntl(control, fcntl.F_GETFD)
    return "/dev/mapper/control"


def _kafka() -> str:
    try:
        reason = missing_toolchain()
    except JarsMissing as missing:
        raise Missing(str(missing)) from None
    if reason is not None:
        raise Missing(reason)
    return f"java, and the jars of {KAFKA_VERSION} or Maven to fetch them"


def _said(argv: Sequence[str], stdin: str = "", environment: Mapping[str, str] | None = None) -> str:
    """What the program wrote. Raises Missing with what it complained about, or when it is not there."""
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            env={**os.environ, **(environment or {})},
        )
    except FileNotFoundError as error:
        raise Missing(f"{error.filename} is not on the PATH") from None
    complaint = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()
    if done.returncode != 0:
        raise Missing(f"{argv[0] if argv[0] != 'nsenter' else argv[3]}: {complaint[0]}")
    return done.stdout
