"""Language models of a user's text: what is read, how it is split, and how large the model is."""

from __future__ import annotations

import bz2
import gzip
import os
import re
from pathlib import Path

import pytest
import torch
from optcompare_plugins.workloads.text import text

from optcompare import Workload, WorkloadError, compare
from optcompare.core.grammar import quoted
from optcompare.planning.factories import make_workload
from tests.helpers.commands import run

SMALL = {"context": 4, "width": 8, "layers": 1, "heads": 2}
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes, name: str = "corpus.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def codes_of(workload: Workload) -> list[int]:
    """All x, and the last y, in their order."""
    sets = list(workload.sets.values())
    return torch.cat([*(x.flatten() for x, _ in sets), sets[-1][1][-1, -1:]]).tolist()


def test_characters_are_numbered_in_order_and_split_by_position(write):
    """401 characters are 100 blocks of four, and the target after the last."""
    corpus = (ALPHABET * 16)[:401]
    workload = text(write(corpus), **SMALL, valid=0.15, test=0.05)
    assert [len(x) for x, _ in workload.sets.values()] == [80, 15, 5]
    assert codes_of(workload) == [ALPHABET.index(character) for character in corpus]
    for x, y in workload.sets.values():
        assert torch.equal(x.flatten()[1:], y.flatten()[:-1])


def test_without_a_test_set_the_last_blocks_are_for_validation(write):
    workload = text(write(ALPHABET * 16), **SMALL, valid=0.25, test=0.0)
    assert list(workload.sets) == ["train", "valid"]
    assert [len(x) for x, _ in workload.sets.values()] == [77, 26]
    assert "test set" not in workload.notes[0]


def test_characters_that_training_does_not_show_are_one_symbol(write):
    workload = text(write("abab" * 20 + "éΩ" * 10), **SMALL, valid=0.1, test=0.1)
    assert set(workload.train[0].flatten().tolist()) == {0, 1}
    assert set(workload.test[0].flatten().tolist()) == {2}
    assert "and 3 symbols" in workload.notes[1]


def test_bytes_are_read_as_they_are(write):
    corpus = bytes(range(256)) * 2
    workload = text(write(corpus), **SMALL, unit="bytes")
    assert codes_of(workload) == list(corpus[: len(codes_of(workload))])
    assert workload.notes[0].startswith("text: 512 bytes of corpus.txt, SHA-256 ")
    assert workload.model()(workload.train[0][:2]).shape == (2, 4, 256)


@pytest.mark.parametrize(
    ("packed", "name"),
    [(gzip.compress, "c.txt.gz"), (bz2.compress, "c.txt.bz2"), (bytes, "c"), (gzip.compress, "no-ending")],
)
def test_compressed_files_are_unpacked_whatever_their_name(write, packed, name):
    corpus = ALPHABET * 4 + "\n"
    workload = text(write(packed(corpus.encode()), name), **SMALL)
    assert len(codes_of(workload)) == 105
    assert codes_of(workload)[:104] == 4 * list(range(26))


def test_files_of_a_folder_are_read_in_the_order_of_their_paths(write, tmp_path):
    write("bbbb" * 9, "b/1.txt")
    write(gzip.compress(b"cccc" * 9), "b/2.rst.gz")
    write("aaaa" * 9, "a/9.md")
    write(b"\xff\xfe\x00", "a/picture.png")
    write("of an editor", "a/.9.md")
    write("of a notebook", "a/.checkpoints/9.md")
    workload = text(tmp_path, **SMALL)
    expected = "\n".join(letter * 36 for letter in "abc")
    codes = codes_of(workload)
    assert codes == ["\nabc".index(character) for character in expected[: len(codes)]]
    assert f"3 files of {tmp_path}" in workload.notes[0]
    only = text(tmp_path, **SMALL, endings=(".md",))
    assert set(codes_of(only)) == {0}


def test_a_length_reads_only_the_beginning(write):
    workload = text(write("abcd" * 100), **SMALL, length=41)
    assert len(codes_of(workload)) == 41
    assert workload.notes[0].startswith("text: the first 41 characters (length=none: all) of corpus.txt")
    assert len(codes_of(text(write("abcd" * 100 + "a"), **SMALL, length=None))) == 401


def test_a_length_ends_within_the_files_of_a_folder(write, tmp_path):
    for name in ("1.txt", "2.txt", "3.txt"):
        write("abcd" * 5, name)
    assert len(codes_of(text(tmp_path, **SMALL, length=25))) == 25


