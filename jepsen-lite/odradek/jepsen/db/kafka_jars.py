"""Where the Apache Kafka jars come from: a cache folder, inside the repository if there is one, filled once by Maven.

Decides: the version, the artifacts and the folder. Does not decide: how Kafka is started (`kafka`, and in the tests of
compatibility `servers`).
Invariant: a folder that exists under its final name is complete, since Maven fills a sibling that is renamed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

KAFKA_VERSION = "4.3.1"
FETCH_S = 900

_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>odradek</groupId>
  <artifactId>kafka-jars</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{version}</version>
    </dependency>
  </dependencies>
</project>
"""


class JarsMissing(Exception):
    """The jars are not there and could not be fetched; the message says which tool or step is missing."""


def cache_of(module: Path, home: Path) -> Path:
    """The cache for a module at that path: of the checkout that it lies in, or else the user's."""
    package = module.parents[2]
    root = package.parents[1]
    if package.parent.name == "jepsen-lite" and (root / "pyproject.toml").is_file():
        return root / ".cache"
    return home / ".cache" / "odradek"


CACHE = cache_of(Path(__file__).resolve(), Path.home())


def missing_toolchain() -> str | None:
    """The reason why Kafka cannot be run here, or None when java (and maven, if needed) are present."""
    if shutil.which("java") is None:
        return "java is not on the PATH (Java 17 or newer)"
    if _present() is None and shutil.which("mvn") is None:
        return "the Kafka jars are not cached and mvn (Maven) is not on the PATH"
    return None


def kafka_classpath() -> str:
    """The class path of Apache Kafka, fetched by Maven at the first call. Raises JarsMissing."""
    libs = _present() or _fetch_alone()
    return f"{libs}/*"


def _present() -> Path | None:
    override = os.environ.get("ODRADEK_KAFKA_LIBS")
    libs = Path(override) if override else CACHE / "kafka" / KAFKA_VERSION / "libs"
    if next(libs.glob("kafka_2.13-*.jar"), None) is not None:
        return libs
    if override:
        raise JarsMissing(f"ODRADEK_KAFKA_LIBS={override} holds no kafka_2.13-*.jar")
    return None


def _fetch_alone() -> Path:
    """Several processes may want them at once: the first one fetches, the others wait for it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _present() or _fetch()


def _fetch() -> Path:
    reason = missing_toolchain()
    if reason is not None:
        raise JarsMissing(reason)
    home = CACHE / "kafka" / KAFKA_VERSION
    partial = home / "libs.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    pom = home / "pom.xml"
    pom.write_text(_POM.format(version=KAFKA_VERSION))
    command = ["mvn", "--batch-mode", "--quiet", "--file", str(pom), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={partial}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S)
    except subprocess.TimeoutExpired:
        raise JarsMissing(f"{' '.join(command)} was not done after {FETCH_S} s") from None
    if done.returncode != 0:
        raise JarsMissing(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return partial.rename(home / "libs")
