"""The schema of ``comparison.json``: what each value must be, whichever version wrote it."""

from __future__ import annotations

from ..core.schema import (
    any_number,
    anything,
    flag,
    list_of,
    map_of,
    maybe,
    number,
    one_of,
    record,
    text,
    whole,
)

_PART = record({"label": text, "reference": maybe(text)}, closed=True)
_ARM = record(
    {
        "label": text,
        "strategy": _PART,
        "optimizer": _PART,
        "hyperparameters": map_of(anything),
        "lr": number,
        "chunk": whole(1),
    },
    {"lr_scaling": one_of("none", "linear", "sqrt"), "schedule": text, "clip": maybe(number)},
    closed=True,
)
_REPEAT = record({"rates": map_of(list_of(number)), "seeds": list_of(whole()), "best": map_of(number)})
_TUNING = record(
    {"rates": map_of(list_of(number)), "seeds": whole(1)},
    {"closer": whole(), "repeats": list_of(_REPEAT)},
)
COMPARISON_SCHEMA = record(
    {
        "workload": _PART,
        "arms": list_of(_ARM),
        "seeds": list_of(whole()),
        "budget": record({"unit": text, "amount": number}, closed=True),
        "plugins": list_of(text),
    },
    {
        "device": text,
        "dtype": text,
        "autocast": maybe(text),
        "threads": whole(1),
        "deterministic": flag,
        "eval_chunk": whole(1),
        "measure": whole(),
        "trainer": text,
        "order": text,
        "goal": maybe(text),
        "errors": list_of(text),
        "baseline": maybe(text),
        "control": maybe(text),
        "tuning": maybe(_TUNING),
        "plane": flag,
        "diagnostics": list_of(_PART),
        "diagnose_every": whole(1),
        "stop_at_goal": flag,
        "goal_window": number,
        "margin": maybe(number),
        "recalibrate": flag,
        "split_seeds": whole(1),
    },
    closed=True,
)
"""As :meth:`.Comparison.from_json` reads it."""

_AGREEMENT = record({}, {"checked": whole(), "apart": any_number, "tolerance": any_number}, closed=True)
_REFERENCE = record(
    {}, {"updates": map_of(whole()), "remarks": list_of(text), "uncut": map_of(list_of(text))}, closed=True
)
_TRAITS = record(
    {}, {"norm": text, "kept": number, "sample": text, "drawing": list_of(text), "dataset": flag}, closed=True
)
_PLUGIN = record({"source": text, "sha256": maybe(text)}, {"name": text, "version": maybe(text)})
_NOISE = record(
    {"update": whole(), "trace": any_number, "squared": any_number, "batch_size": whole(1)},
    {
        "traces": list_of(any_number),
        "squares": list_of(any_number),
        "arm": text,
        "seed": whole(),
        "rows": maybe(whole()),
    },
)
_TIMED = record(
    {"arm": text, "batch_size": whole(1), "seconds": any_number}, {"round": whole(), "updates": whole()}
)
_ENVIRONMENT = record(
    {},
    {
        **dict.fromkeys(("optcompare", "python", "torch", "numpy", "platform", "device", "started"), text),
        **dict.fromkeys(("data_sha256", "workload_sha256", "code_sha256"), maybe(text)),
        "cpus": maybe(whole()),
        "threads": whole(1),
        "jobs": whole(1),
        "splits_sha256": list_of(maybe(text)),
        "plugins": list_of(_PLUGIN),
        "trainers": list_of(text),
        "reference": maybe(_REFERENCE),
        "traits": _TRAITS,
        "agreement": maybe(_AGREEMENT),
        "earlier": list_of(map_of(anything)),
        "noise": list_of(_NOISE),
        "update_times": list_of(_TIMED),
        "moving_averages": map_of(map_of(any_number)),
    },
)
_CLAIM = record(
    {"arm": text, "baseline": text, "measure": text, "claims": text},
    {"p": maybe(any_number), "p_holm": maybe(any_number)},
)
_CHECK = record(
    {"name": text, "held": flag, "detail": text}, {"data": maybe(map_of(anything))}, closed=True
)
RUN_SCHEMA = record(
    {
        "status": one_of("running", "finished", "interrupted"),
        "comparison": COMPARISON_SCHEMA,
        "certificate": list_of(_CHECK),
        "notes": list_of(text),
        "environment": _ENVIRONMENT,
    },
    {
        "verdict": maybe(list_of(text)),
        "claims": maybe(list_of(_CLAIM)),
        "files": maybe(map_of(text)),
        "looks": maybe(record({"bytes": whole(), "sha256": text})),
        "process": record({"host": text, "pid": whole()}, {"began": maybe(whole())}),
    },
)
"""The whole file; names that are not listed may be there too."""
CONFIG_SCHEMA = record({"comparison": COMPARISON_SCHEMA})
"""What ``run --config`` needs of it."""

LOOK_SCHEMA = record(
    {
        "trials": text,
        "seeds": whole(),
        "counted": flag,
        "shown": list_of(list_of(text)),
        "claims": list_of(list_of(text)),
    }
)
"""A line of ``looks.jsonl``."""
