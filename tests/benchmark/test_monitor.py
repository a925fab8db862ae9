"""The measurement of `scripts/monitor`: on few records here, on a million by `scripts/bench --monitor`."""

from __future__ import annotations

import re

import pytest

from scripts.commands import bench


@pytest.mark.slow
def test_answers_are_written_read_and_measured(capsys: pytest.CaptureFixture[str]) -> None:
    bench.main(["--monitor", "20000"])
    printed = capsys.readouterr().out
    found = re.search(r": 20,000 records of (\d+) bytes: .* processor time\), (\d+) MB at most$", printed)
    assert found, printed
    size, peak_mb = map(int, found.groups())
    assert 500 < size <= 1024
    assert 100 < peak_mb < 500
