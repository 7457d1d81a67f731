from __future__ import annotations

import subprocess
import sys

import pytest

from odradek.proto.kafka import api
from odradek.proto.kafka.api import APIS, ApiKey
from odradek.proto.kafka.schema import NO_VERSION


def test_91_keys_are_live_and_four_are_not() -> None:
    assert sorted(APIS) == [key for key in range(95) if key not in (4, 5, 6, 7)]


@pytest.mark.parametrize("key", sorted(APIS))
def test_the_index_says_what_the_classes_say(key: int) -> None:
    facts = APIS[key]
    request, response = api.request_class(key), api.response_class(key)
    assert (request.__name__, response.__name__) == (f"{facts.name}Request", f"{facts.name}Response")
    for cls in (request, response):
        assert cls.INFO.key == key
        assert cls.INFO.versions == (facts.first, facts.last)
        assert cls.INFO.flexible_from == facts.flexible_from
    assert request.INFO.latest_unstable == facts.latest_unstable
    assert ApiKey(key).name.replace("_", "").lower() == facts.name.lower()


def test_ranges() -> None:
    assert api.versions(ApiKey.PRODUCE) == (3, 13)
    assert api.versions(ApiKey.FETCH) == (4, 18)
    assert api.versions(ApiKey.API_VERSIONS) == (0, 5)


def test_only_one_newest_version_is_unstable() -> None:
    assert [found.key for found in APIS.values() if found.latest_unstable] == [ApiKey.INIT_PRODUCER_ID]
    assert api.api(ApiKey.INIT_PRODUCER_ID).last_stable == 5
    assert api.api(ApiKey.FETCH).last_stable == 18


def test_flexible_versions() -> None:
    assert not api.is_flexible(ApiKey.PRODUCE, 8)
    assert api.is_flexible(ApiKey.PRODUCE, 9)
    assert [key for key, found in APIS.items() if found.flexible_from == NO_VERSION] == [
        ApiKey.SASL_HANDSHAKE,
        ApiKey.OFFSET_DELETE,
    ]


def test_a_key_that_is_not_live() -> None:
    for call in (api.api, api.versions, api.request_class, api.response_class):
        with pytest.raises(KeyError):
            call(4)


def test_families_are_imported_when_asked_for() -> None:
    program = (
        "import sys; from odradek.proto.kafka import api; api.request_class(0);"
        "print(*sorted(n for n in sys.modules if n.startswith('odradek.proto.kafka.messages.')))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert output.split() == [f"odradek.proto.kafka.messages.{name}" for name in ("index", "produce")]
