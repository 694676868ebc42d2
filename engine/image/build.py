"""Builds kernel, initrd and base from Debian packages in a temporary folder. It replaces the older image only when it is complete and has booted."""
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.errors import Refused
from engine.image import needs, trial
from engine.image.initrd import initrd
from engine.image.kernel import unpacked
from engine.runtimes.base import find
from engine.runtimes.qemu.command import PROGRAM
from engine.runtimes.qemu.image import BASE, INITRD, KERNEL, Image
from engine.times import utc

PACKAGES = ("git", "python3", "ca-certificates", "busybox-static", "make")
KERNEL_PACKAGE = "linux-image-cloud-amd64"
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
# With the package lists that the new system is made of, not the host's; only downloaded, for nothing in the guest needs it.
FETCH_KERNEL = f"""export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
package=$(apt-cache depends --important {KERNEL_PACKAGE} | sed -n 's/^ *Depends: \\(linux-image-[0-9][^ ]*\\)$/\\1/p' | head -n 1)
cd {{}} && apt-get -q -o APT::Sandbox::User=root download "$package"
"""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """target: the image's folder. added: further packages. layered: a folder whose files are laid over the image. suite, mirror: of Debian;
    an empty mirror is mmdebstrap's own choice. accelerator: 'auto', or the only one to try."""

    target: Path
    added: tuple[str, ...] = ()
    layered: Path | None = None
    suite: str = "bookworm"
    mirror: str = ""
    accelerator: str = "auto"


def build(plan: Plan, say: Say) -> Image:
    """Builds, boots, and only then takes the place of an older image. Raises Refused with what is missing; then nothing is left behind."""
    parent = plan.target.parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="swarm-image-") as work, tempfile.TemporaryDirectory(prefix=f".{plan.target.name}.", dir=parent) as fresh:
        needs.check(parent, Path(work), plan.layered)
        os.chmod(fresh, 0o755)
        say(f"1/4 Debian {plan.suite} with {' '.join((*PACKAGES, *plan.added))} (most of a minute) …")
        packages = _bootstrap(plan, Path(work))
        say("2/4 the read-only base …")
        _squash(Path(work), Path(fresh))
        say("3/4 kernel and initrd …")
        kernel = _kernel(Path(work), Path(fresh))
        image = Image(Path(fresh), built=utc(), suite=plan.suite, kernel=kernel, packages=packages, added=list(plan.added),
                      layered=str(plan.layered or ""), qemu=_version())
        image.files = {name: _described(image.folder / name) for name in (KERNEL, INITRD, BASE)}
        say("4/4 a test boot chooses the accelerator …")
        trial.choose(image, plan.accelerator, say)
        image.write()
        shutil.rmtree(image.folder / "templates", ignore_errors=True)
        _take_place(image.folder, plan.target)
        os.mkdir(fresh)  # for its end to remove
    return Image.read(plan.target)


def _bootstrap(plan: Plan, work: Path) -> dict[str, str]:
    """work/root.tar and work/*.deb. -> {package: version}"""
    hooks = [FETCH_KERNEL.replace("{}", shlex.quote(str(work))), 'rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*',
             "chroot \"$1\" dpkg-query -W -f '${Package}\\t${Version}\\n' > " + shlex.quote(str(work / "packages")),
             f'cp "$1"/bin/busybox {shlex.quote(str(work))}/busybox',
             'echo agent:x:1000:1000:agent:/home/agent:/bin/sh >> "$1"/etc/passwd; echo agent:x:1000: >> "$1"/etc/group',
             'echo sandbox > "$1"/etc/hostname; printf "127.0.0.1 localhost sandbox\\n::1 localhost\\n" > "$1"/etc/hosts; : > "$1"/etc/machine-id']
    argv = ["mmdebstrap", "--variant=minbase", "--architectures=amd64", f"--include={','.join((*PACKAGES, *plan.added))}",
            '--aptopt=Acquire::Languages "none"', *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
            *(f"--customize-hook={hook}" for hook in hooks)]
    if plan.layered is not None:
        argv.append(f"--customize-hook=sync-in {shlex.quote(str(plan.layered))} /")
    os.chmod(work, 0o777)  # without root, other ids write the kernel into it
    argv += [plan.suite, str(work / "root.tar"), *([plan.mirror] if plan.mirror else [])]
    said = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", env=_environment())
    if said.returncode:
        raise Refused(_why(said.stderr, plan))
    return dict(line.split("\t", 1) for line in (work / "packages").read_text().splitlines())


def _why(said: str, plan: Plan) -> str:
    """mmdebstrap's many lines in one sentence."""
    lines = [line.strip() for line in said.splitlines() if re.match(r"\s*(E:|error|W: Failed)", line)] or said.strip().splitlines() or ["no message"]
    if re.search(r"Unable to locate package (\S+)", said):
        name = re.search(r"Unable to locate package (\S+)", said)
        return f"Debian {plan.suite} has no package {name[1] if name else '?'}. Look at SWARM_VM_PACKAGES."
    if re.search(r"Could not (resolve|connect)|Temporary failure resolving|Failed to fetch|Connection (refused|timed out)|Unable to connect", said):
        return f"The Debian packages cannot be fetched ({lines[0][:300]}). Look at the network, or set SWARM_VM_MIRROR to a mirror that can be reached."
    if "No space left on device" in said:
        return f"The disk became full while the image was built ({tempfile.gettempdir()}). Free some space, or set TMPDIR to a folder with more."
    return f"mmdebstrap could not make the system: {' '.join(lines)[:400]}"


def _squash(work: Path, fresh: Path) -> None:
    with open(work / "root.tar", "rb") as tar:
        said = subprocess.run(["mksquashfs", "-", str(fresh / BASE), "-tar", "-comp", "lz4", "-noappend", "-quiet", "-no-progress"], stdin=tar,
                              capture_output=True, text=True, errors="replace")
    if said.returncode:
        raise Refused(f"mksquashfs could not make the base: {said.stderr.strip()[-300:]}")
    (work / "root.tar").unlink()


def _kernel(work: Path, fresh: Path) -> str:
    """The kernel and its initrd. -> its version"""
    package = next(work.glob("linux-image-*.deb"), None)
    if package is None:
        raise Refused(f"The package {KERNEL_PACKAGE} could not be fetched.")
    subprocess.run(["dpkg-deb", "-x", str(package), str(work / "kernel")], check=True)
    path = next((work / "kernel" / "boot").glob("vmlinuz-*"))
    (fresh / KERNEL).write_bytes(unpacked(path.read_bytes()))
    (fresh / INITRD).write_bytes(initrd(work / "kernel", (work / "busybox").read_bytes()))
    return package.name.split("_")[1]


def _take_place(fresh: Path, target: Path) -> None:
    """Machines that run keep what they have open; those that start find the old image or the new one."""
    aside = fresh.with_name(fresh.name + ".old")
    if target.exists():
        os.rename(target, aside)
    os.rename(fresh, target)
    shutil.rmtree(aside, ignore_errors=True)


def _described(path: Path) -> dict[str, object]:
    with open(path, "rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SWARM_")} | {"LC_ALL": "C.UTF-8"}


def _version() -> str:
    said = subprocess.run([find(PROGRAM) or PROGRAM, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"version (\S+)", said)
    return found[1] if found else "unknown"
