"""Where files lie that are loaded as code: in directories that nobody but the user can have written to."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from pathlib import Path

import pytest

from optcompare.core import user_directories
from optcompare.core.user_directories import (
    UntrustedDirectory,
    cache_directory,
    distrust_reason,
    own_directory,
    temporary_directory,
    torch_cache_of_this_user,
)
from tests.helpers.other_users import give_to_nobody, needs_root

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has access control lists in place of modes")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Create a home directory with the usual permissions, however pytest was started."""
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return home


class TestPlace:
    def test_it_is_the_usual_one_of_the_system(self, home, monkeypatch):
        found = []
        for platform in ("linux", "darwin"):
            monkeypatch.setattr("sys.platform", platform)
            found.append(cache_directory())
        assert found == [home / ".cache/optcompare", home / "Library/Caches/optcompare"]

    def test_xdg_cache_home_names_another(self, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert cache_directory() == tmp_path / "optcompare"

    @pytest.mark.parametrize("value", ["", "cache", "./cache"])
    def test_a_relative_one_is_passed_over_since_it_would_follow_the_working_directory(
        self, home, monkeypatch, value
    ):
        monkeypatch.setattr("sys.platform", "linux")
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_directory() == home / ".cache/optcompare"

    def test_without_a_home_directory_none_is_made_in_the_working_directory(
        self, home, monkeypatch, tmp_path
    ):
        monkeypatch.setattr("os.path.expanduser", lambda path: path)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UntrustedDirectory, match="there is no home directory"):
            own_directory(cache_directory())
        assert list(tmp_path.iterdir()) == [home]


class TestOwn:
    def test_what_is_missing_is_made_for_this_user_alone(self, home):
        old = os.umask(0)
        try:
            assert own_directory(home / ".cache" / "optcompare") == home / ".cache" / "optcompare"
        finally:
            os.umask(old)
        modes = {
            stat.S_IMODE(path.stat().st_mode) for path in (home / ".cache", home / ".cache" / "optcompare")
        }
        assert modes == {0o700}
        assert list((home / ".cache" / "optcompare").iterdir()) == []

    @pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777])
    def test_one_that_others_may_write_to_is_refused(self, home, mode):
        (home / "own").mkdir()
        (home / "own").chmod(mode)
        with pytest.raises(UntrustedDirectory, match=re.escape(f"other users may write to {home / 'own'}")):
            own_directory(home / "own")

    def test_a_link_in_its_place_is_refused(self, home):
        (home / "real").mkdir(mode=0o700)
        (home / "own").symlink_to(home / "real")
        with pytest.raises(UntrustedDirectory, match=re.escape(f"{home / 'own'} is a symbolic link")):
            own_directory(home / "own")

    def test_a_file_in_its_place_is_refused(self, home):
        (home / "own").touch()
        with pytest.raises(UntrustedDirectory, match="is not a directory"):
            own_directory(home / "own")

    def test_a_file_on_the_way_is_refused(self, home):
        (home / "file").touch()
        with pytest.raises(UntrustedDirectory, match=r"nothing can be written to .* \(Not a directory\)"):
            own_directory(home / "file" / "own")

    def test_one_that_only_can_be_read_is_refused(self, home, monkeypatch):
        def refuse(dir):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
        with pytest.raises(UntrustedDirectory, match=r"nothing can be written to .* \(Permission denied\)"):
            own_directory(home / "own")

    @needs_root
    def test_one_of_another_user_is_refused(self, home):
        (home / "own").mkdir(mode=0o700)
        give_to_nobody(home / "own")
        with pytest.raises(UntrustedDirectory, match=re.escape(f"{home / 'own'} belongs to another user")):
            own_directory(home / "own")

    @pytest.mark.parametrize(("mode", "admitted"), [(0o777, False), (0o1777, True), (0o755, True)])
    def test_others_could_replace_it_where_they_may_write_above_it(self, home, mode, admitted):
        (home / "above").mkdir()
        (home / "above").chmod(mode)
        if admitted:
            own_directory(home / "above" / "own")
        else:
            with pytest.raises(
                UntrustedDirectory, match=re.escape(f"other users may write to {home / 'above'}")
            ):
                own_directory(home / "above" / "own")
            assert list((home / "above").iterdir()) == [], "nothing is made there"

    @pytest.mark.parametrize("private", [True, False])
    def test_a_group_above_it_is_trusted_where_it_is_the_users_own(self, home, monkeypatch, private):
        monkeypatch.setattr(user_directories, "_is_private", lambda group: private)
        (home / "above").mkdir()
        (home / "above").chmod(0o770)
        if private:
            own_directory(home / "above" / "own")
        else:
            with pytest.raises(
                UntrustedDirectory, match=re.escape(f"other users may write to {home / 'above'}")
            ):
                own_directory(home / "above" / "own")

    def test_a_link_above_it_is_followed_where_nobody_else_could_turn_it(self, home):
        (home / "scratch").mkdir(mode=0o700)
        (home / ".cache").symlink_to(home / "scratch")
        own_directory(home / ".cache" / "own")

    def test_what_is_behind_a_link_is_looked_at_too(self, home):
        (home / "open").mkdir()
        (home / "open").chmod(0o777)
        (home / "open" / "scratch").mkdir(mode=0o700)
        (home / ".cache").symlink_to(home / "open" / "scratch")
        with pytest.raises(UntrustedDirectory, match=re.escape(f"other users may write to {home / 'open'}")):
            own_directory(home / ".cache" / "own")

    @needs_root
    @pytest.mark.parametrize("kind", ["directory", "link"])
    def test_a_directory_or_link_of_another_user_above_it_is_refused(self, home, kind):
        (home / "real").mkdir(mode=0o700)
        above = home / "real" if kind == "directory" else home / "link"
        if kind == "link":
            above.symlink_to(home / "real")
        give_to_nobody(above)
        with pytest.raises(UntrustedDirectory, match=re.escape(f"{above} belongs to another user")):
            own_directory(above / "own")


