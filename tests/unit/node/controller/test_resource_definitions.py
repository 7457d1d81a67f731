from __future__ import annotations

import pytest

from odradek.node.config.definitions import broker_definition
from odradek.node.controller.resource_definitions import (
    check_match,
    check_offset_reset,
    client_metrics_definitions,
    group_configs,
)
from odradek.storage.config_types import InvalidValueError


def test_every_broker_setting_behind_a_group_config_exists_with_the_same_default() -> None:
    assert len(group_configs()) == 17
    for group in group_configs().values():
        bounds = (group.lower_bound_setting, group.upper_bound_setting)
        assert all(broker_definition(name) is not None for name in bounds if name)
        if group.default_setting:
            setting = broker_definition(group.default_setting)
            assert setting is not None
            assert (setting.value.default, setting.value.type) == (
                group.definition.default,
                group.definition.type,
            )


def test_names_are_in_order() -> None:
    assert list(group_configs()) == sorted(group_configs())
    assert list(client_metrics_definitions()) == ["interval.ms", "match", "metrics"]


@pytest.mark.parametrize("text", ["earliest", "latest", "by_duration:PT1H", "by_duration:P1DT0.5S"])
def test_starts_of_a_share_group(text: str) -> None:
    check_offset_reset(text)


@pytest.mark.parametrize(
    "text", ["", "none", "by_duration:", "by_duration:P", "by_duration:PT", "by_duration:-PT1H"]
)
def test_no_starts_of_a_share_group(text: str) -> None:
    with pytest.raises(InvalidValueError):
        check_offset_reset(text)


def test_selectors_of_clients() -> None:
    check_match("")
    check_match("client_id=a.*, client_source_port=9")
    for text in ("nope=a", "client_id", "client_id=["):
        with pytest.raises(InvalidValueError):
            check_match(text)
