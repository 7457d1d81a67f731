"""Where the jars are kept, and what is said when they cannot be had."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from odradek.jepsen.db import kafka_jars


def _module(root: Path, folder: str) -> Path:
    return root / folder / "odradek" / "jepsen" / "db" / "kafka_jars.py"


def test_a_checkout_keeps_them_itself(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    assert kafka_jars.cache_of(_module(tmp_path, "jepsen-lite"), Path("/h")) == tmp_path / ".cache"


def test_an_installed_package_keeps_them_for_the_user(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    assert kafka_jars.cache_of(_module(tmp_path, "site-packages"), Path("/h")) == Path("/h/.cache/odradek")
    (tmp_path / "pyproject.toml").unlink()
    assert kafka_jars.cache_of(_module(tmp_path, "jepsen-lite"), Path("/h")) == Path("/h/.cache/odradek")


def test_tests_and_package_mean_the_same_cache() -> None:
    from tests.compat.places import CACHE

    assert kafka_jars.CACHE == CACHE


def test_a_folder_that_is_named_must_hold_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODRADEK_KAFKA_LIBS", str(tmp_path))
    with pytest.raises(kafka_jars.JarsMissing, match=str(tmp_path)):
        kafka_jars.kafka_classpath()
    (tmp_path / "kafka_2.13-4.3.1.jar").touch()
    assert kafka_jars.kafka_classpath() == f"{tmp_path}/*"


def test_without_java_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    reason = kafka_jars.missing_toolchain()
    assert reason is not None and "java" in reason


_MAVEN = """#!/bin/sh
echo called >> "$MAVEN_CALLS"
sleep 0.3
for word; do
    case "$word" in -DoutputDirectory=*) touch "${word#*=}/kafka_2.13-4.3.1.jar" ;; esac
done
"""


def _with_maven(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Nothing is cached, and `mvn` is this."""
    for name, text in (("mvn", script), ("java", "#!/bin/sh")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.delenv("ODRADEK_KAFKA_LIBS", raising=False)
    monkeypatch.setattr(kafka_jars, "CACHE", folder / "cache")


@pytest.mark.parametrize(
    ("script", "said"),
    [("#!/bin/sh\necho no such host; exit 1", "no such host"), ("#!/bin/sh\nexec sleep 60", "after 0.2 s")],
)
def test_a_fetch_that_failed_or_took_too_long_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    _with_maven(tmp_path, monkeypatch, script)
    monkeypatch.setattr(kafka_jars, "FETCH_S", 0.2 if "sleep" in script else 60)
    with pytest.raises(kafka_jars.JarsMissing, match=said):
        kafka_jars.kafka_classpath()


def test_who_wants_them_at_the_same_time_waits_for_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_maven(tmp_path, monkeypatch, _MAVEN)
    monkeypatch.setenv("MAVEN_CALLS", str(tmp_path / "calls"))
    with ThreadPoolExecutor(3) as pool:
        found = [asked.result() for asked in [pool.submit(kafka_jars.kafka_classpath) for _ in range(3)]]
    assert set(found) == {f"{tmp_path}/cache/kafka/{kafka_jars.KAFKA_VERSION}/libs/*"}
    assert (tmp_path / "calls").read_text() == "called\n"
