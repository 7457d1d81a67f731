"""A node's process: started, stopped, paused and killed in any state. The process is a small one, in no namespace."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from odradek.jepsen.db import node as node_module
from odradek.jepsen.db.network import Host
from odradek.jepsen.db.node import ServerNode, environment, stands

HEARS = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
WAITS = "print('ready', flush=True)\nwhile True: signal.pause()\n"


class Disk:
    """An image that is a folder."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "disk.img"
        self.mount_point = folder / "disk"
        self.mounted = True

    def mount(self) -> None: ...
    def unmount(self) -> None: ...
    def copy_to(self, target: Path) -> None: ...
    def replace_by(self, source: Path) -> None: ...
    def fail(self) -> None: ...
    def make_anew(self) -> None: ...


class Script:
    """A broker of a few lines."""

    name = "script"
    ports: Mapping[str, int] = {}

    def __init__(self, code: str) -> None:
        self.code = code

    def properties(self, node: int, addresses: Mapping[int, str], data: Path) -> dict[str, str]:
        return {"node.id": str(node), "log.dirs": str(data)}

    def command(self, config: Path, data: Path) -> Sequence[str]:
        program = config.parent / "program.py"
        program.write_text(self.code)
        return [sys.executable, "-S", str(program)]


Make = Callable[[str], ServerNode]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(node_module, "entering", lambda namespace, argv: list(argv))
    made = []

    def one(code: str = HEARS + WAITS) -> ServerNode:
        host = Host("odk-t-n2", "10.77.0.12")
        node = ServerNode(2, host, tmp_path / "node2", Disk(tmp_path), Script(code), {2: host.address})
        made.append(node)
        return node

    yield one
    for node in made:
        node.kill()


def _ready(node: ServerNode) -> None:
    """Start it, and wait until it hears signals."""
    before = node.log_tail().count("ready")
    node.spawn()
    deadline = time.monotonic() + 20
    while node.log_tail().count("ready") == before:
        assert node.pid is not None and time.monotonic() < deadline, node.log_tail()
        time.sleep(0.001)


def test_what_does_not_run_can_be_killed_stopped_paused_and_resumed(make: Make) -> None:
    node = make(HEARS + WAITS)
    for act in (node.kill, node.stop, node.pause, node.resume):
        act()
    assert (node.pid, node.exit_status, node.paused) == (None, None, False)


def test_a_process_has_the_id_of_the_server_and_a_group_of_its_own(make: Make) -> None:
    node = make(HEARS + WAITS)
    _ready(node)
    assert node.pid is not None and os.getpgid(node.pid) == node.pid
    assert Path(f"/proc/{node.pid}/cmdline").read_bytes().startswith(sys.executable.encode())
    before = node.pid
    node.spawn()
    assert node.pid == before, "a second start does nothing"


def test_a_kill_ends_it_and_it_can_be_started_again(make: Make) -> None:
    node = make(HEARS + WAITS)
    _ready(node)
    node.kill()
    assert (node.pid, node.exit_status) == (None, -signal.SIGKILL)
    _ready(node)
    assert node.starts == 2
    assert node.log.read_text().count("-- start ") == 2


def test_a_kill_reaches_what_the_server_started(make: Make) -> None:
    child = "import subprocess; c = subprocess.Popen(['sleep', '60']); print('child', c.pid, flush=True)\n"
    node = make(HEARS + child + WAITS)
    _ready(node)
    pid = int(node.log_tail().partition("child ")[2].split()[0])
    node.kill()
    deadline = time.monotonic() + 20
    while _state(pid) not in "ZX":
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.001)


def _state(pid: int) -> str:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    return "X"


def test_a_pause_is_over_at_the_resume_or_at_the_kill(make: Make) -> None:
    node = make(HEARS + WAITS)
    _ready(node)
    node.pause()
    assert node.paused
    node.pause()
    node.resume()
    node.stop()
    assert node.exit_status == 7, "it went on and heard SIGTERM"
    _ready(node)
    node.pause()
    node.kill()
    assert (node.pid, node.paused) == (None, False)


def test_a_stop_kills_what_does_not_listen(make: Make) -> None:
    node = make(DEAF + WAITS)
    _ready(node)
    node.stop(timeout_s=0.01)
    assert node.exit_status == -signal.SIGKILL


def test_what_ends_by_itself_does_not_run_and_its_status_is_kept(make: Make) -> None:
    node = make("raise SystemExit(3)")
    node.spawn()
    deadline = time.monotonic() + 20
    while node.pid is not None:
        assert time.monotonic() < deadline
    assert node.exit_status == 3
    node.kill()
    assert node.exit_status == 3


