"""python -m engine.image: builds the VM image by the settings. With --again: only the test boot of the image that is there."""
import argparse
import sys
import time

from engine.config import Config
from engine.errors import Refused
from engine.image import trial
from engine.image.build import Plan, build
from engine.runtimes.qemu.image import Image


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.image", description="Builds the image that virtual machines start from (make vm-image).")
    parser.add_argument("--again", action="store_true", help="only repeat the test boot of the existing image, for example on another host")
    arguments = parser.parse_args()
    began = time.monotonic()
    try:
        config = Config.from_env()
        if arguments.again:
            image = _again(config)
        else:
            image = build(Plan(config.image, config.vm_packages, config.vm_files, config.vm_suite, config.vm_mirror, config.vm_accelerator), _say)
    except Refused as refused:
        print(f"make vm-image: {refused.sentence}", file=sys.stderr)
        return 2
    size = sum(said["bytes"] for said in image.files.values()) // 1_000_000
    print(f"{image.folder}: {len(image.packages)} packages, kernel {image.kernel}, {size} MB, {image.accelerator} ({image.why}); "
          f"{time.monotonic() - began:.0f} s")
    return 0


def _again(config: Config) -> Image:
    try:
        image = Image.read(config.image)
    except ValueError as why:
        raise Refused(str(why)) from None
    trial.choose(image, config.vm_accelerator, _say)
    image.write()
    return image


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
