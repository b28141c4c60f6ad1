"""What a batch-size study says: one line each, and no more than it knows."""

import math

import numpy as np
import pandas as pd
import pytest

from optcompare.analysis.batch_scaling import StudyContext, curves, pareto
from optcompare.analysis.scaling_words import words

EXACT = {2**power: 10 + 200 / 2**power for power in range(11)}


def table(costs, seeds=10, jitter=0.0, optimizer="sgd"):
    """Times to the goal of arms b1, b2, … by batch size, known to the update, and the arms."""
    random = np.random.default_rng(0)
    rows, arms = [], []
    for size, updates in costs.items():
        arms.append((f"b{size}", optimizer, size, 0.1 * size**0.5))
        for seed in range(seeds):
            own = updates * math.exp(jitter * random.standard_normal())
            rows.append((f"b{size}", seed, own * size, own, own * 1e-3, float(size), own - 1, own))
    return (
        pd.DataFrame(
            rows, columns=["arm", "seed", "samples", "updates", "seconds", "resolution", "before", "dip"]
        ),
        pd.DataFrame(arms, columns=["arm", "optimizer", "batch_size", "lr"]),
    )


def said(costs=None, beside=None, **settings):
    return words(curves(*table(costs or EXACT, **settings), beside), "train_loss=0.3", "9 epochs")


def line(lines, start):
    (found,) = [each for each in lines if each.startswith(start)]
    return found


def retuned(**ratios):
    """What leaving out each of two tuning seeds would change: by arm, two ratios."""
    rows = [(arm, seed, 0.1, ratio) for arm, both in ratios.items() for seed, ratio in enumerate(both)]
    return pd.DataFrame(rows, columns=["arm", "left_out", "lr", "ratio"])


def test_each_finding_is_a_line_that_fits_a_screen():
    """S = 10 + 200/B: knee 20, a fifth of it 4."""
    lines = said(
        jitter=0.05,
        beside=StudyContext(retuned=retuned(**{f"b{size}": (1.0, 1.0) for size in EXACT}), tuning_seeds=2),
    )
    starts = [
        "fewest samples: batch size ",
        "fewest updates: batch size ",
        "knee, twice the least of both (McCandlish 2018): ",
        "20% over perfect scaling (Zhang 2024): ",
        "curve: S = ",
        "how sure: ",
        "resolution: ",
        "without one of the tuning seeds: ",
        "goal: ",
    ]
    assert [start for start, each in zip(starts, lines, strict=True) if not each.startswith(start)] == []
    assert max(map(len, lines)) <= 105


def test_both_definitions_of_the_critical_batch_size_are_named():
    lines = said()
    assert line(lines, "knee") == "knee, twice the least of both (McCandlish 2018): 20, 95% interval 20 to 20"
    assert line(lines, "20%") == "20% over perfect scaling (Zhang 2024): 4, 95% interval 4 to 4"
    assert line(lines, "curve").startswith("curve: S = 10 + 200/B updates; it misses the means by up to 0%")


def test_a_size_is_set_apart_only_where_another_beats_it_beyond_chance():
    lines = said({1: 100, 2: 50.1, 64: 20}, jitter=0.05)
    assert line(lines, "fewest samples") == "fewest samples: batch size 2 (98.1); cannot be told apart: 1"
    assert line(lines, "fewest updates").endswith("; cannot be told apart: none")


def test_too_few_seeds_are_said_to_set_nothing_apart():
    """11 sizes at .035: .0035 a test, and 2^-9 is below it."""
    assert line(said(seeds=5), "fewest samples") == (
        "fewest samples: batch size 1 (210); 5 seeds cannot tell sizes apart, which takes 9"
    )
    assert "seeds cannot" not in line(said(seeds=9), "fewest samples")


