"""Packages of Node.js: the lock file names the program that installs them."""
from engine.environments.detect.parts import Part, Tree, used
from engine.environments.steps import Steps

LOCKS = {"package-lock.json": "npm ci", "npm-shrinkwrap.json": "npm ci", "pnpm-lock.yaml": "pnpm install --frozen-lockfile",
         "yarn.lock": "yarn install --frozen-lockfile", "bun.lock": "bun install --frozen-lockfile", "bun.lockb": "bun install --frozen-lockfile"}


def detect(tree: Tree) -> Part | None:
    names = set(tree.names())
    if "package.json" not in names:
        return None
    lock = next((name for name in LOCKS if name in names), None)
    if lock is None:
        return Part(Steps(setup=("npm install",), hosts=("npm",)), [used("package.json", "npm installs its packages; there is no lock file.")])
    return Part(Steps(setup=(LOCKS[lock],), hosts=("npm",)), [used(lock, f"{LOCKS[lock].split()[0]} installs exactly these versions.")])