def test_line_ends_and_a_byte_order_mark_are_read_as_python_does(write):
    plain = text(write("ab\ncd\n" * 10), **SMALL)
    windows = text(write(b"\xef\xbb\xbf" + b"ab\r\ncd\r\n" * 10), **SMALL)
    assert codes_of(plain) == codes_of(windows)
    wide = text(write(("ab\ncd\n" * 10).encode("utf-16")), **SMALL, encoding="utf-16")
    assert codes_of(plain) == codes_of(wide)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("marked", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_overrides_the_encoding(write, marked, encoding):
    workload = text(write(("abcé\n" * 10).encode(marked)), **SMALL, encoding=encoding)
    assert codes_of(workload)[:5] == [1, 2, 3, 4, 0]


def test_names_in_capital_letters_are_found_and_links_to_folders_are_not_followed(write, tmp_path):
    write("aaaa" * 9, "A.TXT")
    write(gzip.compress(b"bbbb" * 9), "b.txt.GZ")
    (tmp_path / "again").symlink_to(tmp_path)
    assert f"2 files of {tmp_path}" in text(tmp_path, **SMALL).notes[0]
    assert f"1 file of {tmp_path}" in text(tmp_path, **SMALL, endings=(".TXT.gz",)).notes[0]


def test_a_folder_that_cannot_be_read_is_named_instead_of_left_out(write, tmp_path, monkeypatch):
    write("ab" * 50)
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
    with pytest.raises(
        WorkloadError, match=r"closed cannot be read \(Permission denied\); allow it, or name"
    ):
        text(tmp_path, **SMALL)


@pytest.mark.parametrize(("context", "width", "layers"), [(4, 8, 1), (64, 64, 2), (64, 384, 6)])
def test_a_note_states_the_number_of_weights(write, context, width, layers):
    """Layers have 12·width² + 13·width weights; there are a norm, embedding, positions and scores."""
    workload = text(write("ab" * 400), context=context, width=width, layers=layers)
    weights = layers * (12 * width**2 + 13 * width) + 2 * width + 3 * width + context * width + 3 * width + 3
    assert f"text: a transformer of {weights:,} weights and 3 symbols" in workload.notes
    assert (weights > 10**7) == (width == 384)
    if width < 100:
        assert sum(weight.numel() for weight in workload.model().parameters()) == weights


def test_the_rate_of_adam_falls_with_the_width(write):
    path = write("ab" * 400)
    rates = [text(path, **{**SMALL, "width": width}).lr_for("adam") for width in (32, 64, 384)]
    assert rates == [0.01, 0.005, 0.0008]


def test_it_is_named_by_its_path(registry, write):
    workload, _ = make_workload(
        registry, f"text:{quoted(str(write('abc ' * 30, 'my text.log')))}:unit=bytes:context=4:length=none"
    )
    assert workload.size == 23


@pytest.mark.slow
def test_it_learns(write):
    path = write("the cat sat on the mat; " * 100)
    result = compare(
        f"text:{quoted(str(path))}:context=16:width=16:layers=1", "mini:8@adam", seeds=1, epochs=5
    )
    losses = result.records["valid_loss"]
    assert losses.iloc[-1] < 0.5 * losses.iloc[0]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (
            "",
            {},
            "0 characters are 0 blocks of context=4, of which valid=0.1 and test=0.1 leave none to train",
        ),
        ("abcdefgh", {}, "8 characters are 1 block of context=4, of which valid=0.1 and test=0.1 leave none"),
        ("ab" * 50, {"context": 50}, "100 characters are 1 block of context=50"),
        (
            "ab" * 50,
            {"valid": 0.6, "test": 0.4},
            "valid=0.6 and test=0.4 leave none to train on; give a longer",
        ),
        (
            b"caf\xe9 au lait",
            {},
            "cannot be decoded: it is not in UTF-8: byte 0xe9 in line 1; give encoding=cp1252",
        ),
        (b"caf\xe9 au lait", {"encoding": "ascii"}, "it is not in ascii: byte 0xe9 in line 1"),
        (("ab" * 50).encode("utf-16-le"), {}, "seems to be UTF-16 without its mark; give encoding=utf-16-le"),
        (("ab" * 50).encode("utf-16-be"), {}, "seems to be UTF-16 without its mark; give encoding=utf-16-be"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", {}, "corpus.txt holds zero bytes, as files do that are no text"),
        (b"ab" * 5000 + b"\0", {"length": None}, "corpus.txt holds zero bytes, as files do that are no text"),
        (b"PK\x03\x04\x14\0", {}, "is a zip archive, or a document of an office program; give its text as"),
        (gzip.compress(b"%PDF-1.4", mtime=0), {}, "corpus.txt is a PDF document; give its text as a file"),
        ("ab" * 50, {"encoding": "undefined"}, "encoding=undefined is not known; give one of Python's"),
        ("ab" * 50, {"encoding": "utf\0"}, "is not known; give one of Python's"),
        (
            "ab" * 50,
            {"valid": 1.0},
            "valid is a share of the text, above 0 and below 1, and test one from 0; g",
        ),
        (b"\x00\xd8\x00", {"encoding": "utf-16"}, "its bytes are not in the encoding utf-16; give another"),
        (
            "ab" * 50,
            {"encoding": "latin-0"},
            "encoding=latin-0 is not known; give one of Python's, such as utf-8",
        ),
        ("ab" * 50, {"encoding": "hex"}, "encoding=hex is not known"),
        (gzip.compress(b"ab" * 500, mtime=0)[:-9], {}, "cannot be read (Compressed file ended before"),
        (b"\x1f\x8b\x08 no gzip", {}, "corpus.txt cannot be read ("),
        (b"BZh no bzip2", {}, "corpus.txt cannot be read ("),
        (b"\xfd7zXZ no xz", {}, "corpus.txt cannot be read ("),
        ("ab" * 50, {"unit": "words"}, "unit is one of characters, bytes; got words"),
        ("ab" * 50, {"width": 10, "heads": 4}, "width=10 must be a multiple of heads=4"),
        ("ab" * 50, {"layers": 0}, "layers must be at least 1, got 0"),
        ("ab" * 50, {"length": 0}, "length must be at least 1, got 0"),
        ("ab" * 50, {"valid": 0.0}, "valid is a share of the text, above 0 and below 1"),
        ("ab" * 50, {"test": -0.1}, "valid is a share of the text, above 0 and below 1"),
    ],
)
def test_a_text_that_cannot_be_used_is_refused_in_one_line(write, content, options, message):
    with pytest.raises(WorkloadError, match=re.escape(message)) as refusal:
        text(write(content), **{**SMALL, **options})
    assert str(refusal.value).startswith("workload text: ")
    assert "\n" not in str(refusal.value)