def _gone(node: ServerNode) -> None:
    """Wait for its end without asking the node, so that nothing is noticed."""
    assert node._process is not None
    node._process.wait(20)


@pytest.mark.parametrize("look", ["spawn", "kill", "stop", "pid", "ended_by_itself"])
def test_an_end_that_nobody_asked_for_is_remembered_once(make: Make, look: str) -> None:
    node = make("print('broken', flush=True)\nraise SystemExit(3)")
    node.spawn()
    _gone(node)
    act = getattr(node, look)
    if callable(act):
        act()
    node.kill()
    ended = node.ended_by_itself
    assert [(one.start, one.status) for one in ended][:1] == [(1, 3)]
    assert ended[0].words.endswith("broken")
    assert len(ended) == len({one.start for one in ended})


def test_an_end_that_was_asked_for_is_none_of_its_own(make: Make) -> None:
    node = make(HEARS + WAITS)
    _ready(node)
    node.stop()
    _ready(node)
    node.kill()
    _ready(node)
    assert (node.ended_by_itself, node.deaf) == ((), [])
    assert node.pid is not None
    os.kill(node.pid, signal.SIGKILL)
    _gone(node)
    node.kill()
    assert [(one.start, one.status) for one in node.ended_by_itself] == [(3, -signal.SIGKILL)]


def test_what_does_not_end_when_it_is_asked_to_is_remembered_unless_it_stands(make: Make) -> None:
    node = make(DEAF + WAITS)
    _ready(node)
    node.stop(timeout_s=0.01)
    _ready(node)
    node.pause()
    node.stop(timeout_s=0.01)
    assert (node.deaf, node.ended_by_itself) == ([1], ())


def test_without_its_image_it_does_not_start(make: Make, tmp_path: Path) -> None:
    node = make(HEARS + WAITS)
    assert isinstance(node.image, Disk)
    node.image.mounted = False
    with pytest.raises(OSError, match="not mounted"):
        node.spawn()
    assert (node.pid, node.starts) == (None, 0)


def test_settings_and_environment_are_for_the_next_start(make: Make) -> None:
    node = make("import os; print(os.environ.get('A'), os.environ.get('HOME'))\n" + HEARS + WAITS)
    node.set_environment("A", "one")
    node.set_environment("HOME", None)
    node.set_property("min.insync.replicas", "2")
    _ready(node)
    assert "one None" in node.log_tail()
    config = (node.folder / "server.properties").read_text()
    assert config == f"node.id=2\nlog.dirs={node.data}\nmin.insync.replicas=2\n"
    node.kill()
    node.set_environment("A", None)
    node.set_property("min.insync.replicas", None)
    _ready(node)
    assert "None None" in node.log_tail()
    assert "min.insync" not in (node.folder / "server.properties").read_text()


def test_the_data_lies_on_the_image_and_what_outlives_it_does_not(make: Make, tmp_path: Path) -> None:
    node = make("")
    assert node.data == tmp_path / "disk" / "data"
    assert not node.log.is_relative_to(node.image.mount_point)


RUN = """
import sys, threading
from pathlib import Path
sys.path.insert(0, {here!r})
from test_node import HEARS, WAITS, Disk, Script, _ready, node_module
from odradek.jepsen.db.network import Host
node_module.entering = lambda namespace, argv: list(argv)
folder = Path({folder!r})
node = node_module.ServerNode(1, Host("n", "a"), folder, Disk(folder), Script(HEARS + WAITS), {{1: "a"}})
thread = threading.Thread(target=_ready, args=(node,))
thread.start(), thread.join()
print(node.pid, flush=True)
input()
"""


def test_it_survives_the_thread_that_asked_for_it_and_not_the_run(tmp_path: Path) -> None:
    code = RUN.format(here=str(Path(__file__).parent), folder=str(tmp_path))
    run = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None and run.stdin is not None
    pid = int(run.stdout.readline())
    assert _state(pid) not in "ZX"
    run.kill()
    run.wait()
    deadline = time.monotonic() + 20
    while _state(pid) not in "ZX":
        assert time.monotonic() < deadline, f"process {pid} outlives the run"
        time.sleep(0.001)
    run.stdin.close(), run.stdout.close()


def test_a_variable_that_is_taken_away_is_not_there() -> None:
    assert environment({"A": "1", "B": "2"}, {"A": None, "C": "3"}) == {"B": "2", "C": "3"}


@pytest.mark.parametrize(
    ("state", "still"), [("T", True), ("t", False), ("S", False), ("R", False), ("Z", True)]
)
def test_a_thread_stands_when_a_signal_stopped_it(state: str, still: bool) -> None:
    assert stands(f"17 (a (strange) name) {state} 1 17 17") is still