class TestFile:
    def test_a_file_of_this_user_alone_has_no_fault(self, tmp_path):
        (tmp_path / "file").touch(0o644)
        assert distrust_reason(tmp_path / "file") is None

    def test_links_pipes_and_what_others_may_write_have(self, tmp_path):
        for name, mode in (("group", 0o664), ("others", 0o646), ("real", 0o600)):
            (tmp_path / name).touch()
            (tmp_path / name).chmod(mode)
        (tmp_path / "link").symlink_to(tmp_path / "real")
        os.mkfifo(tmp_path / "pipe", 0o600)
        assert distrust_reason(tmp_path / "group") == f"other users may write to {tmp_path / 'group'}"
        assert distrust_reason(tmp_path / "others") == f"other users may write to {tmp_path / 'others'}"
        assert distrust_reason(tmp_path / "link") == f"{tmp_path / 'link'} is a symbolic link"
        assert distrust_reason(tmp_path / "pipe") == f"{tmp_path / 'pipe'} is not a regular file"

    @needs_root
    def test_a_file_of_another_user_has(self, tmp_path):
        (tmp_path / "file").touch(0o600)
        give_to_nobody(tmp_path / "file")
        assert distrust_reason(tmp_path / "file") == f"{tmp_path / 'file'} belongs to another user"


def test_a_temporary_directory_is_refused_where_others_could_replace_it(home, monkeypatch):
    (home / "tmp").mkdir()
    (home / "tmp").chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(home / "tmp"))
    with pytest.raises(UntrustedDirectory, match=re.escape(f"other users may write to {home / 'tmp'}")):
        temporary_directory()
    assert list((home / "tmp").iterdir()) == []


class TestTorch:
    """Torch's compiler loads libraries from a directory of its own."""

    def used(self):
        with torch_cache_of_this_user():
            return Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])

    @pytest.fixture(autouse=True)
    def unnamed(self, home, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(home))
        monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)

    def test_it_is_in_the_users_cache_and_not_in_the_shared_temporary_directory(self, home):
        assert self.used() == home / "optcompare" / "torch"
        assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ

    def test_a_named_one_of_this_user_stays(self, home, monkeypatch):
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(home / "named"))
        assert self.used() == home / "named"

    @needs_root
    def test_a_named_one_of_another_user_is_not_used(self, home, monkeypatch):
        (home / "named").mkdir()
        give_to_nobody(home / "named")
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(home / "named"))
        assert self.used() == home / "optcompare" / "torch"
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(home / "named"), "the caller's comes back"

    def test_the_choice_that_torch_itself_has_put_there_is_none_of_the_users(self, home, monkeypatch):
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", f"{tempfile.gettempdir()}/torchinductor_me")
        assert self.used() == home / "optcompare" / "torch"

    def test_where_the_cache_cannot_be_written_it_is_temporary(self, home):
        (home / "optcompare").touch()
        with torch_cache_of_this_user():
            used = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
            assert stat.S_IMODE(used.stat().st_mode) == 0o700
        assert not used.exists()

    def test_where_nothing_can_be_written_nothing_changes(self, home, monkeypatch):
        (home / "optcompare").touch()
        monkeypatch.setattr(tempfile, "tempdir", str(home / "missing"))
        with torch_cache_of_this_user():
            assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
