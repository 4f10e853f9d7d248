"""Run openEO's test suite and JavaScript client against `kappamask serve`, and write the outcomes.

    python tools/conformance/run.py SUITE -o docs/results/conformance.md

SUITE: a checkout of github.com/Open-EO/openeo-test-suite. Its submodules may be left out: the specifications of
processes then come from openeo-driver, and the parts that need the submodules are named as not run.
A failure without a reason in reasons.json ends the run with exit code 1, after the page is written.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from openeo_driver.specs import SPECS_ROOT
from scenes import write_scenes

from kappamask.backend.server import Server, running_server

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1] / "tests/helpers"))
from oidc import CLIENT as OIDC_CLIENT  # noqa: E402
from oidc import SECRET, provider  # noqa: E402

CLIENT = "@openeo/js-client@2.12.0"
PARTS = {
    "Collection metadata": ("collections", ()),
    "Process metadata": ("processes/metadata", ()),
    "Workflows": ("workflows", ("--s2-collection", "SENTINEL2_L2A")),
    "API compliance": ("general", ()),
    "Individual processes": ("processes/processing", ("--runner", "http")),
}
"""Part of the suite -> folder of its tests, and options."""
NEEDS_OIDC = ("API compliance", "Individual processes")
"""Parts that log in by OpenID Connect only."""
NEEDS = {"API compliance": "assets/openeo-api/openapi.yaml", "Individual processes": "assets/processes/tests"}
"""Part of the suite -> file of a submodule without which it cannot run."""


@dataclass(frozen=True)
class Outcome:
    """What came of one test."""

    part: str
    name: str
    outcome: str
    """passed, failed or skipped"""
    message: str


def main() -> int:
    """Parse the command line, run everything, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results/conformance.md"))
    parser.add_argument("--python", help="a Python in which the suite is installed; by default one is made")
    parser.add_argument("--work", type=Path, default=Path("build/conformance"))
    parser.add_argument("--part", action="append", choices=PARTS, help="a part to run, repeatable; by default all are")
    given = parser.parse_args()
    work = given.work.resolve()
    suite, python = copy_suite(given.suite, work / "suite"), given.python or install_suite(given.suite, work / "venv")
    left_out = {part: f"needs `{need}` of a submodule" for part, need in NEEDS.items() if not (suite / need).exists()}
    left_out |= {part: "not asked for" for part in PARTS if part not in (given.part or PARTS)}
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        write_scenes(Path(folder))
        with (
            provider(lifetime=24 * 3600) as oidc,
            running_server(folder, user="conformance", password="conformance", oidc=oidc.to_openeo()) as server,  # noqa: S106
        ):
            for part in [part for part in PARTS if part not in left_out]:
                outcomes += run_suite(part, suite, python, server)
            outcomes += run_client(work / "client", server)
    outcomes.sort(key=lambda one: (one.part, one.name))
    unexplained = write_page(given.output, outcomes, left_out, list_commits(given.suite))
    print(f"{given.output}: {len(outcomes)} tests, {unexplained} failures without a reason")  # noqa: T201
    return 1 if unexplained else 0


