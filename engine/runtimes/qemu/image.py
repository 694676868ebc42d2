"""What `make vm-image` leaves in data/images/<name>/: kernel, initrd, the read-only base, and image.json, which says what they are."""
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.files import write_json

PROTOCOL = 2  # version of the protocol between host and guest; an image with another version must be built again
KERNEL, INITRD, BASE, DESCRIPTION = "kernel", "initrd", "base.squashfs", "image.json"
MAKE = "Build it with: make vm-image"


@dataclass
class Image:
    """packages: {name: version}. files: {name: {"sha256", "bytes"}}. accelerator: 'kvm' or 'tcg', why: how that was found.
    built: UTC text. boot_seconds: of the test boot."""

    folder: Path
    protocol: int = PROTOCOL
    built: str = ""
    suite: str = ""
    kernel: str = ""
    qemu: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    layered: str = ""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    accelerator: str = "tcg"
    why: str = ""
    boot_seconds: float = 0.0

    def write(self) -> None:
        write_json(self.folder / DESCRIPTION, {name: value for name, value in asdict(self).items() if name != "folder"})

    @classmethod
    def read(cls, folder: Path) -> "Image":
        """Reads the image's description. Raises ValueError, with a sentence for people, if there is no usable image."""
        try:
            values = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            image = cls(folder, **values)
            if image.protocol == PROTOCOL:
                for name, said in image.files.items():
                    if os.stat(folder / name).st_size != said["bytes"]:
                        raise ValueError(f"The file {name} of the VM image in {folder} was changed after the build. {MAKE}")
        except FileNotFoundError as error:
            what = "There is no VM image" if Path(str(error.filename)).name == DESCRIPTION else f"A file is missing of the VM image: {error.filename} is not"
            raise ValueError(f"{what} in {folder}. {MAKE}" if what[0] == "T" else f"{what} there. {MAKE}") from None
        except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"The VM image in {folder} cannot be read ({type(error).__name__}). {MAKE}") from None
        if image.protocol != PROTOCOL:
            raise ValueError(f"The VM image in {folder} was built for another version of HITL Swarm. {MAKE}")
        return image

    def usable_accelerator(self) -> str:
        """The one that the test boot chose; without /dev/kvm, tcg, which runs everywhere."""
        return "kvm" if self.accelerator == "kvm" and os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"
