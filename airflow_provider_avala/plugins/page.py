"""The page for whoever is on call, as HTML: nothing is loaded from elsewhere, one line runs in the browser."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from datetime import datetime

from jinja2 import Environment

from airflow_provider_avala.plugins.overview import Overview

#: Seconds until the page loads itself anew, and how many finished exports of a connection it shows.
REFRESH_SECONDS = 30
FINISHED_SHOWN = 10

#: Takes over the theme that its reader has chosen in Airflow, whose page surrounds this one.
SCRIPT = "document.documentElement.style.colorScheme = parent.document.documentElement.style.colorScheme"
#: What a content security policy calls it.
SCRIPT_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'"

TEMPLATE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{{ refresh }}">
<title>Avala</title>
<style>
:root { color-scheme: light dark; --line: #8884; --dim: light-dark(#666, #aaa); --bad: light-dark(#b22, #f88);
  --good: light-dark(#175, #5d9); --busy: light-dark(#25a, #8be) }
body { font: 14px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 64rem; padding: 0 1rem }
h1 { font-size: 1.3rem } h2 { font-size: 1.05rem; margin: 0 } h3 { font-size: .9rem; margin: 1rem 0 .2rem }
section { border: 1px solid var(--line); border-radius: 8px; padding: 1rem; margin: 1rem 0 }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .2rem .8rem .2rem 0 }
tr + tr > * { border-top: 1px solid var(--line) } th { font-weight: 600; color: var(--dim) }
td { overflow-wrap: anywhere } td:last-child { white-space: nowrap }
.dim { color: var(--dim) } .error { color: var(--bad) }
.running { color: var(--busy) } .succeeded { color: var(--good) } .failed { color: var(--bad) }
meter { width: 7rem; vertical-align: middle }
</style>
<script>{{ script | safe }}</script>
<h1>Avala</h1>
<p class="dim">Loads itself anew every {{ refresh }} seconds.</p>
{% macro exports(title, rows, at) %}
<h3>{{ title }}</h3>
<table>
<tr><th scope="col">Export</th><th scope="col">Status</th><th scope="col">Created</th></tr>
{% for export in rows %}
<tr><td>{{ export.name or export.id }}{% if export.name %} <span class="dim">{{ export.id }}</span>{% endif %}</td>
<td class="{{ export.state.value }}">{{ export.progress }}{% if export.error %}: {{ export.error }}{% endif %}</td>
<td>{{ age(export.created_at, at) }}</td></tr>
{% endfor %}
</table>
{% endmacro %}
{% for each in overviews %}
<section aria-labelledby="c{{ loop.index }}">
<h2 id="c{{ loop.index }}">{{ each.conn_id }}</h2>
{% if each.error %}<p class="error" role="alert">{{ each.error }}</p>{% endif %}
{% if each.max_uploads %}
<p>{% if not each.error %}Exports in flight: <b>{{ each.in_flight|length }}</b>.
{% endif %}Uploads under way on this host: <b>{{ each.uploads }}</b> of {{ each.max_uploads }}.
<span class="dim">Read at {{ each.read_at.strftime("%H:%M:%S") }} UTC.</span></p>
{% if each.in_flight %}{{ exports("In flight", each.in_flight, each.read_at) }}{% endif %}
<h3>Budget</h3>
<table>
<tr><th scope="col">For</th><th scope="col">Left</th><th scope="col">Next call</th></tr>
{% for name, status in each.limits.items() %}{% for limit in status.limits %}
<tr><td>{{ name }}</td>
<td><meter min="0" max="{{ limit.limit.requests }}" value="{{ limit.free }}" aria-label="left"></meter>
{{ limit.free }} of {{ limit.limit.requests }} requests in {{ "%g"|format(limit.limit.seconds) }} s</td>
<td>{% if status.paused %}paused for {{ "%.0f"|format(status.paused) }} s
{%- elif status.wait %}in {{ "%.1f"|format(status.wait) }} s{% else %}at once{% endif %}</td></tr>
{% endfor %}{% endfor %}
</table>
{% if each.finished %}{{ exports("Finished", each.finished[:shown], each.read_at) }}{% endif %}
{% endif %}
</section>
{% else %}
<p>There is no connection of the type Avala yet, or none that you may see.</p>
{% endfor %}
</html>
"""


def render(overviews: Iterable[Overview]) -> str:
    """The whole page.

    :param overviews: one for each connection that may be seen.
    """
    template = Environment(autoescape=True, trim_blocks=True).from_string(TEMPLATE)
    return template.render(
        overviews=list(overviews), age=age, refresh=REFRESH_SECONDS, shown=FINISHED_SHOWN, script=SCRIPT
    )


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago something was, for people: ``12 min ago``.

    :param moment: when it was, if known.
    :param now: the moment to count from.
    """
    if moment is None:
        return "unknown"
    seconds = max(0.0, (now - moment).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
