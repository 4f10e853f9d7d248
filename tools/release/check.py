"""Check that a release may go out, and print what remains to be done.

    python tools/release/check.py [--offline]

Builds sdist and wheel into build/release, checks both with twine, and compares version, size, change logs, citation
and recipe. Exits with 1 if anything fails. --offline leaves out the address of the repository.
"""

import hashlib
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path

import conda_recipe

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "build" / "release"
RECIPE = ROOT / "recipe" / "meta.yaml"
MAX_WHEEL_BYTES = 7_000_000
"""A wheel of this size holds the package and one network; a second network belongs into a download."""
QUOTING, TEXTS = (
    ("docs", "models", "openeo_process", "recipe", "src", "tools", "udf"),
    {".cff", ".cfg", ".json", ".md", ".py", ".yaml"},
)
"""Folders and kinds of files that may quote the address of the repository, and kinds at the top."""
PLACEHOLDER = "YOUR-GITHUB-NAME"
"""Stands in the recipe for those who look after it on conda-forge."""
BY_HAND = """
By hand, in this order:
  1. in CHANGELOG.md write today's date in place of `unreleased` after {version}, in CITATION.cff the line
     `date-released: YYYY-MM-DD` after the version; commit; git tag v{version} && git push --tags
  2. kappamask archive -o build/release --python 3.11; attach the zip to the release of the tag, where
     `kappamask submit` looks for it: {archive}
  3. python -m twine upload build/release/kappamask_openeo-{version}*
  4. recipe/meta.yaml to conda-forge, with the sha256 of the sdist: {sha256}
     and the GitHub names of its maintainers in place of {placeholder}
"""


def read_metadata() -> dict[str, str]:
    """Read the section `metadata` of setup.cfg."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return dict(config["metadata"])


def build_packages() -> tuple[Path, Path]:
    """Build and return sdist and wheel."""
    for old in OUTPUT.glob("kappamask_openeo-*"):
        old.unlink()
    subprocess.run([sys.executable, "-m", "build", "--outdir", OUTPUT, ROOT], check=True, stdout=subprocess.DEVNULL)
    return next(OUTPUT.glob("*.tar.gz")), next(OUTPUT.glob("*.whl"))


def find_version(path: str, pattern: str) -> str | None:
    """Return what the group of `pattern` matches first in the file at `path`."""
    found = re.search(pattern, (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    return found.group(1) if found else None


def passes_twine(*paths: Path) -> bool:
    """Return whether `twine check --strict` accepts the packages."""
    return subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *paths]).returncode == 0


def is_committed() -> bool:
    """Return whether the working tree is that of the last commit."""
    return not subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout  # fmt: skip


def is_recipe_right() -> bool:
    """Print what conda-forge's linter would refuse, and return whether there is nothing."""
    faults = conda_recipe.find_faults(conda_recipe.read_recipe(RECIPE), RECIPE.read_text(encoding="utf-8"))
    return not print_all([f"{RECIPE.name}: {fault}" for fault in faults])


def print_all(faults: list[str]) -> list[str]:
    """Print faults and return them."""
    print("\n".join(faults), end="\n" if faults else "")
    return faults


def find_other_addresses(url: str) -> list[str]:
    """List the addresses other than `url` that files quote as this repository."""
    address = re.compile(rf"https://github\.com/[\w.-]+/{re.escape(url.rpartition('/')[2])}")
    files = [path for path in ROOT.glob("*.*") if path.suffix in TEXTS]
    files += [path for folder in QUOTING for path in (ROOT / folder).rglob("*") if path.suffix in TEXTS]
    quoted = {found for path in files for found in address.findall(path.read_text(encoding="utf-8", errors="ignore"))}
    return sorted(quoted - {url})


def is_reachable(url: str) -> bool:
    """Return whether a page is there."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def main() -> int:
    """Run all checks and return the exit status."""
    metadata = read_metadata()
    version = metadata["version"]
    sdist, wheel = build_packages()
    checks: dict[str, Callable[[], bool]] = {
        "everything is committed": is_committed,
        "twine check --strict": lambda: passes_twine(sdist, wheel),
        f"the wheel has at most {MAX_WHEEL_BYTES:,} bytes": lambda: wheel.stat().st_size <= MAX_WHEEL_BYTES,
        f"CHANGELOG.md begins with {version}": lambda: find_version("CHANGELOG.md", r"^## (\S+)") == version,
        f"CITATION.cff names {version}": lambda: find_version("CITATION.cff", r"^version: (\S+)") == version,
        f"recipe/meta.yaml names {version}": lambda: (
            find_version("recipe/meta.yaml", r'set version = "([^"]+)"') == version
        ),
        f"all files quote {metadata['url']}": lambda: not print_all(find_other_addresses(metadata["url"])),
        "recipe/meta.yaml keeps conda-forge's rules": is_recipe_right,
    }
    if "--offline" not in sys.argv:
        checks[f"{metadata['url']} is there"] = lambda: is_reachable(metadata["url"])
    failed = [name for name, check in checks.items() if not check()]
    for name in checks:
        print(f"{'FAILED' if name in failed else 'ok':>6}  {name}")
    archive = f"{metadata['url']}/releases/download/v{version}/kappamask-deps-compact-cp311.zip"
    digest = hashlib.sha256(sdist.read_bytes()).hexdigest()
    print(BY_HAND.format(version=version, archive=archive, sha256=digest, placeholder=PLACEHOLDER))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
