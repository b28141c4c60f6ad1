"""Time and memory of what is done with many trials: 1,000, 10,000 and 100,000 of 20 records each.

``python tests/benchmarks/size.py [TRIALS...]`` writes a run of ten arms through the journal and the result,
as training would, and then plans, resumes, sums up and draws it. Each phase is a process of its own and
reports its time without that of imports, that of the processor alone (others may use the machine), and its
peak of resident memory. The goals at 100,000 trials: no phase above 2048 MiB, a resume under 10 s, a report
under 60 s. ``files`` is how many the directory held before it was compacted.
"""

from __future__ import annotations

import hashlib
import json
import math
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

ARMS, EPOCHS, ROWS = 10, 14, 32
WORKLOAD = f"""
import torch
from optcompare import Workload

def accuracy(output, y):
    return (output.argmax(1) == y).sum(), len(y)

def make():
    x = torch.linspace(-1, 1, {ROWS} * 2).reshape(-1, 2)
    y = (x[:, 0] > 0).long()
    return Workload(
        model=lambda: torch.nn.Linear(2, 2), train=(x, y), valid=(x, y),
        loss=torch.nn.functional.cross_entropy,
        metrics={{"accuracy": accuracy}}, lr=0.1, epochs={EPOCHS},
    )
"""
MARKS = [0, *(2**power for power in range(6)), *(ROWS * epoch for epoch in range(2, EPOCHS + 1))]