def test_one_miss_does_not_hide_a_size():
    times, arms = table({1: 100, 2: 51, 4: 30})
    times.loc[(times["arm"] == "b2") & (times["seed"] == 0), ["samples", "updates"]] = math.inf
    lines = words(curves(times, arms), "train_loss=0.3", "9 epochs")
    assert line(lines, "fewest updates").endswith("; cannot be told apart: none")
    assert (
        line(lines, "missed")
        == "missed train_loss=0.3 within 9 epochs, and left out of the curve: 2 (1 of 10 seeds)"
    )


def test_a_size_that_misses_is_never_best():
    times, arms = table({1: 100, 2: 50, 4: 25, 8: 13})
    times.loc[times["arm"] == "b8", ["samples", "updates", "seconds"]] = math.inf
    (curve,) = curves(times, arms)
    assert curve.table["reached"].tolist() == [10, 10, 10, 0]
    assert not curve.table["fewest_updates"].iloc[3]
    assert line(words([curve], "g", "9 epochs"), "missed").endswith("8 (10 of 10 seeds)")


def test_where_nothing_reaches_the_goal_nothing_is_recommended():
    times, arms = table({1: 100, 2: 50})
    times[["samples", "updates", "seconds"]] = math.inf
    assert words(curves(times, arms), "train_loss=0.3", "9 epochs") == [
        "no batch size reaches train_loss=0.3 within 9 epochs on most seeds (0 of 20 trials do)",
        "so nothing is recommended: give an easier goal, more epochs or another range of learning rates",
    ]


def test_two_batch_sizes_are_too_few_for_a_curve():
    lines = said({1: 100, 2: 50})
    assert line(lines, "knee") == "knee: a curve takes 3 batch sizes at which all seeds have reached the goal"
    assert not [each for each in lines if each.startswith(("20%", "curve"))]


def timed(arms, seconds):
    return [
        {"arm": f"b{size}", "batch_size": size, "round": number, "updates": 5, "seconds": each}
        for size in arms
        for number, each in enumerate(seconds(size))
    ]


def test_seconds_are_spoken_of_where_one_clock_timed_all_sizes():
    """S·(1 ms + B·10 µs): at 32 16.25 updates of 1.32 ms, 21.45 ms; at 64 13.125 of 1.64 ms, 21.525 ms."""
    rounds = timed(EXACT, lambda size: [(1e-3 + 1e-5 * size) * factor for factor in (0.99, 1, 1.01)])
    (curve,) = curves(*table(EXACT), StudyContext(update_times=rounds))
    assert set(curve.table["clock"]) == {"timed"}
    row = curve.table[curve.table["batch_size"] == 128].iloc[0]
    expected = (10 + 200 / 128) * (1e-3 + 1.28e-3)
    assert row[["seconds", "seconds_low", "seconds_high"]].tolist() == pytest.approx(
        [expected, 0.99 * expected, 1.01 * expected]
    )
    found = line(words([curve], "g", "e"), "fewest seconds here")
    assert found.startswith(
        "fewest seconds here: batch size 32 (0.0212 to 0.0217 s); cannot be told apart: 64"
    )


@pytest.mark.parametrize("left", [{}, {1: "measured", 1024: "estimated"}])
def test_seconds_of_other_clocks_are_not_spoken_of(left):
    clocks = {f"b{size}": clock for size, clock in left.items()}
    (curve,) = curves(
        *table(EXACT), StudyContext(update_times=timed([1, 2, 4], lambda size: [1e-3]), clocks=clocks)
    )
    assert not [each for each in words([curve], "g", "e") if "seconds" in each]
    assert curve.table["clock"].iloc[0] == left.get(1, "")
    assert not curve.table["fewest_seconds"].any()


def test_overlapping_rounds_set_no_size_apart():
    rounds = timed([1, 2, 64], lambda size: [1e-3, 1e-2])
    (curve,) = curves(*table({1: 100, 2: 50.1, 64: 20}), StudyContext(update_times=rounds))
    assert curve.best["seconds"].alike == (1, 2)


