"""A Docker engine and an image of the node, where they can be had; otherwise a sentence that says why not.

Decides: which engine is used (one that runs already; else one of our own, installed from Debian where we may), where
the base image comes from (a registry; else debootstrap with Debian's Python), and that the packages in it are those
of the index that this machine uses. Does not decide what is tested.
Invariant: an engine of our own ends with everything that it ran, and leaves no file behind.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.compat.places import CACHE, ROOT

DEBIAN_WITH = {(3, 11): "bookworm", (3, 13): "trixie"}
"""The Debian release whose Python is the one that runs the tests: wheels are built for it."""
PACKAGES = ("docker.io", "docker-compose", "debootstrap")
WHEELS = ROOT / "deploy" / "wheels"
_START_S = 60
_PULL_S = 60


class DockerMissing(Exception):
    """There is no engine, or no image for it; the message says which step failed, and how."""


class Engine:
    """`docker` and Compose, against one engine."""

    def __init__(self, host: str | None) -> None:
        self._environ = dict(os.environ) | ({} if host is None else {"DOCKER_HOST": host})

    def run(
        self,
        *arguments: str,
        timeout_s: float = 120,
        check: bool = True,
        environ: dict[str, str] | None = None,
    ) -> str:
        """What `docker ARGUMENTS` printed, on both streams."""
        return self._run(["docker", *arguments], timeout_s, check, environ)

    def compose(self, *arguments: str, timeout_s: float = 300, environ: dict[str, str] | None = None) -> str:
        """The same for Compose, as a plugin or as a program."""
        plugin = subprocess.run(
            ["docker", "compose", "version"], capture_output=True, env=self._environ, check=False
        )
        program = ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]
        if len(program) == 1 and shutil.which(program[0]) is None:
            raise DockerMissing("neither docker compose nor docker-compose is installed")
        return self._run([*program, *arguments], timeout_s, True, environ)

    def _run(self, command: list[str], timeout_s: float, check: bool, environ: dict[str, str] | None) -> str:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            env=self._environ | (environ or {}),
            cwd=ROOT,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{' '.join(command)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def answers(self) -> bool:
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            return "Server Version" in self.run("info", check=False, timeout_s=20)
        return False


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """An engine that answers. Raises DockerMissing."""
    if shutil.which("docker") is not None and Engine(None).answers():
        yield Engine(None)
        return
    _install_engine()
    folder = Path(tempfile.mkdtemp(prefix="odradek-docker-"))
    log = folder / "dockerd.log"
    host = f"unix://{folder}/docker.sock"
    command = ["dockerd", "--host", host, "--data-root", str(folder / "data")]
    command += ["--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid")]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        _wait_for(Engine(host), process, log)
        yield Engine(host)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(found: Engine, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not found.answers():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-1500:]
            raise DockerMissing(f"a Docker engine cannot run here:\n{tail}")
        time.sleep(0.2)


def _install_engine() -> None:
    if shutil.which("dockerd") is not None and shutil.which("docker") is not None:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise DockerMissing("no Docker engine runs here, and only root on Debian could install one")
    _must(["apt-get", "update", "-qq"], "apt-get update")
    install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *PACKAGES]
    _must(install, "installing " + " ".join(PACKAGES))


def _must(command: list[str], what: str, timeout_s: float = 600) -> None:
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=environ)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DockerMissing(f"{what}: {error}") from error
    if done.returncode != 0:
        raise DockerMissing(f"{what}: exit status {done.returncode}\n{(done.stdout + done.stderr)[-1500:]}")


def base_image(found: Engine) -> str:
    """The name of an image with the Python that runs the tests. Raises DockerMissing."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = f"python:{version}-slim"
    for arguments in (("image", "inspect", name), ("pull", "--quiet", name)):
        with contextlib.suppress(subprocess.TimeoutExpired, AssertionError):
            found.run(*arguments, timeout_s=_PULL_S)
            return name
    release = DEBIAN_WITH.get(sys.version_info[:2])
    if release is None:
        raise DockerMissing(f"no registry is reachable, and no Debian release has Python {version}")
    archive = _debootstrapped(release)
    found.run("import", str(archive), f"odradek-base:{release}", timeout_s=300)
    return f"odradek-base:{release}"


def _debootstrapped(release: str) -> Path:
    """A root file system as an archive, kept in the cache folder."""
    archive = CACHE / "deploy" / f"{release}.tar"
    if archive.exists():
        return archive
    if shutil.which("debootstrap") is None:
        _must(["apt-get", "install", "-qq", "-y", "debootstrap"], "installing debootstrap")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="odradek-base-") as folder:
        root = f"{folder}/root"
        include = "--include=python3,python3-venv,ca-certificates"
        command = ["debootstrap", "--variant=minbase", include, release, root, *_mirror()]
        _must(command, f"no registry is reachable; debootstrap {release}", timeout_s=900)
        part = archive.with_suffix(".part")
        _must(["tar", "-C", root, "--exclude=./var/cache/apt/archives/*", "-cf", str(part), "."], "tar")
        part.rename(archive)
    return archive


def _mirror() -> list[str]:
    """The mirror that this machine uses, if it says."""
    command = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return found[:1]


def build_image(found: Engine, base: str, tag: str) -> None:
    """Build deploy/Dockerfile. What it installs is fetched here, because a container may reach no index."""
    existed = WHEELS.exists()
    try:
        wheel = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--wheel-dir",
            str(WHEELS),
            ".",
            "hatchling",
        ]
        _must(["env", "-C", str(ROOT), *wheel], "fetching wheels")
        arguments = ["--build-arg", f"BASE={base}", "--build-arg", "PIP_NO_INDEX=1"]
        found.run("build", "-f", "deploy/Dockerfile", "-t", tag, *arguments, ".", timeout_s=600)
    finally:
        if not existed:
            shutil.rmtree(WHEELS, ignore_errors=True)
