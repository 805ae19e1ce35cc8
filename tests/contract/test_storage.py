"""What every storage keeps to, and what a local folder adds to it."""

import asyncio
import contextlib
import errno
import hashlib
import os
import stat
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batcher import storage as storage_module
from batcher.errors import OutputError
from batcher.ports import Published
from batcher.storage import Condition, LocalStorage, make_folder

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="links and modes of POSIX")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def storage(root):
    return LocalStorage(root)


PIECE = bytes(300_000)
"""So much is not kept waiting for more."""


async def save(storage, name, data):
    stem, extension = os.path.splitext(name)  # noqa: PTH122 - a name, not a path
    draft = storage.draft(stem)
    await draft.write(data)
    return (await draft.publish(lambda file: extension)).path


def png(path):
    return ".png"


def files_in(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def short_hash(data):
    return hashlib.sha256(data).hexdigest()[:8]


@pytest.mark.parametrize("pieces", [(b"first ", PIECE, b"second"), (b"small ", b"file")])
async def test_a_published_file_is_where_it_says_with_what_was_written(storage, root, pieces):
    draft = storage.draft("mug")
    for piece in pieces:
        await draft.write(piece)
    written = b"".join(pieces)
    looked = []

    def look(file):
        looked.append(file.read())
        return ".png"

    assert await draft.publish(look) == Published("results/mug.png", hashlib.sha256(written).hexdigest(), len(written))
    await draft.discard()
    assert looked == [written]
    assert files_in(root) == {"results/mug.png": written}


async def test_a_file_that_is_not_what_it_should_be_is_not_published(storage, root):
    await save(storage, "mug.png", b"old")
    draft = storage.draft("mug")
    await draft.write(b"no picture")

    def refuse(file):
        raise ValueError("no picture")

    with pytest.raises(ValueError, match="no picture"):
        await draft.publish(refuse)
    await draft.discard()
    assert files_in(root) == {"results/mug.png": b"old"}


async def test_names_that_come_together_are_made_to_last_together(storage, root, monkeypatch):
    synced, go = [], threading.Event()

    def slow(folder):
        synced.append(folder.name)
        if folder.name == "results":
            go.wait(5)

    await save(storage, "first.png", b"1")
    monkeypatch.setattr(storage_module, "sync_folder", slow)
    saving = [asyncio.create_task(save(storage, f"mug{n}.png", b"1")) for n in range(8)]
    while len(files_in(root)) < 9 or any(".part" in name for name in files_in(root)):
        await asyncio.sleep(0.005)
    assert synced == ["results"], "one of them, for itself alone or for some"
    go.set()
    await asyncio.gather(*saving)
    assert 2 <= len(synced) <= 4, "another one for those that came while the first was under way"


async def test_a_draft_is_hidden_beside_its_place_until_it_is_published(storage, root):
    draft = storage.draft("shoes/red")
    await draft.write(PIECE)
    [hidden] = (root / "results" / "shoes").iterdir()
    assert hidden.name.startswith(".")
    assert hidden.suffix == ".part"
    await draft.discard()
    assert files_in(root) == {}


async def test_sub_folders_are_made_as_needed(storage, root):
    assert await save(storage, "a/b/c.png", b"1") == "results/a/b/c.png"
    assert files_in(root) == {"results/a/b/c.png": b"1"}


@pytest.mark.fault("B9")
async def test_the_same_content_again_replaces_silently(storage, root):
    await save(storage, "mug.png", b"same")
    await save(storage, "mug.png", b"same")
    assert files_in(root) == {"results/mug.png": b"same"}


@pytest.mark.fault("B9")
async def test_other_content_is_kept_beside_under_the_name_of_its_hash(storage, root):
    await save(storage, "shoes/red.tar.png", b"old")
    await save(storage, "shoes/red.tar.png", b"new")
    await save(storage, "shoes/red.tar.png", b"newest")
    assert files_in(root) == {
        "results/shoes/red.tar.png": b"newest",
        f"results/earlier/shoes/red.tar.{short_hash(b'old')}.png": b"old",
        f"results/earlier/shoes/red.tar.{short_hash(b'new')}.png": b"new",
    }


@pytest.mark.fault("B9")
async def test_what_is_kept_is_never_overwritten(storage, root):
    taken = root / f"results/earlier/mug.{short_hash(b'old')}.png"
    await save(storage, "mug.png", b"old")
    taken.parent.mkdir()
    taken.write_bytes(b"someone else's")
    await save(storage, "mug.png", b"new")
    longer = root / f"results/earlier/mug.{hashlib.sha256(b'old').hexdigest()[:16]}.png"
    assert (taken.read_bytes(), longer.read_bytes()) == (b"someone else's", b"old")


async def test_what_is_kept_already_is_not_kept_twice(storage, root):
    for content in (b"old", b"new", b"old", b"new"):
        await save(storage, "mug.png", content)
    assert len(files_in(root)) == 3


async def test_when_every_place_for_an_earlier_file_is_taken_nothing_is_lost(storage, root):
    await save(storage, "mug.png", b"old")
    digest = hashlib.sha256(b"old").hexdigest()
    for length in (8, 16, 64):
        place = root / f"results/earlier/mug.{digest[:length]}.png"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"another")
    with pytest.raises(OutputError, match="Move that folder away"):
        await save(storage, "mug.png", b"new")
    assert (root / "results/mug.png").read_bytes() == b"old"
    assert len(files_in(root)) == 4