def test_what_other_tuning_seeds_would_find_is_said():
    """Without the second seed 1 would take 10% longer: 231 samples beside the 214 at 2."""
    beside = StudyContext(retuned=retuned(b1=(1.0, 1.1), b2=(1.0, 1.0), b4=(1.0, 1.0)), tuning_seeds=2)
    lines = said({1: 210, 2: 107, 4: 60}, beside)
    assert line(lines, "without one").startswith(
        "without one of the tuning seeds: fewest samples 1 or 2, fewest updates 4, knee "
    )
    assert line(lines, "how sure") == "how sure: from 3 batch sizes, 10 seeds and 2 tuning seeds"


def test_a_goal_that_one_trial_leaves_open_is_known_on_the_others():
    times, arms = table({1: 100, 2: 50, 4: 25})
    times.loc[0, "before"] = 90.0
    lines = words(curves(times, arms), "g", "e")
    assert line(lines, "resolution").endswith("the goal is known to the update on 29 of 30 trials")


def test_an_unresolved_goal_is_said():
    times, arms = table({1: 100, 2: 50, 4: 25})
    times["before"] -= 4
    times.loc[times["arm"] == "b4", "resolution"] = 20.0
    lines = words(curves(times, arms), "g", "e")
    assert line(lines, "resolution").endswith(
        "the goal is known to 20.0% of the samples or better (worst at 4)"
    )
    assert (
        line(lines, "coarse") == "coarse, one step is more than 10% of the way: 4; a harder goal tells more"
    )


@pytest.mark.parametrize(
    ("scale", "ending"),
    [
        (20, "agree within a factor of two"),
        (200, "apart, it is 10 times the knee"),
        (39, "whether they agree within a factor of two is not known"),
    ],
)
def test_the_noise_scale_is_held_against_the_knee(scale, ending):
    points = pd.DataFrame(
        {"optimizer": "sgd", "arm": "b16", "seed": 3, "batch_size": 16, "rows": 80, "update": [0, 9]}
    )
    blocks = [[scale * factor for factor in (0.99, 1.0, 1.01, 1.0)]] * 2
    points = points.assign(trace=float(scale), squared=1.0, traces=blocks, squares=[[1.0] * 4] * 2)
    lines = said(beside=StudyContext(noise=points), jitter=0.02)
    found = line(lines, "noise scale: ")
    assert found.startswith(f"noise scale: {scale}, 95% interval ")
    assert found.endswith(" over rows (b16, seed 3, 2 points)")
    assert line(lines, "noise scale and knee: ") == f"noise scale and knee: {ending}"


def test_adams_memory_is_said_in_samples():
    """ln ½ / ln .999 = 692.8 updates."""
    averages = {f"b{size}": {"beta1": 0.9, "beta2": 0.999} for size in EXACT}
    lines = said(beside=StudyContext(averages=averages), optimizer="adam")
    assert line(lines, "memory of adam") == (
        "memory of adam, half-lives in samples at 1 and 1,024: beta1 6.58 and 6,737, beta2 693 and 709,428"
    )
    assert (
        line(lines, "its decay")
        == "its decay is fixed in updates, so that the critical batch size mixes batch size and memory"
    )
    assert not [each for each in said() if "memory" in each]


def test_the_noise_scale_is_said_to_underestimate_under_adam():
    points = pd.DataFrame(
        {"optimizer": "adam", "arm": "b16", "seed": 0, "batch_size": 16, "rows": 80, "update": [0, 9]}
    )
    points = points.assign(trace=20.0, squared=1.0)
    beside = StudyContext(
        noise=points, averages={f"b{size}": {"beta1": 0.9, "beta2": 0.999} for size in EXACT}
    )
    lines = said(beside=beside, optimizer="adam")
    assert line(lines, "under adam") == (
        "under adam the noise scale underestimates the critical batch size (Merrill 2025)"
    )