def prepared(directory: Path, trials: int) -> Any:
    """Ten learning rates of one strategy that is measured at every mark."""
    from optcompare.core.comparison import Budget
    from optcompare.planning.prepare import prepare
    from optcompare.planning.question import Question
    from optcompare.registry.manager import Registry

    file = directory.with_suffix(".py")
    file.write_text(WORKLOAD)
    return prepare(
        Registry.load(),
        Question(
            workload=f"{file}:make",
            strategies=["single"],
            lr=[0.01 * 1.6**arm for arm in range(ARMS)],
            seeds=tuple(range(trials // ARMS)),
            budget=Budget("epochs", EPOCHS),
            goal="valid_loss=0.2",
        ),
    )


def plan(directory: Path, trials: int) -> Iterator[None]:
    import optcompare.execution.run

    assert optcompare.execution.run
    yield
    one = prepared(directory, trials)
    assert len(one.setup.comparison.trials()) == trials
    json.dumps(one.setup.comparison.to_json(), indent=2)


def write(directory: Path, trials: int) -> Iterator[None]:
    """What training leaves; the time is that of the journal and of the result, not of making the rows up."""
    import pandas as pd

    from optcompare.analysis.certificate import Agreement, Evidence
    from optcompare.execution.table_order import as_planned
    from optcompare.report.result import Result
    from optcompare.results.description import describe
    from optcompare.storage.journal import Journal
    from optcompare.storage.provenance import describe_environment
    from optcompare.storage.run_dir import write_json
    from optcompare.storage.run_tables import forget_parts

    one = prepared(directory, trials)
    comparison = one.setup.comparison
    environment = describe_environment(
        one.registry, one.setup.workload, one.trainer.device, comparison.threads
    )
    directory.mkdir()
    write_json(directory, describe(comparison, "running", environment, [], []))
    evidence = Evidence(comparison, [])
    journal = Journal(directory, lambda trial, outcome: None)
    for number, trial in enumerate(comparison.trials()):
        records, outcome, orders = made_up(comparison, trial)
        yield
        evidence.first_record(trial, records[0])
        evidence.trial_ended(trial, outcome, orders)
        journal.add(trial, outcome, records)
        if number == trials - 1:
            journal.flush()
        yield
    most = sum(path.is_file() for path in directory.rglob("*"))
    yield
    tables = [
        as_planned(pd.concat(parts, ignore_index=True), comparison)
        for parts in zip(*journal.tables, strict=True)
    ]
    certificate = evidence.certificate(Agreement(0, 0.0, 1.0))
    result = Result(comparison, *tables, certificate, environment=environment)
    result.write(directory)
    forget_parts(directory)
    (directory / "files.txt").write_text(str(most))


def made_up(comparison: Any, trial: Any) -> tuple[list[dict[str, Any]], dict[str, Any], list[str]]:
    """A trial's records, its outcome and its orders' fingerprints; of the last arm one in a hundred
    diverges.
    """
    import numpy as np

    from optcompare.training.measurement.counters import Progress
    from optcompare.training.measurement.record import outcome_of, record_of

    arm = comparison.arms.index(trial.arm)
    start = 0.7 + 0.3 * np.random.default_rng(trial.seed).random()
    noise = np.random.default_rng((trial.seed, arm)).normal(size=len(MARKS))
    wild = arm == ARMS - 1 and trial.seed % 100 == 1
    prints = [hashlib.sha256(f"{trial.seed} {epoch}".encode()).hexdigest() for epoch in range(EPOCHS)]
    progress, records = Progress(batch_size=1, weights_sha256=prints[0]), []
    for place, mark in enumerate(MARKS):
        progress.samples = progress.updates = mark
        progress.train_seconds = 1e-4 * mark
        loss = start * math.exp(-(arm + 1) * mark / 1000 + 0.1 * noise[place] * (mark > 0))
        if wild and place > 4:
            loss = math.inf if place > 8 else loss * 10.0**place
        values = {"train_loss": loss, "valid_loss": 1.1 * loss, "valid_accuracy": 1 / (1 + loss)}
        records.append(record_of(comparison, trial, progress, ROWS, values, "measured"))
        if loss == math.inf:
            progress.status, progress.reason = "diverged", f"train_loss was inf at update {mark}"
            break
    begun = math.ceil(progress.samples / ROWS)
    progress.orders, progress.epoch, progress.checked = prints[:begun], begun, begun
    progress.batches = progress.final_sha256 = hashlib.sha256(f"{trial.seed} {arm}".encode()).hexdigest()
    progress.status = "finished" if progress.status == "running" else progress.status
    return records, outcome_of(trial, progress, comparison, "loop"), progress.orders


def resume(directory: Path, trials: int) -> Iterator[None]:
    """All that goes on with a run in which nothing is left to do: it is read, checked, written and drawn."""
    import optcompare.execution.run

    assert optcompare.execution.run
    yield
    on_command(["run", "--resume", str(directory), "--quiet", "--force"])


def summary(directory: Path, trials: int) -> Iterator[None]:
    from optcompare.report.loading import load

    yield
    result = load(directory)
    assert len(result.summary()) == ARMS
    assert len(result.pairs()) == ARMS - 1
    assert result.verdict()


def report(directory: Path, trials: int) -> Iterator[None]:
    yield
    on_command(["report", str(directory)])


def figure(kind: str) -> Callable[[Path, int], Iterator[None]]:
    def draw(directory: Path, trials: int) -> Iterator[None]:
        yield
        on_command(["report", str(directory), "--figure", kind])

    return draw


def on_command(line: list[str]) -> None:
    from optcompare.cli.main import main

    code: object = None
    try:
        main(line)
    except SystemExit as ended:
        code = ended.code
    assert code == 0, code


PHASES: dict[str, Callable[[Path, int], Iterator[None]]] = {
    "plan": plan,
    "write": write,
    "resume": resume,
    "summary": summary,
    "report": report,
    **{f"figure {kind}": figure(kind) for kind in ("final", "pairs", "goal")},
}


def measured(phase: str, directory: Path, trials: int) -> None:
    """Runs a phase, timing what lies after its first ``yield``; further ones stop and start the clock."""
    seconds, busy, steps, running = 0.0, 0.0, PHASES[phase](directory, trials), False
    while True:
        began, worked = perf_counter(), process_time()
        done = next(steps, steps) is steps
        if running:
            seconds, busy = seconds + perf_counter() - began, busy + process_time() - worked
        running = not running
        if done:
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    print(f"\n{seconds} {busy} {peak}")


def main(sizes: list[int]) -> None:
    print(f"{'trials':>8} {'phase':14} {'seconds':>8} {'CPU s':>8} {'MiB':>7}")
    for trials in sizes:
        with tempfile.TemporaryDirectory() as place:
            directory = Path(place) / "run"
            for phase in PHASES:
                command = [sys.executable, __file__, phase, str(directory), str(trials)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                seconds, busy, peak = map(float, done.stdout.splitlines()[-1].split())
                files = f"   {(directory / 'files.txt').read_text()} files" if phase == "write" else ""
                print(f"{trials:8,} {phase:14} {seconds:8.2f} {busy:8.2f} {peak:7.0f}{files}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in PHASES:
        measured(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main([int(text) for text in sys.argv[1:]] or [1_000, 10_000, 100_000])