async def test_drafts_of_one_name_do_not_meet(storage, root):
    await asyncio.gather(*(save(storage, "mug.png", bytes([n]) * 100_000) for n in range(8)))
    assert sorted({data[0] for data in files_in(root).values()}) == list(range(8))
    assert all(len(set(data)) == 1 for data in files_in(root).values())


@pytest.mark.fault("B8")
@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/x", "a//b", "", ".", "..", "a/", "./a", "a\\..\\b", "a\0b", "a\nb", "\ud800"], ids=lambda name: ascii(name)
)
async def test_a_name_that_could_leave_the_folder_is_refused(storage, root, name):
    with pytest.raises(OutputError, match="file name"):
        storage.draft(name)
    assert files_in(root) == {}


@pytest.mark.fault("B8")
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(st.sampled_from("ab./\\\0 é~:"), max_size=12))
def test_no_name_at_all_writes_outside(tmp_path, name):
    inner = tmp_path / "inner"
    inner.mkdir(exist_ok=True)
    (inner / "results").mkdir(exist_ok=True)

    async def attempt():
        storage = LocalStorage(inner)
        try:
            path = await save(storage, name, b"x")
        except OutputError:
            return
        assert (inner / path).resolve().is_relative_to(inner / "results")

    asyncio.run(attempt())
    assert [*tmp_path.iterdir(), *inner.iterdir()] == [inner, inner / "results"]


@pytest.mark.fault("B8")
@posix_only
@pytest.mark.parametrize("link", ["results", "results/sub", "results/earlier"])
async def test_a_link_inside_the_output_folder_is_not_followed(storage, root, tmp_path, link):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / link).parent.mkdir(parents=True)
    if link == "results/earlier":
        await save(storage, "sub/mug.png", b"old")
    (root / link).symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(OutputError, match="is a link"):
        await save(storage, "sub/mug.png", b"new")
    assert not any(elsewhere.iterdir())
    assert storage.sweep() == 0


@pytest.mark.fault("B8")
@posix_only
async def test_a_link_in_the_place_of_a_result_is_replaced_and_its_end_left_alone(storage, root, tmp_path):
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    (root / "results").mkdir(parents=True)
    (root / "results/mug.png").symlink_to(precious)
    await save(storage, "mug.png", b"new")
    assert precious.read_bytes() == b"mine"
    assert not (root / "results/mug.png").is_symlink()
    assert files_in(root) == {"results/mug.png": b"new"}


PLACES = ("results", "results/sub", "results/sub/mug.png", "results/earlier", "results/earlier/sub", "results/mug.png")
OBSTACLES = ("link to a folder", "link to a file", "link to nothing", "fifo", "folder", "file", "device")


def plant(path, kind, elsewhere):
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "link to a folder":
            path.symlink_to(elsewhere, target_is_directory=True)
        case "link to a file":
            path.symlink_to(elsewhere / "precious")
        case "link to nothing":
            path.symlink_to(elsewhere / "not there")
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "file":
            path.write_bytes(b"a user's")
        case "device":
            path.symlink_to("/dev/null")


