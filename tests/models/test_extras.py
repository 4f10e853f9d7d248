"""The hint of a missing library installs into what is there.

That is a checkout, a wheel or the package of the index.
"""

import json

import pytest

from kappamask.models import MissingExtraError
from kappamask.models.errors import format_install_command, require_extra


@pytest.fixture
def set_origin(tmp_path, monkeypatch):
    """Let the package seem installed from an address, as pip records it (PEP 610)."""

    def install(origin: dict | None) -> None:
        folder = tmp_path / "kappamask_openeo-9.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: kappamask-openeo\nVersion: 9\n")
        if origin is not None:
            (folder / "direct_url.json").write_text(json.dumps(origin))
        monkeypatch.syspath_prepend(tmp_path)

    return install


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'kappamask-openeo[stac]'"),
        ({"url": "file:///a%20b/tree", "dir_info": {"editable": True}}, "pip install -e '/a b/tree[stac]'"),
        ({"url": "file:///tree", "dir_info": {}}, "pip install '/tree[stac]'"),
        ({"url": "file:///x/k-9-py3-none-any.whl", "archive_info": {}}, "pip install '/x/k-9-py3-none-any.whl[stac]'"),
        ({"url": "https://token@example.org/k.whl", "archive_info": {}}, "pip install 'kappamask-openeo[stac]'"),
    ],
)
def test_the_line_names_what_was_installed(set_origin, origin, command):
    set_origin(origin)
    assert format_install_command("stac") == command


def test_a_missing_library_is_an_error_that_names_it(set_origin):
    set_origin(None)
    with pytest.raises(MissingExtraError, match=r"no_such_library.*kappamask-openeo\[stac\]"), require_extra("stac"):
        import no_such_library  # noqa: F401