def copy_suite(source: Path, target: Path) -> Path:
    """Copy the suite, and put openeo-driver's process specifications where a submodule is missing."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".git", "reports"))
    processes = target / "assets/processes"
    processes.mkdir(parents=True, exist_ok=True)
    if not any(processes.glob("*.json")):
        for path in (SPECS_ROOT / "openeo-processes/2.x").glob("*.json"):
            shutil.copy(path, processes)
    return target


def install_suite(source: Path, folder: Path) -> str:
    """Install the suite into a virtual environment of its own; the path of its Python."""
    python = folder / "bin/python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", source.resolve()], check=True)  # noqa: S603
    return str(python)


def run_suite(part: str, suite: Path, python: str, server: Server) -> list[Outcome]:
    """Run one part of the suite against the server."""
    folder, options = PARTS[part]
    report = suite / f"{folder.replace('/', '-')}.xml"
    method = "client_credentials" if part in NEEDS_OIDC else "basic"
    account = {
        "OPENEO_AUTH_METHOD": method, "OPENEO_AUTH_BASIC_USERNAME": server.user, "PYTHONPATH": str(suite / "src"),
        "OPENEO_AUTH_BASIC_PASSWORD": server.password, "USERNAME": server.user, "PASSWORD": server.password,
        "OPENEO_AUTH_PROVIDER_ID": "local", "OPENEO_AUTH_CLIENT_ID": OIDC_CLIENT, "OPENEO_AUTH_CLIENT_SECRET": SECRET,
    }  # fmt: skip
    command = [
        python, "-m", "pytest", "-q", "--tb=short", f"src/openeo_test_suite/tests/{folder}", "-U", server.url, *options,
        f"--junit-xml={report}",
    ]  # fmt: skip
    subprocess.run(command, cwd=suite, env=os.environ | account, check=False)  # noqa: S603
    return [_outcome(part, case) for case in ElementTree.parse(report).iter("testcase")]  # noqa: S314


def _outcome(part: str, case: ElementTree.Element) -> Outcome:
    problem = next((case.find(tag) for tag in ("failure", "error", "skipped") if case.find(tag) is not None), None)
    if problem is None:
        return Outcome(part, str(case.get("name")), "passed", "")
    outcome = "skipped" if problem.tag == "skipped" else "failed"
    return Outcome(part, str(case.get("name")), outcome, str(problem.get("message", "")))


def run_client(folder: Path, server: Server) -> list[Outcome]:
    """Run `client.mjs` with the JavaScript client from npm."""
    folder.mkdir(parents=True, exist_ok=True)
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        sys.exit("The JavaScript client needs node and npm; install Node.js 20 or newer.")
    subprocess.run([npm, "install", "--silent", "--no-audit", "--prefix", folder, CLIENT], check=True)  # noqa: S603
    names = {
        "CLIENT_FOLDER": str(folder), "BACKEND_URL": server.url, "BACKEND_USER": server.user,
        "BACKEND_PASSWORD": server.password,
    }  # fmt: skip
    printed = subprocess.run(  # noqa: S603
        [node, HERE / "client.mjs"], env=os.environ | names, check=True, capture_output=True, text=True
    ).stdout
    return [Outcome("JavaScript client", **found) for found in json.loads(printed.splitlines()[-1])]


def list_commits(suite: Path) -> str:
    """List the commits of the suite and of its submodules."""
    folders = {"openeo-test-suite": suite, "openeo-api": suite / "assets/openeo-api"}
    folders["openeo-processes"] = suite / "assets/processes"
    found = []
    for name, folder in folders.items():
        if (folder / ".git").exists():
            command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
            commit = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
            found.append(f"{name} {commit.strip()}")
    return ", ".join(found) or "unknown commits"


def write_page(path: Path, outcomes: list[Outcome], left_out: dict[str, str], commits: str) -> int:
    """Write the page; the number of failures for which `reasons.json` has no reason."""
    reasons = json.loads((HERE / "reasons.json").read_text(encoding="utf-8"))
    failed = [(one, _find_reason(one, reasons)) for one in outcomes if one.outcome == "failed"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "\n".join([*_summary(outcomes, left_out, commits), *_failures(failed), *_skips(outcomes), ""]), "utf-8"
    )
    return sum(reason is None for _, reason in failed)


def _find_reason(outcome: Outcome, reasons: list[dict[str, str]]) -> str | None:
    text = f"{outcome.part}: {outcome.name}: {outcome.message}"
    return next((reason["reason"] for reason in reasons if re.search(reason["pattern"], text, re.DOTALL)), None)


def _summary(outcomes: list[Outcome], left_out: dict[str, str], commits: str) -> list[str]:
    lines = [
        "# Conformance of the embedded back-end",
        "",
        "`kappamask serve` under the openEO community's test suite (github.com/Open-EO/openeo-test-suite) and under",
        f"`{CLIENT}`. Written by `make conformance SUITE=…`; the scenes are random numbers at the suite's place.",
        f"Commits: {commits}.",
        "",
        "| part | passed | failed | skipped |",
        "|---|---|---|---|",
    ]
    for part in dict.fromkeys(one.part for one in outcomes):
        count = Counter(one.outcome for one in outcomes if one.part == part)
        lines.append(f"| {part} | {count['passed']} | {count['failed']} | {count['skipped']} |")
    lines += [f"| {part} | not run: {why} | | |" for part, why in left_out.items()]
    return lines


def _failures(failed: list[tuple[Outcome, str | None]]) -> list[str]:
    if not failed:
        return ["", "Nothing failed."]
    named = [(one.part, _test_name(one), reason or "not explained yet") for one, reason in failed]
    rows = [f"| {part} | {name} | {count} | {reason} |" for (part, name, reason), count in Counter(named).items()]
    return ["", "## Failures, and why", "", "| part | test | tests | reason |", "|---|---|---|---|", *rows]


def _test_name(outcome: Outcome) -> str:
    """Name a test; tests of individual processes, hundreds, by their process."""
    process = re.match(r"test_process\[(\w+)-example", outcome.name)
    return f"`{process[1] if process else outcome.name}`"


def _skips(outcomes: list[Outcome]) -> list[str]:
    """Skipped tests by the suite's own words, without the order of its sets."""
    words = Counter((one.part, _sort_sets(one.message)) for one in outcomes if one.outcome == "skipped")
    if not words:
        return []
    rows = [f"| {part} | {message.replace('|', '/')} | {count} |" for (part, message), count in sorted(words.items())]
    return ["", "## Skipped by the suite", "", "| part | its reason | tests |", "|---|---|---|", *rows]


def _sort_sets(message: str) -> str:
    return re.sub(r"\{(.*?)\}", lambda found: ", ".join(sorted(re.findall(r"'(\w+)'", found[1]))), message)


if __name__ == "__main__":
    sys.exit(main())
