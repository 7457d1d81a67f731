from __future__ import annotations

from pathlib import Path

import pytest

from odradek.client.cli.profiles import (
    Profile,
    ProfileError,
    Profiles,
    UnknownProfileError,
    choose,
    format_profiles,
    parse_profiles,
    parse_servers,
    profiles_path,
    read_profiles,
    write_profiles,
)

TWO = Profiles("b", {"a": Profile(("h:1",)), "b": Profile(("[::1]:2", "i:3"), 'x"y')})


def test_the_file_says_what_it_was_told() -> None:
    assert parse_profiles(format_profiles(TWO)) == TWO
    assert parse_profiles(format_profiles(Profiles())) == Profiles()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = ", "not TOML"),
        ("other = 1", "unknown: other; allowed: current"),
        ('current = "a"', "none of its profiles"),
        ("[profiles.a]", "servers has to be a list"),
        ('[profiles.a]\nservers = ["h"]\nport = 1', "allowed are servers"),
        ('[profiles.a]\nservers = ["h:99999"]', "is no server"),
        ('[profiles."a b"]\nservers = ["h"]', "is no name"),
    ],
)
def test_wrong_files(text: str, said: str) -> None:
    with pytest.raises(ProfileError, match=said):
        parse_profiles(text)


def test_servers() -> None:
    assert parse_servers("a:1, b,[::1]:5,[::2]") == ("a:1", "b:50051", "[::1]:5", "[::2]:50051")
    for wrong in ("", "a:b", "a:0", "a b:1", "a,,b"):
        with pytest.raises(ProfileError, match="host:port"):
            parse_servers(wrong)


def test_changes() -> None:
    assert TWO.without("b").current is None and TWO.without("a").current == "b"
    assert TWO.using("a").current == "a"
    with pytest.raises(UnknownProfileError, match="there are: a, b"):
        TWO.using("c")


def test_where_the_file_is() -> None:
    assert profiles_path({"ODRADEK_CONFIG": "/x.toml"}) == "/x.toml"
    assert profiles_path({}).endswith("/.config/odradek/profiles.toml")


def test_who_wins(tmp_path: Path) -> None:
    file = {"ODRADEK_CONFIG": str(tmp_path / "deep" / "p.toml")}
    named = {**file, "ODRADEK_SERVER": "env:1"}
    assert choose(None, None, file).servers == ("localhost:50051",)
    write_profiles(file, TWO)
    assert read_profiles(file) == TWO
    assert choose(None, None, file) == TWO.by_name["b"]
    assert choose(None, None, named).servers == ("env:1",)
    assert choose(None, "a", named).servers == ("h:1",)
    assert choose(["flag:1"], None, named).servers == ("flag:1",)
    assert choose(["flag:1"], "b", named) == Profile(("flag:1",), 'x"y')
    with pytest.raises(UnknownProfileError):
        choose(None, "c", file)


def test_a_broken_file_names_itself(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("[")
    with pytest.raises(ProfileError, match=r"p\.toml: not TOML"):
        read_profiles({"ODRADEK_CONFIG": str(tmp_path / "p.toml")})
