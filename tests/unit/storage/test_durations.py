"""Measurements as plain integers."""

from __future__ import annotations

import pytest

from odradek.storage.durations import SUM, new_durations


@pytest.mark.parametrize(
    ("elapsed_ns", "bucket"), [(0, 0), (1, 1), (1023, 10), (1024, 11), (2**63 - 1, SUM - 1)]
)
def test_every_measurement_has_a_bucket_and_none_of_them_is_the_sum(elapsed_ns: int, bucket: int) -> None:
    durations = new_durations()
    durations[elapsed_ns.bit_length()] += 1
    durations[SUM] += elapsed_ns
    assert durations[bucket] == 1
    assert durations[SUM] == elapsed_ns
    assert sum(durations[:SUM]) == 1
    assert elapsed_ns < 2**bucket
