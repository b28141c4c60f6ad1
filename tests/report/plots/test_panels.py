"""Panels: what is drawn in them, where they stand, and the plane of all arms' ways."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from torch import nn

from optcompare import ComparisonError, Panel, PluginError, Result, compare, load
from optcompare.analysis.pca import joint_plane
from optcompare.analysis.stability import stability_edges
from optcompare.registry.manager import Registry
from optcompare.report.figures import figure
from optcompare.report.panels import BUILTIN, make_panels, panel_entries
from optcompare.report.plots import style
from optcompare.report.plots.builtin_panels import PANELS, with_mean_batch_size
from optcompare.report.plots.panel_figure import panel_figure
from optcompare.training.measurement import projection
from tests.helpers.commands import run
from tests.helpers.figures import LONG, assert_readable, assert_rows_readable, labelled, names, said
from tests.helpers.trials import Press
from tests.helpers.workloads import small_workload

DIAGNOSTICS = ("noise_scale", "grad_cosine", "sharpness")


def with_diagnostics(result: Result) -> Result:
    """The result with columns that a run of diagnostics would have; every other record was not diagnosed."""
    records = result.records.copy()
    epoch, seed = records["epoch"].to_numpy(), records["seed"].to_numpy()
    records["sharpness"] = (10.0 + seed) * (1 + epoch)
    records["noise_scale"] = 5.0 * 2**epoch + seed
    records["grad_cosine"] = np.cos(epoch + seed)
    records.loc[np.arange(len(records)) % 2 == 1, list(DIAGNOSTICS)] = np.nan
    return replace(result, records=records)


@pytest.fixture(scope="module")
def plain() -> Result:
    return compare("line", ["full", "mini"], ["sgd", "sgd:momentum=0.5"], seeds=3, epochs=6)


@pytest.fixture(scope="module")
def diagnosed(plain) -> Result:
    return with_diagnostics(plain)


@pytest.fixture(scope="module")
def planar() -> Result:
    return compare(
        small_workload(64), ["full", "mini:8", "growth:4:factor=2.0:at=(2,4)"], seeds=2, epochs=6, plane=True
    )


def lines_of(fig: Figure, arm: str) -> np.ndarray:
    (line,) = labelled(fig.axes[0], arm)
    return np.asarray(line.get_xydata())


class TestWhatIsDrawn:
    @pytest.mark.parametrize("kind", DIAGNOSTICS)
    def test_the_median_over_seeds_at_the_marks_that_were_diagnosed(self, diagnosed, kind):
        fig = figure(kind, diagnosed)
        for arm, rows in diagnosed.records.dropna(subset=[kind]).groupby("arm"):
            by_seed = rows.pivot(index="epoch", columns="seed", values=kind).dropna()
            drawn = lines_of(fig, str(arm))
            np.testing.assert_allclose(drawn[:, 0], by_seed.index)
            np.testing.assert_allclose(drawn[:, 1], by_seed.median(axis=1))

    @pytest.mark.parametrize("x", ["updates", "samples", "seconds"])
    def test_over_another_axis(self, diagnosed, x):
        fig = figure("sharpness", diagnosed, x=x)
        assert fig.axes[0].get_xlabel().startswith({"seconds": "training time"}.get(x, x))
        assert_rows_readable(fig)

    def test_the_edge_is_two_over_the_rate_and_higher_with_momentum(self, diagnosed):
        fig = figure("sharpness", diagnosed)
        colours = style.arm_colours([arm.label for arm in diagnosed.comparison.arms])
        edges = {
            to_hex(line.get_color()).upper(): line.get_ydata() for line in labelled(fig.axes[0], "_edge")
        }
        assert len(edges) == 4
        for arm in diagnosed.comparison.arms:
            beta = 0.5 if "momentum" in arm.optimizer.label else 0.0
            np.testing.assert_allclose(edges[colours[arm.label]], 2 * (1 + beta) / arm.lr)
        low, high = fig.axes[0].get_ylim()
        assert all(low < edge < high for values in edges.values() for edge in values)

    @pytest.mark.slow
    def test_edges_that_lie_on_each_other_take_turns(self, diagnosed):
        patterns = {
            line.get_linestyle() + str(line._dash_pattern)
            for line in labelled(figure("sharpness", diagnosed).axes[0], "_edge")
        }
        assert len(patterns) == 2, "two arms of either edge, one dashed where the other is not"

    def test_samples_an_update_do_not_show_the_shorter_last_batch(self):
        result = compare(small_workload(10), "mini:4", seeds=1, epochs=3)
        assert set(result.records["batch_size"][1:]) == {4, 2}, "which the record of a whole epoch has"
        mean = with_mean_batch_size(result.records)["mean_batch_size"].tolist()
        assert math.isnan(mean[0])
        np.testing.assert_allclose(mean[-2:], 10 / 3)

    def test_samples_an_update_of_arms_that_grow(self, planar):
        drawn = lines_of(figure("batch_size", planar), "growth:4:factor=2.0:at=(2,4)")
        assert drawn[0, 1] == 4
        assert drawn[-1, 1] > 8
        assert set(lines_of(figure("batch_size", planar), "full")[:, 1]) == {64}

    def test_an_angle_has_its_whole_axis(self, diagnosed):
        ax = figure("grad_cosine", diagnosed).axes[0]
        assert ax.get_ylim() == (-1.05, 1.05)
        assert len(labelled(ax, "_zero")) == 1


class TestEdges:
    @pytest.mark.parametrize(
        ("optimizer", "edge"),
        [
            ("sgd", 20.0),
            ("sgd:momentum=0.9", 38.0),
            ("sgd:momentum=0.9:nesterov=true", 38.0 / 2.8),
            ("sgd:weight_decay=0.5", 19.5),
            ("sgd:momentum=0.9:dampening=0.9", math.nan),
            ("adam", math.nan),
        ],
    )
    def test_by_optimizer(self, optimizer, edge):
        """2(1+0.9)/0.1 = 38."""
        result = compare("line", "full", optimizer, lr=0.1, seeds=1, epochs=2)
        np.testing.assert_allclose(stability_edges(result.records, result.comparison), edge)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("optimizer", "factor"), [("sgd:momentum=0.6", 3.2), ("sgd:momentum=0.6:nesterov=true", 3.2 / 2.2)]
    )
    def test_it_is_where_a_parabola_begins_to_diverge(self, optimizer, factor):
        """f(w) = λw²/2 = mean of (√λ·w)²/2 over one sample: just below the edge it converges, just above it
        diverges.
        """
        finals = []
        for share in (0.98, 1.02):
            curvature = share * factor / 0.1
            workload = small_workload(
                1,
                train=(torch.full((1, 1), curvature**0.5), torch.zeros(1, 1)),
                model=lambda: nn.Linear(1, 1, bias=False),
                loss=lambda out, y: 0.5 * ((out - y) ** 2).mean(),
            )
            result = compare(
                workload, "full", optimizer, lr=0.1, seeds=1, epochs=400, dtype="float64", measure=0
            )
            finals.append(result.records["train_loss"].iloc[-1] / result.records["train_loss"].iloc[0])
        assert finals[0] < 1 < finals[1]

    def test_it_rises_where_a_schedule_lowers_the_rate(self):
        result = compare("line", "full", lr=0.1, seeds=2, epochs=4, schedule="cosine:floor=0.1")
        edges = stability_edges(result.records, result.comparison)
        np.testing.assert_allclose(edges[result.records["epoch"] == 0], 20)
        np.testing.assert_allclose(edges[result.records["epoch"] == 4], 200)


class TestWhereTheyStand:
    def test_a_plain_run_has_the_axes_that_it_had(self, plain):
        assert plain.wanted_panels() == []
        assert len(plain.plot().axes) == 3 + len(plain.comparison.arms)

    @pytest.mark.slow
    def test_at_most_three_beside_the_loss_and_the_others_are_named(self, diagnosed, planar):
        assert [name for name, _, _ in diagnosed.wanted_panels()] == [
            "sharpness",
            "noise_scale",
            "grad_cosine",
        ]
        assert len(diagnosed.plot().axes) == 3 + 3 + 4
        both = with_diagnostics(planar)
        fig = both.plot()
        assert len(fig.axes) == 6
        assert "Further panels: noise_scale, grad_cosine." in said(fig).replace("\n", " ")
        assert_readable(fig)

    @pytest.mark.slow
    def test_one_panel_and_two(self, planar):
        assert [name for name, _, _ in planar.wanted_panels()] == ["plane", "batch_size"]
        assert_readable(planar.plot())
        assert_readable(replace(planar, plane=None).plot())

    @pytest.mark.parametrize(
        "strategies", ["mini:4", "mini:3,full", "single", "replacement:4", "sequential:4"]
    )
    def test_batches_of_one_size_show_nothing(self, strategies):
        assert compare(small_workload(10), strategies, seeds=2, epochs=3).wanted_panels() == []

    def test_a_panel_that_fails_says_so_and_costs_nothing_else(self, plain):
        class Broken(Panel):
            def wants(self, table):
                return 1 / 0

        result = replace(plain, panels={"broken": Broken()})
        assert "panel broken failed: KeyError" in said(result.plot())
        with pytest.raises(PluginError, match="panel broken: ZeroDivisionError"):
            figure("broken", result)

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", PANELS)
    @pytest.mark.parametrize("width", [3.4, 7])
    @pytest.mark.parametrize(
        ("count", "label"), [(2, ""), (5, ""), (5, LONG), (12, ""), (2, "x" * 150 + "{}")]
    )
    def test_text_neither_overlaps_nor_leaves_the_page(self, kind, width, count, label):
        rng, arms = np.random.default_rng(0), names(count, label)
        epochs, seeds = np.arange(6.0), range(3)
        rows = [
            (arm, s, e, 10 ** rng.normal(i / 3, 0.2))
            for i, arm in enumerate(arms)
            for s in seeds
            for e in epochs
        ]
        table = pd.DataFrame(rows, columns=["arm", "seed", "epoch", "value"])
        table = table.assign(mark=table["epoch"], status="finished", samples=100 * table["epoch"], edge=20.0)
        table["update"] = (table["samples"] / 10).astype(int)
        table["train_loss"] = 1.0
        for name in (*DIAGNOSTICS, "batch_size"):
            table[name] = table["value"]
        points = {arm: [(u, rng.normal(size=5)) for u in range(4)] for arm in arms}
        shown = joint_plane(points, 0) if kind == "plane" else table
        assert_rows_readable(panel_figure(PANELS[kind](), shown, style.arm_colours(arms), width=width))


PLUGIN = """
from optcompare import Panel, hookimpl