def test_the_rule_of_the_goal_and_its_bias_are_said():
    """ln 8 · 0.25²/6 = 2.2%."""
    times, arms = table(EXACT)
    times.loc[times["arm"] == "b64", "dip"] *= 0.82
    lines = words(curves(times, arms, StudyContext(window=0.25, start=8.0)), "g", "e")
    assert line(lines, "goal: ") == ("goal: reached by the mean over 0.75 to 1.25 times the samples")
    assert line(lines, "early") == "early: single values reach the goal up to 18% before (at 64)"
    assert line(lines, "bias left") == "bias left: a loss that falls exponentially reaches its mean 2.2% late"


def test_rates_that_jump_or_lie_at_an_edge_are_named():
    times, arms = table({8: 100, 32: 50, 128: 25, 512: 20, 2048: 18})
    arms["lr"] = [0.24, 0.48, 0.97, 0.62, 0.88]
    lines = words(curves(times, arms, StudyContext(at_edge={"b8": True})), "g", "e")
    assert line(lines, "tuned learning rate jumps") == "tuned learning rate jumps: 128"
    assert line(lines, "best learning rate") == "best learning rate at the edge of those tried: 8"


def test_each_line_names_its_optimizer_where_there_are_several():
    one, other = table(EXACT), table(EXACT, optimizer="adam")
    other[1]["arm"] += "@adam"
    other[0]["arm"] += "@adam"
    found = curves(*(pd.concat(both, ignore_index=True) for both in zip(one, other, strict=True)))
    lines = words(found, "g", "e")
    assert {each.partition(": ")[0] for each in lines} == {"sgd", "adam"}


def test_the_front_holds_what_no_other_betters():
    assert pareto([1, 2, 3, 3, math.inf], [9, 4, 5, 4, 1]) == [True, True, False, False, False]


def test_one_size_is_not_held_against_others():
    assert line(said({8: 30}), "fewest samples") == "fewest samples: batch size 8 (240), the only one tried"


def test_rates_of_sizes_that_miss_are_no_jumps():
    times, arms = table({8: 100, 32: 50, 128: 25, 512: 20, 2048: 18})
    times.loc[times["arm"] == "b128", ["samples", "updates"]] = math.inf
    arms["lr"] = [0.24, 0.48, 97.0, 1.5, 2.0]
    (curve,) = curves(times, arms)
    assert not curve.table["jumps"].any()


def test_a_seed_that_was_stopped_leaves_the_curve_to_the_others():
    times, arms = table(EXACT, seeds=4)
    times.loc[(times["seed"] == 3) & (times["arm"] != "b1"), ["samples", "updates"]] = math.nan
    (curve,) = curves(times, arms)
    assert curve.fit.seeds == 3
    assert curve.fit.critical.value == pytest.approx(20)


def test_no_line_is_wider_than_a_screen():
    """All that can be said at once."""
    points = pd.DataFrame(
        {"optimizer": "adam", "arm": "mini:16@adam:lr=0.01", "seed": 0, "batch_size": 16, "update": [0, 9]}
    )
    points = points.assign(
        rows=80, trace=20.0, squared=1.0, traces=[[19.0, 21, 20, 22]] * 2, squares=[[1.0] * 4] * 2
    )
    beside = StudyContext(
        averages={f"b{size}": {"beta1": 0.9, "beta2": 0.999} for size in EXACT},
        noise=points,
        window=0.25,
        start=8.0,
        retuned=retuned(**{f"b{size}": (1.0, 1.1) for size in EXACT}),
        tuning_seeds=2,
        at_edge={"b8": True},
        update_times=timed(EXACT, lambda size: [1e-3, 1.2e-3]),
    )
    times, arms = table(EXACT, jitter=0.2, optimizer="adam")
    times["dip"] *= 0.5
    times["before"] -= 2
    lines = words(curves(times, arms, beside), "train_loss=0.3", "100 epochs")
    assert max(map(len, lines)) <= 105
