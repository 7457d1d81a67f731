from __future__ import annotations

from pathlib import Path

from tests.compat.pytest_runs import run_pytest

ROOT = Path(__file__).parents[2]
CONFTEST = f"""
import sys

sys.path.insert(0, {str(ROOT)!r})
from tests.compat.conftest import pytest_xdist_make_scheduler
"""
TESTS = """
import os
import time

import pytest


@pytest.mark.parametrize("number", range(6))
def test_it(number):
    with open("who", "a") as file:
        file.write(f"{__name__} {os.environ['PYTEST_XDIST_WORKER']}\\n")
    time.sleep(0.02)
"""


def test_divided_tests_stay_with_their_file_and_all_clusters_with_one_worker(tmp_path: Path) -> None:
    names = ("test_cluster_a", "test_one", "test_cluster_b", "test_two", "test_make_cluster")
    folder = tmp_path / "tests" / "compat"
    folder.mkdir(parents=True)
    (folder / "conftest.py").write_text(CONFTEST)
    for name in names:
        (folder / f"{name}.py").write_text(TESTS)
    run = run_pytest(tmp_path, "--rootdir=.", "-n", "2", "--dist", "loadfile", "tests/compat")
    assert run.returncode == 0, run.stdout + run.stderr
    ran = [line.split() for line in (tmp_path / "who").read_text().splitlines()]
    workers = {name: {worker for of, worker in ran if of == name} for name in names}
    assert all(len(found) == 1 for found in workers.values()), workers
    assert workers["test_cluster_a"] == workers["test_cluster_b"] == workers["test_make_cluster"]
    assert len({worker for _, worker in ran}) == 2
