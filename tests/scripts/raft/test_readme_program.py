"""The program in raft/README.md is run as it is printed, with three voters and with one."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[3] / "raft" / "README.md"


@pytest.mark.parametrize("voters", ["[1, 2, 3]", "[1]"])
def test_the_dictionary_runs(voters: str, tmp_path: Path) -> None:
    match = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert match is not None
    program = tmp_path / "dictionary.py"
    program.write_text(match[1].replace("VOTERS = [1, 2, 3]", f"VOTERS = {voters}"))
    command = [sys.executable, str(program), str(tmp_path / "data")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{1 if voters == '[1]' else 3} copies of 1001 keys in term ")
