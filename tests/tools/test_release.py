"""What is published is whole: archives, their metadata, citation, recipe and image."""

import re
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from email import message_from_bytes
from pathlib import Path

import pytest
import yaml
from doc_snippets import ROOT

sys.path.insert(0, str(ROOT / "tools" / "release"))
import check
import conda_recipe
import run_dockerfile

pytestmark = pytest.mark.process
GRAFTED = ("benchmarks", "docs", "models", "openeo_process", "recipe", "tests", "tools", "udf")


@pytest.fixture(scope="module")
def setup() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> Path:
    """Source archive and wheel, built as for a release."""
    folder = tmp_path_factory.mktemp("release")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def metadata(distributions):
    with zipfile.ZipFile(next(distributions.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(wheel.read(name))


def test_the_source_archive_holds_tests_docs_and_tools_once(distributions):
    with tarfile.open(next(distributions.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    lacking = [
        path
        for folder in GRAFTED
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
        if (path := file.relative_to(ROOT).as_posix()) not in names
    ]
    assert not lacking
    assert {"CHANGELOG.md", "CITATION.cff", "Dockerfile", "Makefile", "mkdocs.yml", "pyproject.toml"} <= names
    assert not [name for name in names if name.startswith(("src/kappamask/models", "src/kappamask/udf/"))]


def test_twine_accepts_both_and_the_wheel_is_small(distributions):
    assert check.passes_twine(*distributions.iterdir())
    assert next(distributions.glob("*.whl")).stat().st_size <= check.MAX_WHEEL_BYTES


def test_links_of_the_long_description_are_absolute(metadata, setup):
    text = metadata.get_payload()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links and all(link.startswith(("https://", "#")) for link in links)
    assert f"{setup['metadata']['url']}/blob/v{setup['metadata']['version']}/" in text


def test_extras_are_composed(metadata):
    assert len(metadata.get_all("Requires-Dist")) < 120
    assert {"all", "scenes", "client", "report"} <= set(metadata.get_all("Provides-Extra"))


def test_citation_and_recipe_agree_with_the_package(setup):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0" and citation["authors"] and citation["title"]
    assert citation["version"] == setup["metadata"]["version"] == check.find_version(
        "recipe/meta.yaml", r'set version = "([^"]+)"'
    )  # fmt: skip
    assert citation["repository-code"] == setup["metadata"]["url"]
    assert citation["references"][0]["doi"] == "10.3390/rs13204100"


def test_one_address_of_the_repository_is_quoted(setup):
    url = setup["metadata"]["url"]
    assert not check.find_other_addresses(url)
    assert check.find_other_addresses(url.replace("/kappamask-openeo/", "/somebody/")) == [url]


def test_the_recipe_says_who_must_be_named():
    recipe = conda_recipe.read_recipe(check.RECIPE)
    assert recipe["extra"]["recipe-maintainers"] == [check.PLACEHOLDER]


def test_the_recipe_needs_what_the_core_and_its_readers_need(setup):
    wanted_there = conda_recipe.read_recipe(check.RECIPE)["requirements"]["run"]
    names = {entry.split()[0].removesuffix("-base").removesuffix("-core") for entry in wanted_there}
    extras = setup["options.extras_require"]
    wanted = setup["options"]["install_requires"] + extras["scenes"] + extras["cli"]
    assert names == {re.match(r"[\w-]+", line)[0] for line in wanted.split("\n") if line} - {"kappamask-openeo"} | {
        "python"
    }


def test_the_recipe_keeps_the_rules_of_conda_forge():
    assert check.is_recipe_right()


@pytest.mark.parametrize(
    ("section", "change", "fact"),
    [
        ("about", {"license_file": None}, "license_file"),
        ("extra", {"recipe-maintainers": []}, "recipe-maintainers"),
        ("test", {"commands": []}, "pip check"),
        ("build", {"script": "pip install ."}, "--no-deps"),
        ("requirements", {"run": ["numpy>=1.26"]}, "numpy>=1.26"),
        ("requirements", {"run": ["numpy >=1.26", "numpy"]}, "twice"),
        ("other", {}, "order"),
    ],
)
def test_a_recipe_that_breaks_a_rule_is_refused(section, change, fact):
    found = conda_recipe.read_recipe(check.RECIPE)
    found[section] = found.get(section, {}) | change
    (fault,) = conda_recipe.find_faults(found, check.RECIPE.read_text(encoding="utf-8"))
    assert fact in fault


def test_every_step_of_the_dockerfile_is_known():
    steps = run_dockerfile.read_steps((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert [name for name, _ in steps] == ["FROM", "COPY", "RUN", "RUN", "WORKDIR", "ENTRYPOINT", "CMD"]


def test_an_unknown_step_is_refused(tmp_path):
    with pytest.raises(ValueError, match="ADD"):
        run_dockerfile.run_steps(run_dockerfile.read_steps("ADD https://example.org/x /x"), tmp_path)