@posix_only
@pytest.mark.fault("B8", "B9")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(planted=st.dictionaries(st.sampled_from(PLACES), st.sampled_from(OBSTACLES), max_size=4), names=st.permutations(["sub/mug.png", "mug.png"]))
def test_whatever_lies_in_the_way_nothing_is_written_outside_and_nothing_of_a_user_is_lost(tmp_path, planted, names):
    base = Path(tempfile.mkdtemp(dir=tmp_path))
    root, elsewhere = base / "out", base / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_bytes(b"precious")
    for place, kind in sorted(planted.items()):
        if (root / place).parent.resolve().is_relative_to(root.resolve()):
            with contextlib.suppress(OSError):
                plant(root / place, kind, elsewhere)

    def of_the_user():
        return sum(path.is_file() and not path.is_symlink() and path.read_bytes() == b"a user's" for path in root.rglob("*"))

    async def attempt():
        storage = LocalStorage(root)
        for name in names:
            for content in (b"old", b"new"):
                with contextlib.suppress(OutputError):
                    saved = root / await save(storage, name, content)
                    assert saved.read_bytes() == content
                    assert not saved.is_symlink()
        storage.sweep()

    before = of_the_user()
    asyncio.run(attempt())
    assert {path.name: path.read_bytes() for path in elsewhere.iterdir()} == {"precious": b"precious"}
    assert of_the_user() == before
    assert not list(root.rglob("*.part"))


@posix_only
@pytest.mark.fault("B10", "X9")
def test_a_file_is_compared_with_what_was_saved_to_its_last_byte(storage, root):
    path = root / "results" / "mug.png"
    path.parent.mkdir(parents=True)
    digest = hashlib.sha256(b"saved").hexdigest()

    def condition():
        return storage.condition("results/mug.png", digest, 5)

    assert condition() is Condition.MISSING
    path.write_bytes(b"saved")
    assert condition() is Condition.WHOLE
    path.rename(root / "elsewhere.png")
    path.symlink_to(root / "elsewhere.png")
    assert condition() is Condition.WHOLE, "it is all there, wherever it is kept"
    for obstacle in (lambda: path.write_bytes(b"saveD"), lambda: path.write_bytes(b"save"), path.mkdir, lambda: os.mkfifo(path)):
        path.unlink()
        obstacle()
        assert condition() is Condition.ALTERED
        if path.is_dir():
            path.rmdir()
            path.touch()
    assert storage.condition("results/mug.png/x", digest, 5) is Condition.MISSING


@posix_only
async def test_the_output_folder_itself_may_be_a_link(root, tmp_path):
    (tmp_path / "disk").mkdir()
    root.symlink_to(tmp_path / "disk", target_is_directory=True)
    await save(LocalStorage(root), "mug.png", b"1")
    assert (tmp_path / "disk/results/mug.png").read_bytes() == b"1"


@posix_only
async def test_files_have_the_mode_that_the_umask_leaves(storage, root):
    await save(storage, "mug.png", b"1")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((root / "results/mug.png").stat().st_mode) == 0o666 & ~umask


async def test_a_folder_in_the_place_of_a_result_is_an_error_that_says_so(storage, root):
    (root / "results/mug.png").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"(?s)mug\.png cannot be written: is a folder.*move it away"):
        await save(storage, "mug.png", b"1")
    assert files_in(root) == {}


async def test_a_file_in_the_place_of_a_folder_is_an_error_that_says_so(storage, root):
    await save(storage, "shoes", b"1")
    with pytest.raises(OutputError, match=r"(?s)shoes cannot be written: is not a folder.*move it away"):
        await save(storage, "shoes/red.png", b"1")


async def test_an_output_folder_that_is_a_file_is_an_error_that_says_so(root):
    root.write_bytes(b"")
    with pytest.raises(OutputError, match="out cannot be written"):
        await save(LocalStorage(root), "mug.png", b"1")


async def test_a_name_that_is_too_long_is_an_error_that_says_so(storage, root):
    with pytest.raises(OutputError, match=r"Shorten output\.name"):
        await save(storage, "x" * 300 + ".png", b"1")
    assert files_in(root) == {}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission"),
        (errno.EIO, "fault"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EXDEV, "Check the output folder"),
    ],
)
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
async def test_what_the_disk_says_becomes_a_path_and_a_remedy(storage, root, monkeypatch, call, code, words):
    draft = storage.draft("mug")
    await draft.write(PIECE)

    def fail(*args, **options):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as broken:
        broken.setattr(f"batcher.storage.{'Path' if call == 'replace' else 'os'}.{call}", fail)
        with pytest.raises(OutputError, match=words) as caught:
            await (save(storage, "other.png", b"1") if call == "open" else draft.publish(png))
    assert str(root) in caught.value.message
    await draft.discard()
    assert files_in(root) == {}


