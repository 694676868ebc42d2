"""The image for virtual machines: what building one refuses, what is looked at before one is used, and how memory is shared out."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import require

from engine.config import ROOT, Config
from engine.errors import Refused, Transient
from engine.image import needs
from engine.image.initrd import initrd
from engine.jobs import Limits, VmSpec
from engine.runtimes import Choice, choose, make
from engine.runtimes.base import SandboxJob
from engine.runtimes.described import described
from engine.runtimes.qemu import Qemu, memory
from engine.runtimes.qemu.disks import write_swap
from engine.runtimes.qemu.image import Image


def make_image(**values: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "engine.image"], cwd=ROOT, capture_output=True, text=True, env={**os.environ, **values})


def left_in(data: Path) -> list[str]:
    return sorted(str(path.relative_to(data)) for path in data.rglob("*") if path.is_file())


def test_programs_that_are_missing_are_named_with_what_installs_them(tmp_path: Path) -> None:
    said = make_image(PATH=str(tmp_path), SWARM_DATA=str(tmp_path / "data"))
    assert (said.returncode, left_in(tmp_path / "data")) == (2, [])
    assert "mmdebstrap" in said.stderr and "squashfs-tools" in said.stderr and "make system-deps" in said.stderr


def said_to_nobody(call: str, **environment: str) -> str:
    """What a user without rights reads when `call` refuses."""
    program = ("import os\nfrom pathlib import Path\nfrom engine.image import needs\nos.setgid(65534); os.setuid(65534)\n"
               f"try: needs.{call}\nexcept Exception as error: print(error)")
    if os.geteuid() != 0:
        pytest.skip("this needs root to become somebody else")
    return subprocess.run([sys.executable, "-B", "-c", program], cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment}).stdout


def test_without_root_one_program_more_is_needed(tmp_path: Path) -> None:
    assert "uidmap" in said_to_nobody("check(Path('/tmp'), Path('/tmp'), None)", PATH=str(tmp_path))


def test_without_root_and_without_subordinate_ids_it_says_which_line_is_needed(tmp_path: Path) -> None:
    require("mmdebstrap")
    said = said_to_nobody("_check_subuids()")
    assert "You are not root, and /etc/subuid has no 65536 subordinate ids for nobody" in said and "nobody:100000:65536" in said


def test_a_mirror_that_cannot_be_reached_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    for program in ("mmdebstrap", "mksquashfs", "qemu-system-x86_64"):
        require(program)
    said = make_image(SWARM_DATA=str(tmp_path), SWARM_VM_MIRROR="http://127.0.0.1:9/debian")
    assert (said.returncode, left_in(tmp_path)) == (2, [])
    assert "The Debian packages cannot be fetched" in said.stderr and "SWARM_VM_MIRROR" in said.stderr


def test_too_little_space_is_said_before_anything_is_begun(tmp_path: Path) -> None:
    for program in ("mmdebstrap", "mksquashfs", "qemu-system-x86_64"):
        require(program)
    with pytest.raises(Refused, match=r"MB free in .* and building the VM image takes up to"):
        needs.check(tmp_path, tmp_path, None, free_mb=10**9)


def test_a_folder_to_lay_over_the_image_must_be_there(tmp_path: Path) -> None:
    for program in ("mmdebstrap", "mksquashfs", "qemu-system-x86_64"):
        require(program)
    with pytest.raises(Refused, match="is not a folder"):
        needs.check(tmp_path, tmp_path, tmp_path / "nowhere")


@pytest.mark.parametrize("value", ["git; rm -rf /", "--option", "Git", "a/b"])
def test_only_names_of_packages_are_taken(value: str) -> None:
    with pytest.raises(Refused, match="SWARM_VM_PACKAGES"):
        Config.from_env({"SWARM_VM_PACKAGES": value})


def test_a_driver_that_the_kernel_does_not_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="The kernel package has no driver virtio_pci"):
        initrd(tmp_path, b"")


def an_image(folder: Path) -> Image:
    folder.mkdir(parents=True)
    image = Image(folder, built="2026-01-01T00:00:00.000Z", files={"kernel": {"sha256": "", "bytes": 5}}, packages={"git": "1:2.39"})
    (folder / "kernel").write_text("12345")
    image.write()
    return image


def why_not(image: Path) -> str:
    return Qemu(VmSpec(str(image))).probe() or ""


def test_an_image_that_is_missing_broken_or_of_another_version_is_not_used(tmp_path: Path) -> None:
    require("qemu-system-x86_64")
    assert "There is no VM image in" in why_not(tmp_path / "none") and "make vm-image" in why_not(tmp_path / "none")
    folder = tmp_path / "default"
    an_image(folder)
    assert why_not(folder) == ""
    (folder / "kernel").write_text("123")
    assert "kernel" in why_not(folder) and "was changed after the build" in why_not(folder)
    (folder / "kernel").unlink()
    assert "A file is missing of the VM image" in why_not(folder)
    said = json.loads((folder / "image.json").read_text())
    (folder / "image.json").write_text(json.dumps({**said, "protocol": 0}))
    assert "was built for another version" in why_not(folder)
    for text in ("{", "[]", '{"unknown": 1}'):
        (folder / "image.json").write_text(text)
        assert "cannot be read" in why_not(folder)


def test_auto_takes_virtual_machines_first_where_there_is_an_image(tmp_path: Path) -> None:
    require("qemu-system-x86_64")
    an_image(tmp_path / "images" / "default")
    choice = choose("auto", Config(data=tmp_path).vm)
    assert (choice.runtime.name, choice.passed_over, choice.fallback) == ("qemu", [], False)


def test_an_image_that_was_tested_with_kvm_runs_without_it_where_there_is_none(tmp_path: Path) -> None:
    image = an_image(tmp_path / "default")
    image.accelerator = "kvm"
    assert image.usable_accelerator() == ("kvm" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg")


def test_no_more_machines_at_once_than_the_memory_of_the_host_holds() -> None:
    one = VmSpec("", memory_mb=256)
    half = VmSpec("", memory_mb=round(memory._read("MemTotal") * 0.4))
    assert (memory.most_vms(half), memory.most_vms(VmSpec("", memory_mb=10**6))) == (2, 0)
    assert memory.most_vms(one) > memory.most_vms(VmSpec("", memory_mb=512)) > 2
    assert (Choice(make("qemu", half)).most, Choice(make("process")).most) == (2, None)


def test_a_machine_that_does_not_fit_now_is_tried_again_later(tmp_path: Path) -> None:
    require("qemu-system-x86_64")
    an_image(tmp_path / "default")
    total = round(memory._read("MemTotal"))
    spec = VmSpec(str(tmp_path / "default"), memory_mb=round(total * 0.9) - 201)  # the host holds one, if nothing else ran
    sentence = memory.shortage(VmSpec("", memory_mb=total))
    assert sentence and "A virtual machine needs" in sentence and "SWARM_VM_MEMORY_MB" in sentence
    with pytest.raises(Transient):
        limits = Limits(1, 1, 1, 1, 1, 1, 1)
        too_large = VmSpec(spec.image, memory_mb=total)
        Qemu(too_large).start(SandboxJob("r", ("true",), tmp_path, tmp_path, tmp_path / "work", {}, limits, 1, 1))


def test_what_is_shown_of_an_image_has_its_age_packages_and_accelerator(tmp_path: Path) -> None:
    an_image(tmp_path / "images" / "default")
    shown = described(Config(data=tmp_path).vm)
    assert (shown["name"], shown["accelerator"], shown["packages"], shown["why_not"]) == ("default", "tcg", {"git": "1:2.39"}, None)
    assert shown["age"] > 0
    assert "make vm-image" in described(Config(data=tmp_path / "none").vm)["why_not"]


def test_the_swap_disk_is_sparse_and_one_that_linux_knows(tmp_path: Path) -> None:
    write_swap(tmp_path / "swap", 1000)
    status = (tmp_path / "swap").stat()
    assert status.st_blocks * 512 < 100_000 and 999_000_000 < status.st_size <= 1_000_000_000
    said = subprocess.run(["blkid", "-p", str(tmp_path / "swap")], capture_output=True, text=True)
    assert 'TYPE="swap"' in said.stdout or said.returncode == 127
