"""Ratings of MovieLens: generated files in the forms of GroupLens, the split, and the factorization."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
import torch
from optcompare_plugins.workloads import memory, rating_files
from optcompare_plugins.workloads.factorization import Factorization
from optcompare_plugins.workloads.movielens import movielens, rmse

from optcompare import WorkloadError, compare
from optcompare.core.grammar import quoted
from optcompare.planning.factories import make_workload
from tests.helpers.commands import run
from tests.helpers.ratings import made_up, write_1m, write_100k, write_latest

WRITERS = {"u.data": write_100k, "ratings.dat": write_1m, "ratings.csv": write_latest}


def all_rows(workload):
    """Users, items and ratings of all sets, in no particular order."""
    columns = zip(*workload.sets.values(), strict=True)
    return sorted(zip(*(torch.cat(parts).tolist() for parts in columns), strict=True))


@pytest.mark.parametrize("name", WRITERS)
def test_each_form_of_a_file_gives_the_same_ratings(name, tmp_path):
    ratings = made_up()
    WRITERS[name](tmp_path / name, ratings)
    workload = movielens(tmp_path)
    users = {user: number for number, user in enumerate(sorted({user for user, *_ in ratings}), 1)}
    items = {item: number for number, item in enumerate(sorted({item for _, item, *_ in ratings}), 1)}
    assert all_rows(workload) == sorted((users[u], items[i], r) for u, i, r, _ in ratings)
    assert [len(parts[0]) for parts in workload.sets.values()] == [240, 30, 30]
    assert workload.notes[0].startswith("movielens: 300 ratings of 20 items by 30 users from ")


def test_the_form_is_recognised_whatever_the_name_of_the_file(tmp_path):
    other = movielens(write_1m(tmp_path / "mine.txt", made_up()))
    assert all_rows(other) == all_rows(movielens(write_latest(tmp_path / "ratings.csv", made_up())))


def test_columns_of_a_header_may_stand_in_any_order(tmp_path):
    path = tmp_path / "ratings.csv"
    lines = [f"{r},{t},{i},{u}" for u, i, r, t in made_up()]
    path.write_text("\n".join(["rating,timestamp,movieId,userId", *lines]))
    write_latest(tmp_path / "usual.csv", made_up())
    assert all_rows(movielens(path)) == all_rows(movielens(tmp_path / "usual.csv"))


@pytest.mark.parametrize("folder", ["ml-1m", "ml-latest-small"])
def test_a_set_is_found_below_the_folder_of_data_sets(folder, tmp_path, monkeypatch):
    write_latest(tmp_path / folder / "ratings.csv", made_up())
    assert movielens(tmp_path).size == 240
    monkeypatch.setenv("OPTCOMPARE_DATA", str(tmp_path))
    assert str(tmp_path / folder / "ratings.csv") in movielens().notes[0]


def test_splits_hold_out_other_ratings_in_sets_of_the_same_sizes(tmp_path):
    workload = movielens(write_100k(tmp_path / "u.data", made_up(60, 40, 0.9)))
    other = workload.on_split(1)
    assert all_rows(other) == all_rows(workload)  # all users and items are known on both
    assert not torch.equal(other.valid[0], workload.valid[0])
    order = np.random.RandomState(0).permutation(2160)
    values = torch.tensor([rating for _, _, rating, _ in made_up(60, 40, 0.9)])
    assert torch.equal(workload.test[2], values[order[:216]])
    assert torch.equal(workload.valid[2], values[order[216:432]])


def test_users_and_items_without_a_rating_in_training_are_predicted_without_them(tmp_path):
    """The two held-out ratings are those of users 1 and 2; the mean of the others is 4."""
    order = np.random.RandomState(0).permutation(6)
    users = np.empty(6, int)
    users[order] = [1, 2, 3, 3, 4, 4]
    items = np.empty(6, int)
    items[order] = [5, 6, 5, 6, 5, 6]
    ratings = [(int(u), int(i), 1.0 if u < 3 else 4.0, 0) for u, i in zip(users, items, strict=True)]
    workload = movielens(write_100k(tmp_path / "u.data", ratings), valid=0.1, test=0.1)
    assert workload.valid[0].tolist() == workload.test[0].tolist() == [0]
    assert "without a rating in training have no bias and no factors: 2 and 0" in workload.notes[1]
    model = workload.model()
    assert model(*workload.valid[:2]).tolist() == [4.0]
    result = compare(workload, "full@sgd:lr=0.5", seeds=1, epochs=3, trainer="loop")
    trained = result.model("full", 0)
    assert trained.user_factors.weight[0].abs().max() == 0
    assert trained.user_bias.weight[0].abs().max() == 0


def test_the_prediction_is_mean_biases_and_product():
    model = Factorization(1, 1, 2, 3.0, sparse=False)
    with torch.no_grad():
        model.user_bias.weight[1], model.item_bias.weight[1] = 0.5, -0.25
        model.user_factors.weight[1] = torch.tensor([1.0, 2.0])
        model.item_factors.weight[1] = torch.tensor([3.0, -1.0])
    one = torch.tensor([1])
    assert model(one, one).tolist() == [3.0 + 0.5 - 0.25 + 3.0 - 2.0]
    assert rmse(torch.tensor([1.0, 5.0]), torch.tensor([1.0, 3.0])) == pytest.approx(2**0.5)


@pytest.mark.parametrize("strategy", ["full", "mini:50"])
def test_sparse_and_dense_embeddings_end_in_the_same_weights_under_plain_sgd(strategy, tmp_path):
    path = write_100k(tmp_path / "u.data", made_up())
    question = {"seeds": 1, "epochs": 3, "chunk": 100, "dtype": "float64", "trainer": "loop"}
    dense, sparse = (
        compare(movielens(path, factors=4, embeddings=kind), strategy, "sgd:lr=0.5", **question)
        for kind in ("dense", "sparse")
    )
    pairs = zip(dense.model(strategy, 0).parameters(), sparse.model(strategy, 0).parameters(), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "sparseadam", "sgd:momentum=0.5"])
def test_sparse_embeddings_learn(optimizer, tmp_path):
    path = write_100k(tmp_path / "u.data", made_up(60, 40))
    workload = movielens(path, factors=4, embeddings="sparse")
    result = compare(workload, "mini:20", optimizer, lr=0.1, seeds=1, epochs=4, goal="valid_rmse=1.5")
    before, *_, after = result.records["train_loss"]
    assert after < before
    squares = result.records["valid_rmse"] ** 2
    assert squares.tolist() == pytest.approx(result.records["valid_loss"].tolist(), rel=1e-5)
    assert set(result.trials["trainer"]) == {"loop"}


def test_a_command_names_what_an_optimizer_does_not_take(tmp_path, capsys):
    path = write_100k(tmp_path / "u.data", made_up())
    spec = f"movielens:{quoted(str(path))}:embeddings=sparse"
    assert run("run", "--workload", spec, "--strategies", "full", "--optimizers", "adam") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: arm full: optimizer adam: its step() fails")
    assert "the gradient of user_bias.weight is sparse" in error
    assert error.strip().count("\n") == 0


def test_it_is_named_by_its_path(registry, tmp_path):
    path = write_100k(tmp_path / "u.data", made_up())
    workload, _ = make_workload(registry, f"movielens:{quoted(str(path))}:factors=3:embeddings=sparse")
    assert workload.model().user_factors.weight.shape == (31, 3)


HEADER = "userId,movieId,rating,timestamp\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty, or begins with an empty line"),
        (b"\n1\t2\t3\t4\n", "is empty, or begins with an empty line"),
        (HEADER, "has a header line and no ratings below it"),
        ("userId,rating,timestamp\n1,2,3\n", "has no column movieId; files of MovieLens are separated by"),
        ("1,2,3.0,880\n1,3,4.0,881\n", "its first line, '1,2,3.0,880', has no column userId"),
        ("userId;movieId;rating;timestamp\n1;2;3;4\n", "has no column userId"),
        ("\x00\x01\ufffd,\x7f\n", "is no text, as files of ratings are"),
        ("1 2 3 880\n", "its first line, '1 2 3 880', has no column userId"),
        ("1\t2\t3\t880\n1\t3\tgood\t881\n", "invalid value 'good'"),
        ("1\t2\t3\t880\nanna\t3\t4\t881\n", "invalid value 'anna'"),
        ("1\t2\t3\t880\n1\t3\n", "Expected 4 columns, got 2: 1 3"),
        ("1::2::3::880\n1::3::4\n", "Expected 7 columns, got 5: 1::3::4"),
        ("1:2:3::880\n", "Expected 7 columns, got 5"),
        ("1::2::3::880\n1:9:3::4::880\n", "invalid value '9'"),
        (HEADER + "1,2,,880\n1,3,4.0,881\n", "rating 1 has no rating; complete or remove its line"),
        (HEADER + "1,2,3.0,880\n,3,4.0,881\n", "rating 2 has no user; complete or remove its line"),
        (HEADER + "1,2,3.0,880\n1,3,nan,881\n", "rating 2 is nan; ratings must be finite numbers"),
        (HEADER + "1,2,3.0,880\n1,3,inf,881\n", "rating 2 is inf; ratings must be finite numbers"),
        (
            "1\t2\t3\t880\n1\t3\t3\t880\n",
            "holds too little (ratings: 2, users: 1, items: 2); a factorization",
        ),
        ("1\t2\t3\t880\n", "holds too little (ratings: 1, users: 1, items: 1); a factorization"),
        (
            "1\t2\t3\t880\n2\t3\t3\t880\n1\t2\t4\t881\n",
            "user 1 rates item 2 twice (repeated ratings: 1)",
        ),
        ("1\t2\t3\t880\n2\t3\t3\t880\n", "valid=0.1 and test=0.1 of 2 ratings leave none to train on"),
        (b"PK\x03\x04 zip", "is a zip archive; unpack it, and give the folder"),
        (bytes(range(200, 256)) * 4, "is no text, as files of ratings are"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(content, message, tmp_path, capsys):
    path = tmp_path / "ratings"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(WorkloadError, match=re.escape(message)) as refusal:
        movielens(path)
    assert str(refusal.value).startswith("workload movielens: ")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": 0}, "factors is a number of factors, at least 1; got 0"),
        ({"embeddings": "thin"}, "embeddings is dense or sparse; got thin"),
        ({"valid": 0.0}, "valid and test are shares of the ratings, from 0 to 1, and valid is not 0"),
        ({"valid": 0.6, "test": 0.4}, "valid=0.6 and test=0.4 of 300 ratings leave none to train on"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, message, tmp_path):
    path = write_100k(tmp_path / "u.data", made_up())
    with pytest.raises(WorkloadError, match=f"^workload movielens: {re.escape(message)}"):
        movielens(path, **options)


def test_a_path_without_ratings_is_refused(tmp_path, monkeypatch, capsys):
    with pytest.raises(WorkloadError, match=r"holds none of u\.data, ratings\.dat, ratings\.csv; give the"):
        movielens(tmp_path)
    assert run("run", "--workload", f"movielens:{tmp_path / 'gone'}", "--strategies", "full") == 2
    assert (
        "gone does not exist; give the folder that GroupLens's archive unpacks to" in capsys.readouterr().err
    )
    monkeypatch.setenv("OPTCOMPARE_DATA", str(tmp_path))
    monkeypatch.setattr(rating_files, "usual_folders", lambda: [tmp_path])
    with pytest.raises(WorkloadError, match=r"or another set of MovieLens; write movielens:PATH, or name"):
        movielens()


def test_a_file_beyond_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "machine_memory", lambda: 1000)
    with pytest.raises(WorkloadError, match="does not fit into memory; use a smaller set, such as ml-1m"):
        movielens(write_100k(tmp_path / "u.data", made_up()))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    path = write_100k(tmp_path / "u.data", made_up())
    path.chmod(0)
    with pytest.raises(WorkloadError, match=r"u\.data cannot be read \(Permission denied\)"):
        movielens(path)


def test_a_folder_of_the_environment_that_does_not_exist_is_refused(tmp_path, monkeypatch):
    write_100k(tmp_path / "data" / "ml-100k" / "u.data", made_up())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPTCOMPARE_DATA", str(tmp_path / "gone"))
    with pytest.raises(WorkloadError, match=r"OPTCOMPARE_DATA=.*gone does not exist; give the folder"):
        movielens()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("userId,movieId,rating,rating\n1,1,2,2\n2,2,3,3\n", "has 2 columns rating; keep one of them"),
        ("userId,movieId,rating\n1,1,2\n2,x,3\n", "invalid value 'x'; correct or remove its line"),
    ],
)
def test_a_header_or_cell_that_cannot_be_read_is_named(tmp_path, content, message):
    (tmp_path / "ratings.csv").write_text(content)
    with pytest.raises(WorkloadError, match=f"ratings.csv .*{message}"):
        movielens(tmp_path / "ratings.csv")
