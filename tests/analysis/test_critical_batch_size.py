"""The fit of updates to a goal over batch sizes, and what its intervals account for."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import least_squares
from scipy.stats import t

from optcompare.analysis.critical_batch_size import SizeEstimate, fit, fit_curve
from optcompare.analysis.scaling_curve import fit_rows
from tests.helpers.tables import INF, NAN

SIZES = (4, 16, 64, 256, 1024)


def study(by_size, **columns) -> pd.DataFrame:
    """Trials from updates by batch size, a list over seeds; further columns alike."""
    rows = []
    for size, updates in by_size.items():
        for seed, value in enumerate(updates):
            more = {name: by[size][seed] for name, by in columns.items()}
            rows.append(
                {"arm": f"mini:{size}", "batch_size": size, "seed": seed, "updates": float(value), **more}
            )
    return pd.DataFrame(rows)


def exact(sizes=SIZES, seeds=3) -> dict[int, list[float]]:
    """S = 50 + 1000/B on every seed."""
    return {size: [50 + 1000 / size] * seeds for size in sizes}


def noisy(seeds=5, sizes=SIZES) -> dict[int, list[float]]:
    rng = np.random.default_rng(0)
    return {size: list((50 + 1000 / size) * np.exp(0.15 * rng.normal(size=seeds))) for size in sizes}


def jittered(rng: np.random.Generator, noise: float) -> tuple[np.ndarray, np.ndarray]:
    sizes = 2.0 ** np.sort(rng.choice(11, rng.integers(3, 12), replace=False))
    return sizes, (50 + 1000 / sizes) * np.exp(noise * rng.normal(size=len(sizes)))


def by_scipy(sizes: np.ndarray, updates: np.ndarray) -> np.ndarray:
    def apart(both: np.ndarray) -> np.ndarray:
        return np.logaddexp(both[0], both[1] - np.log(sizes)) - np.log(updates)

    start = [np.log(updates.min()) - 0.1, np.log((updates * sizes).min()) - 0.1]
    found = least_squares(apart, start, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    return np.exp(found.x)


class TestCurve:
    def test_exact_data_give_their_numbers(self):
        assert fit_curve(SIZES, [50 + 1000 / size for size in SIZES]) == pytest.approx((50, 1000), rel=1e-9)

    @pytest.mark.parametrize("noise", [0.02, 0.1, 0.2])
    def test_it_agrees_with_scipy(self, noise):
        rng, compared = np.random.default_rng(1), 0
        for _ in range(60):
            sizes, updates = jittered(rng, noise)
            other = by_scipy(sizes, updates)
            if 0.1 <= other[1] / other[0] <= 1e4:  # else the fit has hardly any S_min or E_min
                compared += 1
                assert fit_curve(sizes, updates) == pytest.approx(other, rel=1e-6)
        assert compared >= 50

    def test_many_rows_are_fitted_as_each_alone(self):
        rng = np.random.default_rng(2)
        logs = np.log(50 + 1000 / np.array(SIZES)) + 0.2 * rng.normal(size=(7, 5))
        logs[1, 2] = logs[2, [0, 4]] = NAN
        for row, values in zip(fit_rows(np.array(SIZES, dtype=float), logs), logs, strict=True):
            known = np.isfinite(values)
            s_min, e_min = fit_curve(np.array(SIZES)[known], np.exp(values[known]))
            assert np.exp(row) == pytest.approx([s_min, e_min, e_min / s_min], rel=1e-9)

    def test_a_row_of_one_size_has_no_fit(self):
        assert np.isnan(fit_rows(np.array([1.0, 2.0]), np.array([[3.0, NAN]]))).all()

    @pytest.mark.parametrize(
        ("updates", "knee"),
        [
            ([100.0, 50, 25, 12.5], 8 * math.exp(8)),
            ([100.0] * 4, math.exp(-8)),
            ([1.0, 2, 4, 8], math.exp(-8)),
        ],
        ids=["perfect scaling", "updates the same", "more updates for larger batches"],
    )
    def test_without_a_knee_it_ends_far_beyond_the_sizes(self, updates, knee):
        s_min, e_min = fit_curve([1, 2, 4, 8], updates)
        assert e_min / s_min == pytest.approx(knee)
        assert max(s_min, e_min) == pytest.approx(100 if updates[0] == 100 else 8**0.5, rel=1e-3)


class TestFit:
    def test_exact_data_give_both_definitions(self):
        found = fit(study(exact()))
        assert found.updates == pytest.approx((50, 50, 50))
        assert found.samples == pytest.approx((1000, 1000, 1000))
        assert found.critical == pytest.approx((20, 20, 20))
        assert found.twenty_percent == pytest.approx((4, 4, 4))
        assert found.regions == pytest.approx((4, 100))
        assert found.without_size == pytest.approx(dict.fromkeys(SIZES, 20))
        assert found.without_tuning_seed == ()
        assert found.seeds == 3

    def test_definitions_are_what_they_say(self):
        """At the knee 2·S_min and 2·E_min; at B = 4 samples, and at B = 100 updates, are 20% above their
        least.
        """
        found = fit(study(exact()))
        assert found.at(20) == pytest.approx(100)
        assert 20 * found.at(20) == pytest.approx(2000)
        assert 4 * found.at(4) == pytest.approx(1200)
        assert found.at(100) == pytest.approx(60)

    def test_means_of_logarithms_are_fitted(self):
        found = fit(study({size: [value / 2, value * 2] for size, (value, _) in exact(seeds=2).items()}))
        assert found.critical.value == pytest.approx(20)
        assert found.updates.value == pytest.approx(50)

    def test_residuals_name_the_worst_size(self):
        costs = exact()
        costs[64] = [1.5 * value for value in costs[64]]
        found = fit(study(costs))
        assert found.worst[0] == 64
        assert found.residuals[64] == pytest.approx(math.log(1.5 * (50 + 1000 / 64) / found.at(64)))
        assert found.worst[1] == pytest.approx(1.5 * (50 + 1000 / 64) / found.at(64) - 1)
        assert found.without_size[64] == pytest.approx(20)
        assert found.critical.low < 20 < found.critical.high

    @pytest.mark.parametrize("lost", [INF, NAN, 0.0])
    def test_a_size_at_which_a_seed_missed_is_not_fitted(self, lost):
        costs = exact()
        costs[4] = [1.0, lost, 1.0]
        assert sorted(fit(study(costs)).residuals) == [16, 64, 256, 1024]
        assert fit(study({size: costs[size] for size in (4, 16, 64)})) is None

    def test_nothing_is_fitted_to_nothing(self):
        assert fit(study(exact()).iloc[:0]) is None


class TestInterval:
    def test_it_is_the_sum_of_the_jackknifes_over_sizes_and_seeds(self):
        """Recomputed one fit at a time: v = Σ (m-1)/m·Σ(θ_i - θ̄)², df = v²/Σ(v_j²/(m_j - 1))."""
        costs = noisy()
        table = np.log(pd.DataFrame(costs))

        def knee(logs: pd.DataFrame) -> float:
            s_min, e_min = fit_curve(list(logs.columns), np.exp(logs.mean()))
            return math.log(e_min / s_min)

        sizes = np.array([knee(table.drop(columns=size)) for size in SIZES])
        seeds = np.array([knee(table.drop(index=seed)) for seed in table.index])
        parts = [(m - 1) / m * ((each - each.mean()) ** 2).sum() for m, each in ((5, sizes), (5, seeds))]
        freedom = sum(parts) ** 2 / (parts[0] ** 2 / 4 + parts[1] ** 2 / 4)
        assert 4 < freedom < 8
        found = fit(study(costs))
        assert found.without_size == pytest.approx(dict(zip(SIZES, np.exp(sizes), strict=True)))
        half = t.ppf(0.975, freedom) * math.sqrt(sum(parts))
        ends = [math.exp(knee(table) + sign * half) for sign in (0, -1, 1)]
        assert found.critical == pytest.approx(ends)
        assert found.twenty_percent == pytest.approx([0.2 * end for end in ends])

    def test_one_seed_leaves_the_sizes_to_say_how_sure_it_is(self):
        found = fit(study(noisy(seeds=1)))
        assert found.seeds == 1
        assert found.critical.low < found.critical.value < found.critical.high

    def test_seeds_that_agree_cannot_hide_a_misplaced_size(self):
        """The t interval over seeds would have no width."""
        costs = exact(seeds=10)
        costs[16] = [1.2 * value for value in costs[16]]
        found = fit(study(costs))
        assert found.critical.high / found.critical.low > 1.5
        assert found.critical.low < 20 < found.critical.high

    @pytest.mark.parametrize(
        ("power", "known", "unknown"),
        [(-1.0, "samples", "updates"), (0.0, "updates", "samples"), (0.5, "updates", "samples")],
    )
    def test_a_knee_beyond_what_is_looked_for_has_no_interval(self, power, known, unknown):
        """All refits end at the same bound, so their spread would say that it is known exactly."""
        found = fit(study({size: [100.0 * size**power, 110.0 * size**power] for size in SIZES}))
        assert not SIZES[0] / 1000 < found.critical.value < SIZES[-1] * 1000
        for name in ("critical", "twenty_percent", unknown):
            estimate = getattr(found, name)
            assert estimate.value > 0
            assert np.isnan([estimate.low, estimate.high]).all()
        estimate = getattr(found, known)
        assert estimate.low < estimate.value < estimate.high

    def test_three_sizes_have_a_wide_interval(self):
        found, five = (fit(study(noisy(sizes=sizes))) for sizes in ((4, 64, 1024), SIZES))
        width = [each.critical.high / each.critical.low for each in (found, five)]
        assert width[0] > width[1]


class TestResolution:
    def test_an_update_is_known_to_lie_after_the_evaluation_point_before(self):
        """Points 8 updates apart: the goal was reached at one of 93 … 100, in the middle at √(93·100) =
        96.44.
        """
        costs = {size: [100.0, 100.0] for size in SIZES}
        at = fit(study(costs, before={size: [92, 92] for size in SIZES}))
        assert at.updates.value == pytest.approx(math.sqrt(93 * 100), rel=1e-3)
        as_samples = fit(study(costs, resolution={size: [8.0 * size] * 2 for size in SIZES}))
        assert as_samples.updates == pytest.approx(at.updates)

    def test_a_short_last_batch_is_an_update(self):
        """20 samples in batches of 8, 8 and 4 are three updates."""
        costs = {size: [100.0] for size in (8, 16, 64)}
        short, whole = (fit(study(costs, resolution={8: [s], 16: [16.0], 64: [64.0]})) for s in (20.0, 24.0))
        assert short.critical == pytest.approx(whole.critical, nan_ok=True)

    def test_every_update_measured_is_exact(self):
        costs = exact()
        found = fit(study(costs, resolution={size: [float(size)] * 3 for size in SIZES}))
        assert found.critical == pytest.approx((20, 20, 20))
        unknown = fit(study(costs, resolution={size: [NAN] * 3 for size in SIZES}))
        assert unknown.critical == pytest.approx((20, 20, 20))

    def test_what_is_reached_at_the_first_point_is_known_from_the_first_update_on(self):
        found = fit(study({size: [9.0] for size in SIZES}, before={size: [0] for size in SIZES}))
        assert found.updates.value == pytest.approx(3, rel=1e-3)

    @pytest.mark.parametrize("seeds", [1, 4])
    def test_its_width_enters_the_variance_shared_by_all_seeds(self, seeds):
        """At 16 alone the updates lie within a factor 2, so their logarithm has the standard deviation
        log(2)/√12.
        """
        costs, before = exact(seeds=seeds), {size: [49 + 1000 / size] * seeds for size in SIZES}
        costs[16], before[16] = (
            [each * factor - off for each in costs[16]] for factor, off in ((2**0.5, 0), (0.5**0.5, 1))
        )
        found = fit(study(costs, before=before))
        assert found.critical.value == pytest.approx(20)
        ends = [
            np.log(fit_curve(SIZES, [(50 + 1000 / size) * (factor if size == 16 else 1) for size in SIZES]))
            for factor in (2 ** (1 / math.sqrt(12)), 2 ** (-1 / math.sqrt(12)))
        ]
        deviation = abs((ends[0][1] - ends[0][0]) - (ends[1][1] - ends[1][0])) / 2
        assert math.log(found.critical.high / 20) == pytest.approx(1.95996 * deviation, rel=1e-4)
        assert math.log(20 / found.critical.low) == pytest.approx(1.95996 * deviation, rel=1e-4)

    def test_the_same_trials_at_every_update_lie_within_the_interval_from_evaluation_points(self):
        """Five seeds of digits, measured 90 samples apart and at every update: 22.3 and 20.0; seeds alone
        gave 20.6 to 26.3.
        """
        large = {
            128: [51, 42, 49, 46, 51],
            512: [52, 51, 58, 50, 48],
            1024: [47, 40, 46, 43, 46],
        }
        coarse = {8: [169, 169, 203, 169, 158], 32: [85, 82, 85, 76, 82], **large}
        fine = {8: [162, 150, 167, 160, 147], 32: [78, 73, 85, 76, 69], **large}
        seen = fit(study(coarse, resolution={size: [90.0] * 5 for size in coarse}))
        true = fit(study(fine, resolution={size: [float(size)] * 5 for size in fine}))
        assert true.critical.value == pytest.approx(20.0, abs=0.05)
        assert seen.critical.low < 20.0 < seen.critical.high
        assert seen.critical.high / seen.critical.low > 1.5
        without = seen.without_size.values()
        assert (min(without), max(without)) == pytest.approx((21.2, 24.5), abs=0.1)


def retuned(by_seed) -> pd.DataFrame:
    """Factors by tuning seed and batch size."""
    rows = [(seed, size, ratio) for seed, ratios in by_seed.items() for size, ratio in ratios.items()]
    return pd.DataFrame(rows, columns=["left_out", "batch_size", "ratio"])


SAME = dict.fromkeys(SIZES, 1.0)


class TestRetuned:
    def test_the_same_rates_add_nothing(self):
        trials = study(noisy())
        found = fit(trials, retuned({7: SAME, 8: SAME, 9: SAME}))
        assert found.critical == pytest.approx(fit(trials).critical)
        assert found.without_tuning_seed == pytest.approx([found.critical.value] * 3)

    def test_a_rate_that_hangs_on_a_seed_widens_the_interval(self):
        trials = study(exact())
        found = fit(trials, retuned({7: SAME, 8: SAME | {4: 1.3}}))
        moved = fit(study(exact() | {4: [1.3 * 300] * 3}))
        assert found.without_tuning_seed == pytest.approx((20, moved.critical.value))
        half = (
            abs(math.log(moved.critical.value / 20)) / 2
        )  # v = (2-1)/2·Σ(θ - θ̄)² = (d/2)², df 1: t = 12.706
        assert math.log(found.critical.high / 20) == pytest.approx(12.706 * half, rel=1e-4)

    @pytest.mark.parametrize("unknown", ["nan", "missing"])
    def test_a_size_whose_factor_is_not_known_is_left_out_of_that_refit(self, unknown):
        trials = study(noisy())
        ratios = SAME | {16: NAN}
        if unknown == "missing":
            del ratios[16]
        found = fit(trials, retuned({7: SAME, 8: ratios}))
        assert found.without_tuning_seed == pytest.approx((found.critical.value, found.without_size[16]))

    def test_a_refit_to_fewer_than_three_sizes_is_not_made(self):
        trials = study(noisy())
        found = fit(trials, retuned({7: SAME, 8: {4: 1.0, 16: 1.0}, 9: SAME}))
        assert found.without_tuning_seed == pytest.approx(
            (found.critical.value, NAN, found.critical.value), nan_ok=True
        )
        assert found.critical == pytest.approx(fit(trials).critical)

    def test_arms_stand_for_sizes_and_those_of_other_curves_are_passed_over(self):
        table = retuned({7: SAME, 8: SAME | {4: 1.3}})
        by_arm = table.assign(arm=[f"mini:{size}" for size in table["batch_size"]]).drop(columns="batch_size")
        others = by_arm.assign(arm=by_arm["arm"] + " adam", ratio=9.0)
        trials = study(exact())
        assert fit(trials, pd.concat([by_arm, others])).critical == pytest.approx(fit(trials, table).critical)

    def test_without_a_second_tuning_seed_there_is_nothing_to_leave_out(self):
        trials = study(noisy())
        assert fit(trials, retuned({})) == fit(trials)


def test_an_estimate_times_a_factor():
    assert SizeEstimate(20.0, 10.0, 40.0).times(0.2) == pytest.approx((4, 2, 8))
