from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batcher.errors import InputError
from batcher.local_files import OutsideError, open_regular, refuse_outside

pytestmark = [pytest.mark.fault("X18"), pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and devices of POSIX")]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a secret, and in it the manifest's folder with a picture."""
    inside = tmp_path / "batch"
    (inside / "photos").mkdir(parents=True)
    (inside / "photos" / "mug.jpg").write_bytes(b"mug")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "batch-two").mkdir()
    (tmp_path / "batch-two" / "mug.jpg").write_bytes(b"secret")
    return inside


@pytest.mark.parametrize("name", ["photos/mug.jpg", "photos/../photos/mug.jpg", "./photos//mug.jpg", "../batch/photos/mug.jpg"])
def test_what_is_in_the_folder_is_opened_however_it_is_written(home: Path, name: str) -> None:
    with open_regular(home / name, home) as file:
        assert file.read() == b"mug"


def test_a_link_that_stays_in_the_folder_is_followed_and_so_is_a_link_to_the_folder(home: Path) -> None:
    (home / "here.jpg").symlink_to("photos/mug.jpg")
    (home / "album").symlink_to("photos", target_is_directory=True)
    (home.parent / "link").symlink_to(home, target_is_directory=True)
    for path, within in [(home / "here.jpg", home), (home / "album" / "mug.jpg", home), (home.parent / "link" / "photos" / "mug.jpg", home)]:
        with open_regular(path, within) as file:
            assert file.read() == b"mug"
    with open_regular(home / "photos" / "mug.jpg", home.parent / "link") as file:
        assert file.read() == b"mug"


LEADING_OUT: dict[str, Callable[[Path], str]] = {
    "dots": lambda home: "../secret",
    "dots in the middle": lambda home: "photos/../../secret",
    "an absolute path": lambda home: str(home.parent / "secret"),
    "a folder whose name begins alike": lambda home: "../batch-two/mug.jpg",
    "a link to a file": lambda home: linked(home, "here.jpg", "../secret"),
    "an absolute link": lambda home: linked(home, "here.jpg", str(home.parent / "secret")),
    "a link to a folder": lambda home: linked(home, "album", "..") + "/secret",
    "a link to a link": lambda home: linked(home, "two", linked(home, "one", "../secret")),
    "the files of a process": lambda home: "/proc/self/environ",
    "what is not there": lambda home: "../nothing",
    "nothing that a link leads to": lambda home: linked(home, "here.jpg", "../nothing"),
}


def linked(home: Path, name: str, to: str) -> str:
    (home / name).symlink_to(to)
    return name


@pytest.mark.parametrize("way", LEADING_OUT)
def test_whatever_leads_out_of_the_folder_is_refused(home: Path, way: str) -> None:
    path = home / LEADING_OUT[way](home)
    with pytest.raises(OutsideError, match="leads outside of the manifest's folder") as caught:
        open_regular(path, home)
    assert "--allow-outside-inputs" in caught.value.remedy
    with pytest.raises(OutsideError):
        refuse_outside(path, home)
    refuse_outside(path, None)


def test_without_a_folder_to_stay_in_anything_may_be_named(home: Path) -> None:
    with open_regular(home / "../secret") as file:
        assert file.read() == b"secret"


def test_a_name_that_becomes_a_link_after_it_was_checked_is_not_followed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = os.open

    def swap(path: Any, *args: Any, **kwargs: Any) -> int:
        if path == "mug.jpg":
            (home / "evil").replace(home / "photos" / "mug.jpg")
        elif path == "photos" and (home / "evil folder").is_symlink():
            (home / "photos").rename(home / "moved")
            (home / "evil folder").rename(home / "photos")
        return really(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", swap)
    (home / "evil").symlink_to("../secret")
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(home / "photos" / "mug.jpg", home)
    (home / "evil folder").symlink_to("../batch-two")
    (home / "photos" / "mug.jpg").unlink()
    (home / "photos" / "mug.jpg").write_bytes(b"mug")
    with pytest.raises(NotADirectoryError):
        open_regular(home / "photos" / "mug.jpg", home)


def test_a_folder_that_may_be_passed_but_not_listed_is_passed(home: Path) -> None:
    if not hasattr(os, "O_PATH"):
        pytest.skip("folders are opened for reading there")
    (home / "photos").chmod(0o111)
    try:
        with open_regular(home / "photos" / "mug.jpg", home) as file:
            assert file.read() == b"mug"
    finally:
        (home / "photos").chmod(0o755)


def test_what_is_no_regular_file_is_refused_without_waiting_for_it(home: Path) -> None:
    os.mkfifo(home / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(home)  # the path of a socket has to be short
        try:
            listening.bind("socket")
        finally:
            os.chdir(here)
        before = len(list(Path("/dev/fd").iterdir()))
        for path, within in [(home / "pipe", home), (home / "photos", home), (home, home), (Path("/dev/zero"), None), (Path("/dev/tty"), None)]:
            with pytest.raises((InputError, OSError)) as caught:
                open_regular(path, within)
            assert isinstance(caught.value, InputError) or path == Path("/dev/tty")
        with pytest.raises(OSError, match="No such device or address"):
            open_regular(home / "socket", home)
        assert len(list(Path("/dev/fd").iterdir())) == before
