"""Counts: each has a largest value, and what lies above it is refused before anything is enumerated."""

from __future__ import annotations

import pytest

from optcompare import compare
from optcompare.core.bounds import MAX_JOBS, MAX_SEEDS, MAX_TRIALS, check_count, parse_count
from optcompare.errors import ComparisonError, OptcompareError
from tests.helpers.commands import run

HUGE = str(10**20)
LINES = {
    f"--seeds {HUGE}": "seeds must be at most 100,000, got 100,000,000,000,000,000,000",
    "--seeds 10000000 --dry-run": "seeds must be at most 100,000, got 10,000,000",
    f"--threads {HUGE}": "threads must be at most 1,024",
    f"--first-seed {HUGE}": "seeds must lie between 0 and 2**62-1",
    f"--jobs {HUGE} --dry-run": "jobs must be at most 1,024",
    f"--epochs {HUGE}": "epochs must be at most 9,007,199,254,740,992",
    f"--updates {HUGE}": "updates must be at most",
    f"--measure {HUGE}": "measure must be at most",
    f"--chunk {HUGE}": "--chunk must be at most",
    f"--eval-chunk {HUGE}": "--eval-chunk must be at most",
    f"--diagnose-every {HUGE}": "--diagnose-every must be at most",
    f"--split-seeds {HUGE}": "--split-seeds must be at most",
    f"--tune {HUGE}": "--tune must be at most 100",
    f"--tune 3 --tune-seeds {HUGE}": "--tune-seeds must be at most 100,000",
    f"--tune 3 --tune-repeats {HUGE}": "--tune-repeats must be at most 65,536",
    "--tune 5 --tune-repeats 60000": "this makes 2,700,000 tuning trials, and a comparison has at most "
    "500,000",
    "--seeds 100000 --strategies mini:1,mini:2,mini:3,mini:4,single,full": "this makes 600,000 trials",
    f"--strategies mini:{HUGE}": "batch_size must be an int",
}


@pytest.mark.parametrize("line", LINES)
def test_a_count_that_is_too_large_is_one_line(line, capsys):
    assert run("run", "--device", "cpu", *line.split()) == 2
    error = capsys.readouterr().err
    assert LINES[line] in error
    assert len(error.splitlines()) == 1


def test_commands_that_read_counts_of_texts_bound_them_too(capsys):
    assert run("verify", "nowhere", "--trials", "1" * 5000) == 2
    assert (
        "--trials must be at most 9,007,199,254,740,992, got a number of 5000 digits"
        in capsys.readouterr().err
    )
    assert run("scaling", "--batch-sizes", f"1,{'9' * 30}") == 2
    assert "--batch-sizes must be at most" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given",
    [
        {"seeds": 10**20},
        {"seeds": range(10**20)},
        {"epochs": 10**400},
        {"threads": 10**400},
        {"tune": 10**20},
        {"first_seed": 10**400},
        {"seeds": [10**400]},
        {"jobs": 10**20},
        {"first_seed": 0.5},
    ],
    ids=str,
)
def test_compare_bounds_its_counts_in_one_line(given):
    with pytest.raises(OptcompareError, match=r"must (be|lie)|at most") as error:
        compare("line", "full", device="cpu", **{"epochs": 1, "seeds": 1, **given})
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_number_at_the_bound_is_allowed():
    assert check_count("n", MAX_JOBS, 1, MAX_JOBS) == MAX_JOBS
    assert parse_count("n", f"000{MAX_SEEDS}", 1, MAX_SEEDS) == MAX_SEEDS < MAX_TRIALS
    with pytest.raises(ComparisonError, match="n must be at most 1,024, got 1,025"):
        check_count("n", MAX_JOBS + 1, 1, MAX_JOBS)
    with pytest.raises(ComparisonError, match="n must be a whole number, got '٣'"):
        parse_count("n", "٣")