class GradNorm(Panel):
    "The length of the gradient."
    column, name = "grad_norm", "gradient norm"


class Gap(Panel):
    "Validation loss less training loss."

    def wants(self, table):
        return "valid_loss" in table

    def missing(self):
        return "needs a validation loss"

    def limits(self, table):
        return super().limits(table.assign(gap=table["valid_loss"] - table["train_loss"]))

    def draw(self, ax, table, colours, x="epochs"):
        return super().draw(ax, table.assign(gap=table["valid_loss"] - table["train_loss"]), colours, x)

    column, name = "gap", "gap"


@hookimpl
def optcompare_panels():
    return {"grad_norm": GradNorm, "gap": Gap}
"""


def test_a_panel_with_the_old_name_of_its_explanation_is_drawn_with_a_warning():
    with pytest.warns(DeprecationWarning, match="Old.said is deprecated; rename it to explanation"):

        class Old(Panel):
            def said(self, table):
                return f"{super().said(table)}{len(table)} rows."

    assert Old().explanation(pd.DataFrame({"arm": ["full", "mini"]})) == "2 rows."


class TestStrangers:
    @pytest.fixture
    def plugin(self, tmp_path) -> Path:
        path = tmp_path / "my_panels.py"
        path.write_text(PLUGIN)
        return path

    @pytest.mark.slow
    def test_a_panel_by_plugin_file_is_listed_and_drawn(self, plugin, tmp_path, capsys):
        assert run("list", "panels", "--plugin", plugin) == 0
        listed = capsys.readouterr().out
        assert "gap  Validation loss less training loss." in listed
        assert all(name in listed for name in PANELS)
        out, args = tmp_path / "run", ("--strategies", "full,mini:8", "--seeds", 2, "--epochs", 2)
        assert run("run", "--workload", "diabetes", *args, "--plugin", plugin, "--out", out, "--quiet") == 0
        capsys.readouterr()
        formats = ("--format", "png,svg,pdf", "--width", "3.4", "--out", tmp_path)
        assert run("report", out, "--plugin", plugin, "--figure", "gap", *formats) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"plot: {out}-gap.{suffix}" for suffix in ("png", "svg", "pdf")
        ]
        assert run("report", out, "--plugin", plugin, "--figure", "grad_norm") == 2
        assert capsys.readouterr().err == (
            "error: the panel grad_norm needs the column grad_norm, which this run has not recorded\n"
        )
        assert run("report", out, "--figure", "gap") == 2
        assert "'gap' is none of loss, paths" in capsys.readouterr().err

    @pytest.mark.slow
    def test_it_stands_first_on_the_comparison_plot(self, plugin, diagnosed):
        result = replace(diagnosed, panels=make_panels(Registry.load([str(plugin)], kind="panels")))
        records = result.records.assign(grad_norm=1 + result.records["epoch"])
        result = replace(result, records=records)
        assert [name for name, _, _ in result.wanted_panels()][:2] == ["grad_norm", "sharpness"]
        assert "gradient norm" in [ax.get_ylabel() for ax in result.plot().axes]

    def test_what_is_no_panel_is_refused_with_its_plugin(self, tmp_path):
        wrong = tmp_path / "wrong.py"
        wrong.write_text(
            "import optcompare\n@optcompare.hookimpl\ndef optcompare_panels():\n    return {'mine': dict}\n"
        )
        with pytest.raises(PluginError, match=r"panel mine must be an optcompare\.Panel, got a dict"):
            make_panels(Registry.load([str(wrong)], kind="panels"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "batch_size",
            "the panel batch_size shows batch sizes that change, and no arm of this run changes its own",
        ),
        ("sharpness", "the panel sharpness needs the column sharpness, which this run has not recorded"),
        ("plane", "the panel plane needs the weights along the way; record them with plane"),
    ],
)
def test_nothing_to_draw_is_one_line(plain, tmp_path, capsys, kind, message):
    plain.save(tmp_path / "run")
    assert run("report", tmp_path / "run", "--figure", kind) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


class TestPlane:
    def test_a_way_that_lies_in_a_plane_is_explained_in_full(self):
        """Points of an ellipse with half axes 3 and 1, turned into ten dimensions: variances are 9/10 and
        1/10.
        """
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        turned = np.linalg.qr(np.random.default_rng(0).normal(size=(10, 10)))[0][:2]
        points = np.column_stack([3 * np.cos(angle), np.sin(angle)]) @ turned + 7
        half = {"a": list(enumerate(points[:20])), "b": list(enumerate(points[20:]))}
        found = joint_plane(half, seed=4)
        np.testing.assert_allclose(found[["explained_x", "explained_y"]].iloc[0], [0.9, 0.1])
        np.testing.assert_allclose(np.abs(found["x"]), np.abs(3 * np.cos(angle)), atol=1e-9)
        np.testing.assert_allclose(np.abs(found["y"]), np.abs(np.sin(angle)), atol=1e-9)
        assert set(found["seed"]) == {4}
        fig = panel_figure(PANELS["plane"](), found, style.arm_colours(["a", "b"]))
        assert "PCA 1: 90% of variance" in said(fig)
        assert "PCA 2: 10% of variance" in said(fig)
        assert "a random walk alone has 61% and 15%" in said(fig)

    def test_a_straight_way_and_none_at_all(self):
        line = joint_plane({"a": [(i, np.array([i, 2.0 * i, 0.0])) for i in range(5)]}, 0)
        np.testing.assert_allclose(line[["explained_x", "explained_y"]].iloc[0], [1, 0], atol=1e-12)
        still = joint_plane({"a": [(i, np.ones(3)) for i in range(5)]}, 0)
        assert not still[["x", "y", "explained_x", "explained_y"]].any(axis=None)
        for found in (line, still):
            assert_rows_readable(panel_figure(PANELS["plane"](), found, style.arm_colours(["a"])))

    @pytest.mark.slow
    def test_a_random_walk_has_the_variance_that_is_printed(self):
        """Antognini & Sohl-Dickstein 2018: 6/π² and a quarter of it."""
        steps = np.random.default_rng(0).normal(size=(250, 10_000))
        found = joint_plane({"a": list(enumerate(np.cumsum(steps, axis=0)))}, 0)
        np.testing.assert_allclose(found[["explained_x", "explained_y"]].iloc[0], [0.608, 0.152], atol=0.01)

    def test_it_is_the_plane_of_scikit_learn(self, planar):
        from sklearn.decomposition import PCA

        stack = np.random.default_rng(1).normal(size=(30, 50)) * np.geomspace(1, 9, 50)
        found = joint_plane({"a": list(enumerate(stack[:10])), "b": list(enumerate(stack[10:]))}, 0)
        pca = PCA(2).fit(stack)
        near = stack[found["fitted"]]
        assert len(near) == 30
        np.testing.assert_allclose(
            found[["explained_x", "explained_y"]].iloc[0], pca.explained_variance_ratio_
        )
        np.testing.assert_allclose(np.abs(found[["x", "y"]]), np.abs(pca.transform(stack)))

    def test_an_arm_that_ran_away_is_not_what_the_plane_is_fitted_to(self):
        rng = np.random.default_rng(0)
        near = {name: [(i, 0.1 * i * rng.normal(size=4)) for i in range(6)] for name in "ab"}
        away = [(i, np.full(4, 10.0**i)) for i in range(6)] + [(6, np.full(4, np.inf))]
        found = joint_plane({**near, "c": away}, 0)
        assert found.groupby("arm")["fitted"].first().to_dict() == {"a": True, "b": True, "c": False}
        assert len(found) == 18
        alone = joint_plane(near, 0)
        np.testing.assert_allclose(found["explained_x"].iloc[0], alone["explained_x"].iloc[0])
        fig = panel_figure(PANELS["plane"](), found, style.arm_colours(["a", "b", "c"]))
        assert "Far outside: c." in said(fig)
        assert_rows_readable(fig)

    def test_arms_begin_at_one_place_and_end_where_their_weights_are(self, planar):
        starts = planar.plane[planar.plane["update"] == 0]
        assert list(starts["arm"]) == ["full", "mini:8", "growth:4:factor=2.0:at=(2,4)"]
        assert starts[["x", "y"]].nunique().tolist() == [1, 1]
        assert set(planar.plane["seed"]) == {0}
        for arm, rows in planar.plane.groupby("arm"):
            marks = planar.records[(planar.records["arm"] == arm) & (planar.records["seed"] == 0)]["update"]
            assert rows["update"].tolist() == marks.tolist()
        ends = planar.plane.groupby("arm", sort=False)[["x", "y"]].last()
        models = [
            torch.cat([w.detach().reshape(-1) for w in planar.model(arm, 0).parameters()])
            for arm in ends.index
        ]
        apart, drawn = (models[0] - models[1]).norm(), np.linalg.norm(ends.iloc[0] - ends.iloc[1])
        assert drawn <= float(apart) * (1 + 1e-5)
        assert drawn > 0.5 * float(apart)

    @pytest.mark.slow
    def test_it_is_saved_loaded_and_drawn(self, planar, tmp_path):
        planar.save(tmp_path / "run")
        back = load(tmp_path / "run")
        pd.testing.assert_frame_equal(back.plane, planar.plane)
        assert back.comparison.plane
        assert run("report", tmp_path / "run", "--figure", "plane", "--width", "3.4", "--out", tmp_path) == 0
        assert (tmp_path / "run-plane.png").is_file()

    def test_nothing_is_kept_unless_it_is_asked_for(self, plain, planar):
        assert plain.plane is None
        with_it = planar.records.drop(columns="seconds")
        without = compare(
            small_workload(64), ["full", "mini:8", "growth:4:factor=2.0:at=(2,4)"], seeds=2, epochs=6
        )
        pd.testing.assert_frame_equal(without.records.drop(columns="seconds"), with_it)

    @pytest.mark.slow
    def test_jobs_and_lanes_give_the_same(self, planar):
        question = {
            "strategies": ["full", "mini:8", "growth:4:factor=2.0:at=(2,4)"],
            "seeds": 2,
            "epochs": 6,
            "plane": True,
        }
        parallel = compare(small_workload(64), **question, jobs=2)
        pd.testing.assert_frame_equal(parallel.plane, planar.plane)
        lanes = compare(small_workload(64), **question, trainer="lanes")
        assert set(lanes.trials["trainer"]) == {"lanes"}
        pd.testing.assert_frame_equal(lanes.plane, planar.plane, atol=1e-4)

    @pytest.mark.slow
    def test_a_run_that_was_stopped_and_goes_on_has_the_same(self, tmp_path, monkeypatch):
        monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)
        question = {
            "strategies": ["full", "mini:2"],
            "seeds": 2,
            "epochs": 6,
            "plane": True,
            "trainer": "loop",
        }
        whole = compare("line", **question)
        cut = compare("line", **question, out=tmp_path / "run", observer=Press(12))
        assert cut.status == "interrupted"
        assert len(cut.plane) < len(whole.plane)
        pd.testing.assert_frame_equal(compare("line", **question, resume=tmp_path / "run").plane, whole.plane)
        pd.testing.assert_frame_equal(load(tmp_path / "run").plane, whole.plane)

    @pytest.mark.slow
    def test_merged_runs_have_none(self, tmp_path):
        from optcompare.report.loading import load_all

        for name, arm in (("a", "full"), ("b", "mini:2")):
            compare("line", arm, seeds=1, epochs=2, plane=True, out=tmp_path / name)
        (merged,) = load_all([tmp_path / "a", tmp_path / "b"])
        with pytest.raises(ComparisonError, match="plane needs the weights along the way"):
            figure("plane", merged)


class TestSketch:
    def test_few_weights_are_kept_as_they_are_and_not_the_same_memory(self):
        weights = [torch.arange(6.0).reshape(2, 3), torch.tensor([7.0])]
        kept = projection.sketch(weights)
        weights[0] += 1
        assert kept.tolist() == [0, 1, 2, 3, 4, 5, 7]

    def test_of_many_a_linear_map_that_keeps_distances_and_leaves_generators_alone(self, monkeypatch):
        monkeypatch.setattr(projection, "_BLOCK", 7001)
        generator = torch.Generator().manual_seed(1)
        a, b = (torch.randn(50_000, generator=generator, dtype=torch.float64) for _ in range(2))
        state = torch.get_rng_state()
        one, two, both = (projection.sketch([part[:30_000], part[30_000:]]) for part in (a, b, a + 2 * b))
        assert torch.equal(state, torch.get_rng_state())
        assert one.shape == (4096,)
        torch.testing.assert_close(both, one + 2 * two)
        for real, kept in ((a, one), (a - b, one - two)):
            assert float(kept.norm() / real.norm()) == pytest.approx(1, abs=0.08)

    def test_many_snapshots_are_thinned_but_for_the_ends(self):
        from optcompare.training.measurement.counters import Progress

        progress = Progress()
        for progress.updates in range(5000):
            progress.keep_snapshot(torch.zeros(1))
        kept = [update for update, _ in progress.snapshots]
        assert len(kept) <= 256
        assert kept[0] == 0
        assert kept[-1] == 4999
        assert kept == sorted(kept)


def test_the_paths_of_panels_are_those_of_the_panels():
    entries = panel_entries(Registry())
    assert {name: entry.factory for name, entry in entries.items()} == PANELS
    assert list(BUILTIN) == list(PANELS)
