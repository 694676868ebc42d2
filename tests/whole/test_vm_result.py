"""What a guest hands over is read with suspicion: plain files with plain names come out of the tar, everything else is a named failure."""
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import AgentFailed
from engine.runtimes.qemu.result import unpack

Fill = Callable[[tarfile.TarFile], None]


def entry(name: str, data: bytes = b"", **fields: object) -> Fill:
    def fill(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        for field, value in fields.items():
            setattr(info, field, value)
        tar.addfile(info, io.BytesIO(data))
    return fill


def archive(tmp_path: Path, *fills: Fill, form: int = tarfile.USTAR_FORMAT) -> Path:
    path = tmp_path / "result"
    with tarfile.open(path, "w", format=form) as tar:
        for fill in fills:
            fill(tar)
    return path


def test_plain_files_come_out_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    unpack(archive(tmp_path, entry("out.bundle", b"x" * 1000), entry("request.json", b"{}"), entry("empty")), tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {"out.bundle": b"x" * 1000, "request.json": b"{}", "empty": b""}


HOSTILE = [
    (entry("../escape", b"x"), "'../escape' is not a name"), (entry("/etc/cron.d/x", b"x"), "is not a name"), (entry("a/b", b"x"), "is not a name"),
    (entry("..", b"x"), "is not a name"), (entry("-rf", b"x"), "is not a name"), (entry("a\nb", b"x"), "is not a name"),
    (entry("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "'link' is a symbolic link"),
    (entry("hard", type=tarfile.LNKTYPE, linkname="out.bundle"), "'hard' is a hard link"),
    (entry("disk", type=tarfile.BLKTYPE, devmajor=8), "'disk' is a device"), (entry("null", type=tarfile.CHRTYPE, devmajor=1), "'null' is a device"),
    (entry("pipe", type=tarfile.FIFOTYPE), "'pipe' is a pipe"), (entry("folder", type=tarfile.DIRTYPE), "is a folder"),
    (entry("sparse", type=tarfile.GNUTYPE_SPARSE), "'sparse' is no plain file"),
]


@pytest.mark.parametrize(("fill", "says"), HOSTILE, ids=[says for _, says in HOSTILE])
def test_what_is_no_plain_file_is_refused_and_named(tmp_path: Path, fill: Fill, says: str) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(AgentFailed, match="The virtual machine's outputs cannot be used") as failure:
        unpack(archive(tmp_path, fill), tmp_path / "out")
    assert says in failure.value.sentence
    assert list((tmp_path / "out").iterdir()) == []


def test_long_names_of_other_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with pytest.raises(AgentFailed, match="no plain file"):
            unpack(archive(tmp_path, entry("n" * 200, b"x"), form=form), tmp_path / "out")


def test_a_tar_that_is_cut_off_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    whole = archive(tmp_path, entry("out.bundle", b"x" * 1000)).read_bytes()
    for length in (0, 1, 511, 512, 700, 1511, 1535, 1536):
        (tmp_path / "result").write_bytes(whole[:length])
        with pytest.raises(AgentFailed, match="cut off"):
            unpack(tmp_path / "result", tmp_path / "out")


def test_what_is_no_tar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for data in (b"# v2 git bundle\n" * 100, b"\xff" * 1024, b"a" * 512 + bytes(1024)):
        (tmp_path / "result").write_bytes(data)
        with pytest.raises(AgentFailed, match=r"it is no tar|malformed"):
            unpack(tmp_path / "result", tmp_path / "out")


def test_a_size_that_the_tar_only_claims_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(AgentFailed, match="more than 1000 files or 512 MB"):
        unpack(_claims(tmp_path, 600_000_000), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def _claims(tmp_path: Path, size: int) -> Path:
    info = tarfile.TarInfo("out.bundle")
    info.size = size
    (tmp_path / "result").write_bytes(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024))
    return tmp_path / "result"


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(AgentFailed, match="more than 1000 files"):
        unpack(archive(tmp_path, *(entry(f"f{number}") for number in range(1001))), tmp_path / "out")


def test_a_link_that_lies_where_a_file_goes_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "out" / "out.bundle").symlink_to(tmp_path / "victim")
    unpack(archive(tmp_path, entry("out.bundle", b"theirs")), tmp_path / "out")
    assert ((tmp_path / "victim").read_text(), (tmp_path / "out" / "out.bundle").read_text()) == ("mine", "theirs")
