"""What the README shows is run, word for word but for the address."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.compat.conftest import PROPERTIES, on_kafka
from tests.compat.servers import HOST, Odradek, Server, quiet_ports

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAM = Path(sys.executable).parent / "odradek"
pytestmark = [pytest.mark.timeout(120), pytest.mark.skipif(on_kafka(), reason="it speaks gRPC")]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def the_block(language: str, with_text: str) -> str:
    (found,) = [block for block in blocks(language) if with_text in block]
    return str(found)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    (port,) = quiet_ports(1)
    properties = PROPERTIES | {"odradek.grpc.listener": f"{HOST}:{port}"}
    with Server(Odradek(), tmp_path_factory.mktemp("node"), properties) as server:
        server.start()
        yield f"{HOST}:{port}"


def run(command: list[str], *, text: str = "", environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=60, env=os.environ | (environ or {})
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_two_commands_with_a_node(address: str) -> None:
    at = {"ODRADEK_SERVER": address}
    block = the_block("sh", "odradek produce greetings")
    assert "echo 'hello' | odradek produce greetings" in block
    assert "odradek consume greetings -e -f '%t %p %o %s\\n'" in block
    run([str(PROGRAM), "produce", "greetings"], text="hello\n", environ=at)
    found = run([str(PROGRAM), "consume", "greetings", "-e", "-f", "%t %p %o %s\\n"], environ=at)
    assert found == "greetings 0 0 hello\n"


def test_the_consumer_of_twenty_lines(address: str, tmp_path: Path) -> None:
    code = the_block("python", "RecordServiceStub")
    assert len(code.strip().splitlines()) <= 20
    protos = [f"odradek/v1/{name}.proto" for name in ("record", "record_service")]
    made = [f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    run([sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}", *made, *protos])
    run([str(PROGRAM), "produce", "greetings"], text="again\n", environ={"ODRADEK_SERVER": address})
    (tmp_path / "consumer.py").write_text(code.replace("localhost:50051", address))
    program = subprocess.Popen(
        [sys.executable, "-u", "consumer.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        lines = iter(program.stdout.readline, "")
        assert any(line.endswith("again\n") for line in lines)
    finally:
        program.send_signal(signal.SIGKILL)
        program.communicate()


def test_the_client_for_python(address: str, tmp_path: Path) -> None:
    code = the_block("python", "from odradek.client import").replace("localhost:50051", address)
    code = code.replace(
        "print(record.partition, record.offset, record.value)", "print(record.value)\n        break"
    )
    body = "\n".join(f"    {line}" for line in code.splitlines())
    (tmp_path / "program.py").write_text(
        f"import asyncio\n\nasync def main():\n{body}\n\nasyncio.run(main())\n"
    )
    assert run([sys.executable, str(tmp_path / "program.py")]) == "b'42'\n"


def test_the_test(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(the_block("python", "odradek_broker"))
    assert "1 passed" in run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)])


def test_every_command_that_is_named_exists() -> None:
    for line in the_block("sh", "odradek doctor").splitlines():
        words = line.split("#")[0].split()
        depth = 2 if words[1] in ("topic", "group", "cluster", "config", "bench") else 1
        run([str(PROGRAM), *words[1 : 1 + depth], "--help"])