def test_a_path_without_text_is_refused(write, tmp_path, capsys):
    with pytest.raises(
        WorkloadError, match=r"nothing\.txt does not exist; give a file of text, or a folder of"
    ):
        text(tmp_path / "nothing.txt")
    with pytest.raises(WorkloadError, match=f"{re.escape('x' * 300)} does not exist; give a file of text"):
        text(Path("x" * 300))
    with pytest.raises(WorkloadError, match="is neither a file nor a folder; give a file of text"):
        text(Path(os.devnull))
    write("abc", "data.csv")
    with pytest.raises(
        WorkloadError,
        match=r"no file in .* ends in \.txt, \.md, \.rst \(hidden ones are left out\); give endings",
    ):
        text(tmp_path)
    with pytest.raises(WorkloadError, match=r"endings is empty; give endings"):
        text(tmp_path, endings=())
    assert run("run", "--workload", f"text:{tmp_path / 'nothing.txt'}", "--strategies", "full") == 2
    assert capsys.readouterr().err.startswith("error: workload text: ")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_refused(write):
    path = write("ab" * 50)
    path.chmod(0)
    with pytest.raises(WorkloadError, match=r"corpus\.txt cannot be read \(Permission denied\)"):
        text(path)


def test_a_text_beyond_memory_is_refused_before_it_is_read(write, monkeypatch):
    monkeypatch.setattr("optcompare_plugins.workloads.text.machine_memory", lambda: 1600)
    with pytest.raises(
        WorkloadError, match=r"about 201 bytes of text do not fit into memory; give length=50 or"
    ):
        text(write("ab" * 100), **SMALL, length=None)
    with pytest.raises(WorkloadError, match=r"length=150 do not fit into memory; give length=50 or less"):
        text(write("ab" * 100), **SMALL, length=150)
    assert text(write("ab" * 100), **SMALL, length=50).size == 8
