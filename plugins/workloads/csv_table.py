"""The user's own table; whatever is decided about it is told in the workload's notes."""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from optcompare import Workload, WorkloadError, accuracy, hookimpl

if TYPE_CHECKING:
    import pandas as pd

Task = Literal["auto", "regression", "classification"]
FEWEST_TO_SPLIT = 10
MOST_CATEGORIES = 100


def table(path: Path, y: str, *, task: Task = "auto", hidden: int = 32, valid: float = 0.2) -> Workload:
    """A CSV file of your own: column y from all other columns, by one layer of hidden ReLUs or linearly (hidden=0).

    Numbers are standardised, a missing one is the median; text becomes one input for each category, and missing is
    a category of its own; ISO dates are days. Medians, scales and categories come from the training rows alone.
    """
    if task not in get_args(Task):
        raise WorkloadError(f"workload csv: task is one of {', '.join(get_args(Task))}; got {task}")
    if hidden < 0:
        raise WorkloadError(f"workload csv: hidden is a number of units, 0 for a linear model; got {hidden}")
    if not 0 < valid < 1:
        raise WorkloadError(f"workload csv: valid is the share of rows held out, between 0 and 1; got {valid}")
    notes: list[str] = []
    target, features = _cleaned(_read(path, y), y, notes)
    classify = _classifies(target, task, notes)
    train, held_out = _split(target, classify, valid, notes)
    x = torch.tensor(_encoder(features.iloc[train], notes).transform(features), dtype=torch.float32)
    answers, width, objective = _objective(target, train, classify, notes)
    notes.insert(0, f"csv: {len(train)} training and {len(held_out)} validation rows, {x.shape[1]} inputs")
    return Workload(
        model=lambda: _model(x.shape[1], hidden, width),
        train=(x[train], answers[train]),
        valid=(x[held_out], answers[held_out]) if len(held_out) else None,
        **objective,
        lr={"sgd": _rate(x[train], classify), "adam": 0.003, "adamw": 0.003},
        epochs=max(5, min(50, 30_000 // len(train))),  # few for a large table, where single-sample updates take long
        batch_size=max(2, min(32, len(train) // 8)),
        notes=tuple(notes),
    )


def _read(path: Path, y: str) -> pd.DataFrame:
    file = Path(path)
    if not file.is_file():
        what = "is a directory" if file.is_dir() else "does not exist"
        raise WorkloadError(f"workload csv: {path} {what}; give the path of a CSV file")
    try:
        header, frame = _parsed(file)
    except (OSError, ValueError) as error:
        cause = " ".join(str(error).split())
        raise WorkloadError(f"workload csv: {path} is no CSV table in UTF-8 with a header line: {cause}") from error
    if header.count(y) > 1:
        raise WorkloadError(f"workload csv: {path} has {header.count(y)} columns '{y}'; rename all but one of them")
    if y not in frame:
        close = difflib.get_close_matches(y, header, 1, 0.5)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        raise WorkloadError(f"workload csv: {path} has no column '{y}'{hint}; its header line holds {_listed(header)}")
    if frame.empty:
        raise WorkloadError(f"workload csv: {path} has a header line and no rows below it")
    return frame


def _parsed(file: Path) -> tuple[list[str], pd.DataFrame]:
    """The header line as written, and the table as pandas types it."""
    import pandas as pd

    with file.open("rb") as stream:
        if b"\0" in stream.read(4096):
            raise ValueError("it holds zero bytes, as binary files and UTF-16 do")
    options: dict[str, Any] = {"compression": None, "skipinitialspace": True, "index_col": False, "low_memory": False}
    first: dict[str, Any] = {"header": None, "nrows": 1, "dtype": str, "na_filter": False}
    header: list[str] = pd.read_csv(file, **first, **options).iloc[0].tolist()
    if len(header) == 1:
        separator = max(",;\t|", key=header[0].count)
        # Spreadsheets write ';' where the decimal sign is a comma.
        options |= {"sep": separator, "decimal": "," if separator == ";" else "."}
        header = pd.read_csv(file, **first, **options).iloc[0].tolist()
    with warnings.catch_warnings(record=True) as cut:
        warnings.simplefilter("always", pd.errors.ParserWarning)
        frame = pd.read_csv(file, **options)
    if any(warning.category is pd.errors.ParserWarning for warning in cut):
        raise ValueError("its rows have more values than its header has names")
    return header, frame


def _cleaned(frame: pd.DataFrame, y: str, notes: list[str]) -> tuple[pd.Series[Any], pd.DataFrame]:
    """Column y where it is known, and the other columns of those rows."""
    import pandas as pd

    target = frame[y].dropna().infer_objects()
    if not pd.api.types.is_bool_dtype(target):
        target = _typed(target, notes).dropna()
    if len(target) < len(frame):
        notes.append(f"csv: {len(frame) - len(target)} of {len(frame)} rows have no y and are left out")
    others = frame.loc[target.index].drop(columns=y)
    for name in [name for name in others if str(name).startswith("Unnamed: ")]:
        notes.append(f"csv: '{name}' is left out: a column without a name mostly numbers the rows")
        del others[name]
    typed = {name: _typed(others[name], notes) for name in others}
    return target.reset_index(drop=True), pd.DataFrame(typed, target.index).reset_index(drop=True)


def _typed(column: pd.Series[Any], notes: list[str]) -> pd.Series[Any]:
    """The column as floats if it holds numbers, booleans or ISO dates, else as it is."""
    import numpy as np
    import pandas as pd

    known = column.dropna()
    numbers = pd.to_numeric(known, errors="coerce").astype(float).replace([np.inf, -np.inf], np.nan)
    if numbers.count() >= 0.9 * len(known):
        if numbers.count() < len(known):
            odd = _listed(known[numbers.isna()].unique())
            notes.append(f"csv: '{column.name}' is numeric, and {odd} there is taken as missing")
        return numbers.reindex(column.index)
    times = pd.to_datetime(known, errors="coerce", format="ISO8601", utc=True)
    if times.notna().all():
        notes.append(f"csv: '{column.name}' holds dates, taken as a number of days")
        return ((times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)).reindex(column.index)
    return column


def _classifies(y: pd.Series[Any], task: Task, notes: list[str]) -> bool:
    """Whether y is to be taken as classes; says so, and how to change it."""
    rows, kinds, numeric = len(y), y.nunique(), y.dtype == float
    kind = "numeric" if numeric else "true or false" if y.dtype == bool else "text"
    if kinds < 2:
        value = _listed(y[:1]) if rows else "missing"
        raise WorkloadError(f"workload csv: y = '{y.name}' is {value} in every row; choose a column that varies")
    if task == "regression" and kind == "text":
        raise WorkloadError(f"workload csv: task=regression needs numbers; y = '{y.name}' holds {_listed(y.unique())}")
    if task == "auto":
        two = kinds == 2 and rows >= 4
        few = numeric and kinds <= 10 and rows >= 5 * kinds and bool((y % 1 == 0).all())
        task = "classification" if not numeric or two or few else "regression"
    if task == "classification" and rows < 2 * kinds:
        raise WorkloadError(
            f"workload csv: y = '{y.name}' has {kinds} distinct values in {rows} rows, too many to be classes; "
            f"choose another column{' or task=regression' if numeric else ''}"
        )
    other = "regression" if task == "classification" else "classification"
    change = "" if kind == "text" else f" (task={other} to change)"
    values = f"{kinds} distinct values" if task == "regression" else f"the classes {_listed(sorted(y.unique()))}"
    notes.append(f"csv: y = '{y.name}' is {kind} with {values}: {task}{change}")
    return task == "classification"


def _split(y: pd.Series[Any], classify: bool, share: float, notes: list[str]) -> tuple[list[int], list[int]]:
    """The rows to train on and those held out, the same at every call; stratified by class if that can be."""
    from sklearn.model_selection import train_test_split

    rows, count = list(range(len(y))), math.ceil(share * len(y))
    if len(y) < FEWEST_TO_SPLIT:
        notes.append(f"csv: {len(y)} rows are too few to hold some out for validation")
        return rows, []
    if count == len(y):
        raise WorkloadError(f"workload csv: valid={share} of {len(y)} rows leaves none to train on; make it smaller")
    alike = classify and y.value_counts().min() > 1 and min(count, len(y) - count) >= y.nunique()
    if classify and not alike:
        notes.append("csv: some classes are too rare to be held out in proportion: validation rows are drawn at random")
    train, held_out = train_test_split(rows, test_size=count, stratify=y if alike else None, random_state=0)
    return train, held_out


def _encoder(train: pd.DataFrame, notes: list[str]) -> Any:
    """The columns worth using, as inputs: a fitted scikit-learn transformer."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric, categorical = [], []
    for name, column in train.items():
        kinds, known = column.nunique(), column.count()
        if column.nunique(dropna=column.dtype == float) < 2:
            notes.append(f"csv: '{name}' is left out: it has a single value in the training rows")
        elif column.dtype == float:
            numeric.append(name)
        elif 2 * kinds > known:
            notes.append(f"csv: '{name}' is left out: text with {kinds} distinct values in {known} training rows")
        else:
            categorical.append(name)
            if kinds > MOST_CATEGORIES:
                notes.append(f"csv: '{name}' has {kinds} categories; the rarest share one input")
    if not numeric and not categorical:
        raise WorkloadError(f"workload csv: no column is left to predict y from. {'; '.join(notes)}")
    one_hot = OneHotEncoder(max_categories=MOST_CATEGORIES, handle_unknown="infrequent_if_exist", sparse_output=False)
    scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return ColumnTransformer([("numeric", scaled, numeric), ("categorical", one_hot, categorical)]).fit(train)


def _objective(
    y: pd.Series[Any], train: list[int], classify: bool, notes: list[str]
) -> tuple[Tensor, int, dict[str, Any]]:
    """y as a tensor, the model's number of outputs, and the loss with its metric."""
    if classify:
        codes, classes = y.factorize(sort=True)
        objective = {"loss": nn.functional.cross_entropy, "metrics": {"accuracy": accuracy}}
        return torch.from_numpy(codes), len(classes), objective
    values = y.to_numpy(float)
    mean, scale = values[train].mean(), values[train].std() or 1.0
    notes.append(f"csv: the loss is in units of y's variance, mae in y's own (training rows: {mean:.4g} ± {scale:.4g})")

    def absolute_error(output: Tensor, y: Tensor) -> tuple[Tensor, int]:
        return scale * (output - y).abs().sum(), y.numel()

    answers = torch.tensor((values - mean) / scale, dtype=torch.float32).reshape(-1, 1)
    return answers, 1, {"loss": nn.functional.mse_loss, "metrics": {"mae": absolute_error}, "errors": ("mae",)}


def _model(inputs: int, hidden: int, outputs: int) -> nn.Module:
    if hidden == 0:
        return nn.Linear(inputs, outputs)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def _rate(x: Tensor, classify: bool) -> float:
    """What updates by single samples bear: a linear model's squared error grows from 1/(‖x‖² + 1) on, and the slope
    of cross-entropy is bounded."""
    power = x.square().sum(1) + 1
    mean, largest = float(power.mean()), float(power.max())
    return float(f"{min(0.1, 0.5 / mean) if classify else min(0.1 / mean, 0.5 / largest):.1g}")


def _listed(values: Iterable[Any], most: int = 6) -> str:
    texts = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"csv": table}
