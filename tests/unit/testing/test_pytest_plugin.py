"""The fixtures, in pytest runs of their own: with and without pytest-asyncio, in both of its modes, and how lightly
the plugin loads."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from tests.compat.pytest_runs import PLUGIN, run_pytest

ROOT = Path(__file__).parents[3]
TESTS = """
    import asyncio
    import pytest
    from odradek.client import TopicExistsError

    def test_blocking(odradek_broker):
        host, _, port = odradek_broker.bootstrap_servers.partition(":")
        assert host == "127.0.0.1" and int(port) > 0
        odradek_broker.create_topic("orders")

    def test_each_has_its_own(odradek_broker, odradek_topic):
        odradek_broker.create_topic("orders")
        with pytest.raises(TopicExistsError):
            odradek_broker.create_topic(odradek_topic)

    addresses = set()

    @pytest.mark.parametrize("number", [1, 2])
    def test_the_sessions_is_one_and_topics_do_not_meet(odradek_session_broker, odradek_topic, number):
        addresses.add(odradek_session_broker.bootstrap_servers)
        assert len(addresses) == 1
        assert odradek_topic.startswith("test_the_sessions_is_one_and_topics_do_not_meet-")
        with pytest.raises(TopicExistsError):
            odradek_session_broker.create_topic(odradek_topic)
        assert not odradek_session_broker.faults.is_armed("Fetch")
        odradek_session_broker.faults.fail("Fetch", error="UNKNOWN_SERVER_ERROR")

    def test_a_topic_alone_is_the_sessions(odradek_topic):
        assert odradek_topic

    @pytest.mark.odradek(settings={"num.partitions": 3}, grpc=True, partitions=2)
    def test_marked(odradek_broker, odradek_topic):
        async def partitions(name):
            async with odradek_broker.broker.admin() as admin:
                return (await admin.get_topic(name)).partition_count
        odradek_broker.create_topic("orders", partitions=-1)
        assert odradek_broker.run(partitions("orders")) == 3
        assert odradek_broker.run(partitions(odradek_topic)) == 2
"""
ASYNC = """
    import asyncio
    import pytest

    {mark}
    @pytest.mark.odradek(grpc=True)
    async def test_awaiting(odradek_broker, odradek_topic):
        from odradek.client import Consumer, Producer
        servers = odradek_broker.grpc_servers
        async with Producer(servers) as producer, Consumer(servers, topics=[odradek_topic]) as consumer:
            await producer.publish(odradek_topic, b"one")
            record = await asyncio.wait_for(anext(aiter(consumer)), 20)
        assert record.value == b"one"
"""


def written(folder: Path, source: str, ini: str = "") -> Path:
    lines = source.strip("\n").splitlines()
    (folder / "test_it.py").write_text("\n".join(line.removeprefix("    ") for line in lines))
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}")
    return folder


def test_the_distribution_names_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"odradek": PLUGIN}


def test_tests_that_block_need_no_other_plugin(tmp_path: Path) -> None:
    done = run_pytest(written(tmp_path, TESTS), "--strict-markers", "-W", "error", plugins=False)
    assert "6 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("ini", "mark"), [("asyncio_mode = auto", ""), ("asyncio_mode = strict", "@pytest.mark.asyncio")]
)
def test_tests_that_await_and_tests_that_block_share_the_fixtures(
    tmp_path: Path, ini: str, mark: str
) -> None:
    done = run_pytest(written(tmp_path, TESTS + ASYNC.format(mark=mark), ini))
    assert "7 passed" in done.stdout, done.stdout + done.stderr


def test_ini_options_are_for_every_broker(tmp_path: Path) -> None:
    source = """
    def partitions(broker):
        async def asked():
            async with broker.broker.admin() as admin:
                return (await admin.get_topic("orders")).partition_count
        broker.create_topic("orders", partitions=-1)
        return broker.run(asked())

    def test_own(odradek_broker):
        assert partitions(odradek_broker) == 4

    def test_sessions(odradek_session_broker):
        assert partitions(odradek_session_broker) == 4
    """
    ini = "odradek_grpc = true\nodradek_settings =\n    num.partitions = 4\n    log.retention.ms=1000\n"
    done = run_pytest(written(tmp_path, source, ini), plugins=False)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_what_is_wrong_with_a_mark_is_said(tmp_path: Path) -> None:
    source = """
    import pytest

    @pytest.mark.odradek(setings={})
    def test_name(odradek_broker): ...

    @pytest.mark.odradek(3)
    def test_place(odradek_broker): ...

    @pytest.mark.odradek(settings={"num.partition": 3})
    def test_setting(odradek_broker): ...
    """
    done = run_pytest(written(tmp_path, source), plugins=False)
    assert "3 errors" in done.stdout, done.stdout + done.stderr
    assert "setings; it takes configs, data, grpc, partitions, settings" in done.stdout
    assert "an argument without a name" in done.stdout
    assert "did you mean num.partitions" in done.stdout


def test_what_is_wrong_with_an_option_is_said(tmp_path: Path) -> None:
    source = """
    def test_it(odradek_broker): ...
    """
    done = run_pytest(written(tmp_path, source, "odradek_settings = num.partitions"), plugins=False)
    assert "1 error" in done.stdout and "expected name=value" in done.stdout, done.stdout + done.stderr


def test_loading_the_plugin_imports_nothing_of_a_broker(tmp_path: Path) -> None:
    source = """
    import sys

    def test_it():
        ours = {name for name in sys.modules if name.startswith("odradek.")}
        assert ours == {"odradek.testing", "odradek.testing.pytest_plugin"}
        assert not {"grpc", "google.protobuf", "asyncio", "uvloop", "zstandard", "yaml"} & set(sys.modules)
    """
    done = run_pytest(written(tmp_path, source), plugins=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
