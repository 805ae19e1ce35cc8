from __future__ import annotations

from pathlib import Path

import pytest

from batcher.ledger.filesystem import is_network

pytestmark = pytest.mark.fault("B7")

MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/export /srv/shared nfs4 rw 0 0
//nas/photos /mnt/my\\040photos cifs rw 0 0
/dev/sdb1 /srv/shared/local xfs rw 0 0
me@host:/ /home/me/remote fuse.sshfs rw 0 0
tmpfs /run tmpfs rw 0 0
over /run ceph rw 0 0

garbage
"""


@pytest.mark.parametrize(
    ("path", "network"),
    [
        ("/", False),
        ("/home/me/out", False),
        ("/srv/shared", True),
        ("/srv/shared/a/b", True),
        ("/srv/shared-not", False),
        ("/srv/shared/local/x", False),
        ("/mnt/my photos/out", True),
        ("/mnt/my photo", False),
        ("/home/me/remote/out", True),
        ("/run/x", True),
    ],
)
def test_the_innermost_and_latest_mount_counts(tmp_path: Path, path: str, network: bool) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert is_network(Path(path), mounts) is network


def test_links_are_followed(tmp_path: Path) -> None:
    target = tmp_path / "disk"
    target.mkdir()
    (tmp_path / "link").symlink_to(target)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/ {target.resolve()} nfs rw 0 0\n")
    assert is_network(tmp_path / "link" / "out", mounts)


def test_where_the_system_does_not_tell_it_is_taken_for_local(tmp_path: Path) -> None:
    assert not is_network(tmp_path, tmp_path / "missing")


@pytest.mark.parametrize(
    "kind",
    ["nfs", "nfs3", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "9p", "fuse.sshfs", "fuse.s3fs", "fuse.rclone"],
)
def test_every_kind_of_network_disk_is_known(tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/ /srv {kind} rw 0 0\n/dev/sda1 /home ext4\n")
    assert is_network(Path("/srv/out"), mounts)
    assert not is_network(Path("/home/out"), mounts)


def test_names_that_are_no_text_hide_no_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_bytes(b"/dev/sdb /mnt/\xff ext4 rw 0 0\nserver:/ /mnt/b\xc3\xa4r nfs rw 0 0\n")
    assert is_network(Path("/mnt/bär/out"), mounts)


def test_a_root_on_the_network(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("server:/ / nfs rw 0 0\n")
    assert is_network(Path("/anything"), mounts)
