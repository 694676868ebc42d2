"""The virtual machines' image and the VMs that start from it, for people."""
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.jobs import VmSpec
from engine.runtimes.qemu.image import Image
from engine.runtimes.qemu.memory import most_vms


def described(spec: VmSpec) -> dict[str, Any]:
    """{name, memory_mb, cpus, disk_mb, templates, most (VMs that the host's memory holds), why_not} and, where why_not is None, of the
    image {built, age (seconds), suite, kernel, qemu, accelerator, why, boot_seconds, bytes, packages: {name: version}, added, layered}."""
    folder = Path(spec.image)
    found: dict[str, Any] = {"name": folder.name, "memory_mb": spec.memory_mb, "cpus": spec.cpus, "disk_mb": spec.disk_mb,
                             "templates": spec.templates, "most": most_vms(spec), "why_not": None}
    try:
        image = Image.read(folder)
        age = time.time() - datetime.fromisoformat(image.built).timestamp()
    except ValueError as why:
        return {**found, "why_not": str(why)}
    return {**found, "built": image.built, "age": max(0, round(age)), "suite": image.suite, "kernel": image.kernel, "qemu": image.qemu,
            "accelerator": image.usable_accelerator(), "why": image.why, "boot_seconds": image.boot_seconds, "packages": image.packages,
            "bytes": sum(said["bytes"] for said in image.files.values()), "added": image.added, "layered": image.layered}
