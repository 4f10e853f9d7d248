"""Run the steps of the Dockerfile in a new virtual environment, without Docker.

    python tools/release/run_dockerfile.py

Paths of the image lie in a temporary folder. FROM, COPY, RUN, WORKDIR, ENTRYPOINT and CMD are known; another
instruction is an error.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
IGNORED = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "demo", "__pycache__", "*.egg-info")


def read_steps(text: str) -> list[tuple[str, str]]:
    """Return instruction and argument of every line; comments and empty lines are left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def run_steps(steps: list[tuple[str, str]], image: Path) -> None:
    """Run the steps in order below the folder `image`; ValueError for unknown instructions."""
    environment = os.environ | {"PATH": f"{image / 'venv' / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": ""}
    last: list[str] = []
    for name, argument in steps:
        print(f"{name} {argument}", flush=True)
        if name == "FROM":
            venv.create(image / "venv", with_pip=True)
        elif name == "COPY":
            source, target = argument.split()
            shutil.copytree(ROOT / source, image / target.lstrip("/"), ignore=IGNORED)
        elif name == "RUN":
            command = argument.replace("/source", str(image / "source"))
            subprocess.run(command, shell=True, check=True, env=environment, cwd=image)
        elif name == "WORKDIR":
            (image / argument.lstrip("/")).mkdir(parents=True)
        elif name in ("ENTRYPOINT", "CMD"):
            last += json.loads(argument)
        else:
            raise ValueError(f"{name} is not known here; FROM, COPY, RUN, WORKDIR, ENTRYPOINT and CMD are.")
    subprocess.run(last, check=True, env=environment, cwd=image, stdout=subprocess.DEVNULL)


def main() -> None:
    """Run the Dockerfile of this repository."""
    with tempfile.TemporaryDirectory() as folder:
        run_steps(read_steps((ROOT / "Dockerfile").read_text(encoding="utf-8")), Path(folder))
    sys.stdout.write("The image's command runs.\n")


if __name__ == "__main__":
    main()
