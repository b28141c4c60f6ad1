"""The schema of columns: what runs write is what it names, in its order."""

from __future__ import annotations

import pandas as pd
import pytest

from optcompare import compare
from optcompare.core.columns import GOAL_COLUMNS, RECORDS_SCHEMA, TABLES, TRIALS_SCHEMA
from optcompare.core.table_schema import NUMBER, TableSchema

_OF_DTYPES = {"string": pd.api.types.is_string_dtype, "int64": pd.api.types.is_integer_dtype}
_OF_DTYPES |= {"float64": pd.api.types.is_numeric_dtype, "bool": pd.api.types.is_bool_dtype}


def names(schema: TableSchema) -> list[str]:
    return [column.name for column in schema.columns]


@pytest.fixture(scope="module")
def run():
    settings = {"seeds": 2, "epochs": 2, "tune": 2, "tune_seeds": 1, "plane": True}
    return compare("line", ["full", "mini"], **settings)


@pytest.mark.parametrize("schema", TABLES, ids=lambda schema: schema.file)
def test_a_run_writes_the_columns_that_the_schema_names_in_its_types(run, schema):
    table = getattr(run, schema.file.removesuffix(".parquet"))
    known = [name for name in names(schema) if name in table]
    assert [name for name in table.columns if name in known] == known or schema.file == "paths.parquet"
    assert set(schema.required) <= set(table.columns)
    for name in known:
        assert _OF_DTYPES[schema.column(name).dtype](table[name]), name


@pytest.mark.slow
def test_further_columns_of_records_are_losses_metrics_and_diagnostics():
    records = compare("digits", "full", seeds=1, epochs=1, diagnostics="grad_norm").records
    assert set(records.columns) - set(names(RECORDS_SCHEMA)) == {
        "valid_loss",
        "train_accuracy",
        "valid_accuracy",
        "grad_norm",
    }


def test_trials_have_no_column_without_a_name_in_the_schema(run):
    assert set(run.trials.columns) <= set(names(TRIALS_SCHEMA))
    assert set(GOAL_COLUMNS) == {"goal_updates", "goal_samples", "goal_before", "goal_dip"}


@pytest.mark.parametrize("schema", TABLES, ids=lambda schema: schema.file)
def test_every_column_is_described_in_a_sentence(schema):
    assert len(set(names(schema))) == len(names(schema))
    for column in (*schema.columns, *schema.families):
        assert column.description.endswith(".")
        assert column.dtype


def test_a_column_without_a_name_holds_what_all_others_hold():
    column = RECORDS_SCHEMA.column("sharpness")
    assert (column.name, column.kind, column.optional) == ("sharpness", NUMBER, True)