@posix_only
async def test_a_disk_that_takes_no_more_ends_the_draft_and_leaves_nothing(storage, root):
    draft = storage.draft("mug")
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            await draft.write(PIECE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await draft.discard()
    assert files_in(root) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_file_and_folder_are_made_durable_before_publish_returns(storage, root, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        order.append(f"folder {Path(f'/proc/self/fd/{descriptor}').readlink().name}" if is_folder else "file")
        fsync(descriptor)

    def noted_replace(*args):
        order.append("rename")
        replace(*args)

    monkeypatch.setattr("batcher.storage.os.fsync", noted_fsync)
    monkeypatch.setattr("os.replace", noted_replace)
    await save(storage, "shoes/red.png", b"1")
    assert order == ["folder out", "folder results", "file", "rename", "folder shoes"]
    order.clear()
    await save(storage, "shoes/blue.png", b"1")
    assert order == ["file", "rename", "folder shoes"]


async def test_a_folder_that_is_removed_meanwhile_is_made_again(storage, root):
    await save(storage, "shoes/red.png", b"1")
    (root / "results/shoes/red.png").unlink()
    (root / "results/shoes").rmdir()
    await save(storage, "shoes/red.png", b"2")
    assert files_in(root) == {"results/shoes/red.png": b"2"}


async def test_sweep_removes_what_earlier_processes_left_and_nothing_else(storage, root):
    left, mine = LocalStorage(root).draft("shoes/red"), storage.draft("shoes/red")
    await left.write(PIECE)
    [gone] = (root / "results" / "shoes").iterdir()
    await mine.write(PIECE)
    (root / "results/other.part").write_bytes(b"a user's")
    (root / "results/.hidden.part").write_bytes(b"a user's")
    assert LocalStorage(root.parent / "nowhere").sweep() == 0
    assert storage.sweep() == 1
    assert not gone.exists()
    assert sorted(files_in(root).values()) == [PIECE, b"a user's", b"a user's"]
    await left.discard()
    await mine.discard()


@pytest.mark.parametrize("outcome", ["opened", "failed"])
async def test_cancelled_while_it_is_opened_a_draft_leaves_nothing(storage, root, monkeypatch, outcome):
    started, go = threading.Event(), threading.Event()
    open_file = os.open

    def slow(*args):
        started.set()
        go.wait(5)
        if outcome == "failed":
            raise OSError(errno.ENOSPC, "full")
        return open_file(*args)

    draft = storage.draft("mug")
    monkeypatch.setattr("batcher.storage.os.open", slow)
    task = asyncio.create_task(draft.write(PIECE))
    await asyncio.to_thread(started.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    await draft.discard()
    assert files_in(root) == {}


@pytest.mark.parametrize("outcome", ["published", "failed"])
async def test_cancelled_while_it_is_published_a_file_is_whole_or_not_there(storage, root, monkeypatch, outcome):
    started, go = threading.Event(), threading.Event()
    fsync = os.fsync
    draft = storage.draft("mug")
    await draft.write(b"whole")

    def slow(descriptor):
        started.set()
        go.wait(5)
        if outcome == "failed":
            raise OSError(errno.EIO, "fault")
        fsync(descriptor)

    monkeypatch.setattr("batcher.storage.os.fsync", slow)
    task = asyncio.get_running_loop().create_task(draft.publish(png))
    await asyncio.to_thread(started.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    await draft.discard()
    assert files_in(root) == ({"results/mug.png": b"whole"} if outcome == "published" else {})


async def test_cancelled_twice_while_it_is_written_a_draft_leaves_nothing(storage, root, monkeypatch):
    started, go = threading.Event(), threading.Event()
    write = os.write

    def slow(*args):
        started.set()
        go.wait(5)
        return write(*args)

    draft = storage.draft("mug")
    monkeypatch.setattr("batcher.storage.os.write", slow)
    writing = asyncio.create_task(draft.write(PIECE))
    await asyncio.to_thread(started.wait, 5)
    writing.cancel()
    discarding = asyncio.create_task(draft.discard())
    await asyncio.sleep(0)
    discarding.cancel()
    for task in (writing, discarding):
        with pytest.raises(asyncio.CancelledError):
            await task
    go.set()
    while files_in(root):
        await asyncio.sleep(0.005)


def test_a_new_folder_is_made_to_last_with_its_parents(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(storage_module, "sync_folder", synced.append)
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert sorted(synced) == [tmp_path, tmp_path / "a"]
    make_folder(tmp_path / "a" / "b")
    assert synced[2:] == [tmp_path / "a"]


def test_a_folder_may_lie_in_one_that_cannot_be_read(tmp_path, monkeypatch):
    def deny(folder):
        raise PermissionError(errno.EACCES, "denied", str(folder))

    monkeypatch.setattr(storage_module, "sync_folder", deny)
    make_folder(tmp_path / "out")
    assert (tmp_path / "out").is_dir()
