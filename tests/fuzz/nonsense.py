"""Random specs, commands and edits: each is made from its number alone, so that one that fails can be tried
again.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

NAMES = [
    "full",
    "mini",
    "single",
    "replacement",
    "once",
    "sequential",
    "growth",
    "norm_test",
    "norm-test",
    "inner_product",
    "cabs",
    "noise_scale",
    "grab",
    "sgd",
    "adam",
    "lbfgs",
    "adamw",
    "rmsprop",
    "line",
    "quadratic",
    "step",
    "cosine",
    "warmup-cosine",
    "sharpness",
    "grad_norm",
    "noise_scale",
    "none",
    "nothing",
    "",
]
KEYS = [
    "batch_size",
    "tail",
    "lr",
    "momentum",
    "betas",
    "nesterov",
    "weight_decay",
    "schedule",
    "clip",
    "rows",
    "theta",
    "gamma",
    "parts",
    "floor",
    "warmup",
    "start",
    "n",
    "h",
    "growth",
    "every",
    "k",
    "x",
]
VALUES = [
    "0",
    "1",
    "2",
    "3",
    "32",
    "-1",
    "0.5",
    "1e-3",
    "1e400",
    "-0.0",
    "nan",
    "inf",
    "true",
    "false",
    "none",
    "keep",
    "drop",
    "merge",
    "(0.9,0.999)",
    "(1,)",
    "()",
    "(((1)))",
    "'a b'",
    '"x:y"',
    "'",
    '"',
    "((",
    ")",
    "10" * 20,
    "1" * 5000,
    "9" * 19,
    "٣",
    "²",
    "\0",
    "\ud800",
    "é",
    "名",
    "=",
    "1_000",
    "0x10",
    " 7 ",
    "cosine",
    "a" * 2000,
    "(" * 2000,
    "(" * 2000 + ")" * 2000,
]
NOISE = [
    ":",
    ",",
    "@",
    "=",
    "(",
    ")",
    "'",
    '"',
    " ",
    "\n",
    "\0",
    "\\",
    "/",
    "..",
    "~",
    "%",
    "$",
    "*",
    "[",
    "#",
]

WHOLES = [
    "0",
    "1",
    "2",
    "3",
    "-1",
    "10",
    "1000000",
    "10000000",
    "1" + "0" * 20,
    "1" * 5000,
    "x",
    "",
    "1.5",
    "nan",
]
FLOATS = ["0", "0.1", "1", "-1", "1e-300", "1e308", "1e400", "nan", "inf", "-inf", "x", ""]
PLAIN: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    3,
    2**62,
    2**63,
    10**30,
    0.5,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "full",
    "a\0b",
    "\ud800",
    "名" * 300,
    "../..",
    [],
    [1],
    ["x"],
    [[]],
    [None],
    {},
    {"a": 1},
    {"": None},
]


def spec(number: int) -> str:
    """A list of things with parameters, nearly as one writes it."""
    r = random.Random(f"spec {number}")
    text = ",".join(_item(r) for _ in range(r.choice((1, 1, 1, 2, 3))))
    for _ in range(r.choice((0, 0, 1, 3))):
        place = r.randint(0, len(text))
        text = text[:place] + r.choice(NOISE) + text[place + r.randint(0, 1) :]
    return text


def _item(r: random.Random) -> str:
    thing = _thing(r)
    return f"{thing}@{_thing(r)}" if r.random() < 0.3 else thing


def _thing(r: random.Random) -> str:
    parts = [r.choice(NAMES)]
    parts += [r.choice(VALUES) for _ in range(r.choice((0, 0, 1, 2)))]
    parts += [f"{r.choice(KEYS)}={r.choice(VALUES)}" for _ in range(r.choice((0, 0, 1, 2)))]
    return ":".join(parts)


def command(number: int, run: Path) -> list[str]:
    """The arguments of a command that trains nothing; ``run``: a run directory."""
    r = random.Random(f"command {number}")
    name = r.choice(
        ["run", "run", "run", "scaling", "report", "report", "verify", "list", "plugins", "check", "nothing"]
    )
    options: dict[str, Callable[[], list[str]]] = {
        **{f"--{name}": lambda: [r.choice(WHOLES)] for name in _WHOLES.get(name, ())},
        **{f"--{name}": lambda: [r.choice(FLOATS)] for name in _FLOATS.get(name, ())},
        **{
            f"--{name}": lambda: [r.choice([spec(r.randrange(10**6)), r.choice(VALUES)])]
            for name in _TEXTS.get(name, ())
        },
        **{f"--{name}": lambda: [] for name in _FLAGS.get(name, ())},
    }
    chosen = r.sample(sorted(options), min(len(options), r.choice((0, 1, 1, 2, 3))))
    arguments = [name, *(part for option in chosen for part in (option, *options[option]()))]
    if name in ("run", "scaling"):
        arguments += ["--dry-run"]
        if "--workload" not in chosen:
            arguments += ["--workload", "line"]
    if name == "report":
        arguments += [
            str(run),
            *([] if r.random() < 0.2 else ["--table", r.choice(["csv", "md", "latex", "nothing"])]),
        ]
    if name == "verify":
        arguments += [str(run), *(["--trials", r.choice(["0", "1", "-1", "x", "1" * 5000, "²"])])]
    if name in ("list", "check"):
        arguments += [r.choice(["strategies", "workloads", "nothing", "", "gone.py", ".."])]
    return ["x" if "\0" in part and part.startswith("--") else part for part in arguments]


_WHOLES = {
    "run": [
        "seeds",
        "first-seed",
        "epochs",
        "updates",
        "samples",
        "measure",
        "tune",
        "tune-seeds",
        "tune-repeats",
        "split-seeds",
        "diagnose-every",
        "chunk",
        "eval-chunk",
        "threads",
        "jobs",
    ],
    "scaling": ["seeds", "first-seed", "tune", "tune-seeds", "max-epochs", "threads", "jobs"],
}
_FLOATS = {
    "run": ["clip", "margin", "seconds", "lr", "checkpoint"],
    "scaling": ["goal-window"],
    "report": ["width", "dpi"],
}
_TEXTS = {
    "run": [
        "strategies",
        "optimizers",
        "schedule",
        "goal",
        "baseline",
        "tune-range",
        "diagnostics",
        "memory",
        "keep-states",
        "format",
        "metric",
        "device",
        "dtype",
        "trainer",
        "executor",
        "lr-scaling",
        "config",
        "resume",
    ],
    "scaling": ["batch-sizes", "tune-range", "goal", "memory", "optimizers"],
    "report": ["figure", "x", "format", "metric", "label", "color"],
}
_FLAGS = {
    "run": ["control", "plane", "json", "quiet", "force"],
    "scaling": ["json", "quiet"],
    "report": ["wide"],
}


def edit_json(number: int, path: Path) -> str:
    """Edit one place of a JSON file; what was done, in words."""
    r = random.Random(f"json {number}")
    values = json.loads(path.read_text("utf-8"))
    places = list(_places(values))
    parent, key, where = r.choice(
        places if r.random() < 0.5 else [one for one in places if len(one[2]) < 4] or places
    )
    how = r.choice(["replace", "replace", "replace", "delete", "wrap", "rename", "deep", "long"])
    if how == "replace":
        parent[key] = r.choice(PLAIN)
    elif how == "delete":
        del parent[key]
    elif how == "wrap":
        parent[key] = r.choice([[parent[key]], {"x": parent[key]}, str(parent[key])])
    elif how == "rename" and isinstance(parent, dict):
        parent[r.choice(["x", "", "a\0", "label"])] = parent.pop(key)
    elif how == "long":
        parent[key] = r.choice(
            ["x" * 10**6, "x" * (10**6 * 2), [0] * 10**5, {str(i): i for i in range(10**4)}]
        )
    elif how == "deep":
        parent[key] = "HERE"
    text = json.dumps(values)
    depth = r.choice([30, 900, 5_000, 200_000])
    path.write_text(text.replace('"HERE"', "[" * depth + "]" * depth), "utf-8")
    return f"{how} {'.'.join(map(str, where))}"


def _places(values: Any, where: tuple[Any, ...] = ()) -> Any:
    pairs = (
        values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    )
    for key, value in list(pairs):
        yield values, key, (*where, key)
        yield from _places(value, (*where, key))


def edit_table(number: int, run: Path) -> str:
    """Edit one file of a run directory that is no JSON; what was done, in words."""
    r = random.Random(f"table {number}")
    tables = ["records.parquet", "records.parquet", "trials.parquet", "trials.parquet", "paths.parquet"]
    path = run / r.choice([*tables, "looks.jsonl", "summary.csv"])
    kind = (
        r.choice(["bytes", "cut", "pipe", "directory", "empty", "device"]) if r.random() < 0.25 else "values"
    )
    if kind == "values" and path.suffix == ".parquet":
        return f"{path.name}: {_edit_values(r, path)}"
    if kind == "values":
        kind = r.choice(["line", "bytes"])
    content = path.read_bytes()
    path.unlink()
    if kind == "bytes":
        changed = bytearray(content)
        for _ in range(r.choice((1, 20))):
            changed[r.randrange(len(changed))] = r.randrange(256)
        path.write_bytes(changed)
    elif kind == "cut":
        path.write_bytes(content[: r.randrange(len(content))])
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "line":
        line = r.choice(["{}", "[]", "1", "[" * 100_000, '{"trials": 1}', "null", '"\\u0000"', "NaN", "{"])
        path.write_bytes(content + line.encode() + b"\n")
    else:
        path.write_bytes(b"")
    return f"{path.name}: {kind}"


def _edit_values(r: random.Random, path: Path) -> str:
    table = pq.read_table(path).to_pandas()
    column = r.choice(list(table.columns))
    row = r.randrange(len(table))
    how = r.choice(
        [
            "value",
            "value",
            "value",
            "column",
            "drop",
            "rename",
            "no rows",
            "rows again",
            "cast",
            "double",
            "nested",
        ]
    )
    if how == "value":
        values = table[column].astype(object).tolist()
        values[row] = r.choice(
            [
                None,
                float("nan"),
                float("inf"),
                -1,
                0,
                2**62,
                -(2**63),
                1e308,
                True,
                "x",
                "a\0b",
                "",
                "名" * 400,
            ]
        )
        table[column] = values
    elif how == "column":
        table[column] = r.choice([None, float("inf"), -1, 2**62, "x", 0, float("nan"), True])
    elif how == "drop":
        table = table.drop(columns=column)
    elif how == "rename":
        table = table.rename(columns={column: r.choice(["x", "", "train_loss", "a\0", "seed"])})
    elif how == "no rows":
        table = table[:0]
    elif how == "rows again":
        table = pd.concat([table] * r.choice((2, 3, 200)), ignore_index=True)
    elif how == "cast":
        table[column] = table[column].astype(str)
    elif how == "nested":
        table[column] = [[1]] * len(table)
    elif how == "double" and pd.api.types.is_numeric_dtype(table[column]):
        table[column] = table[column].astype(np.float64) * r.choice([1.5, 1e300, float("inf")])
    try:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):  # no such column can be written
        path.write_bytes(b"PAR1")
    return f"{how} {column}"
