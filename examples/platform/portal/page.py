"""The page for people."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from portal.flags import Flag

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="description" content="Which features are on, and for how many.">
<title>Features</title>
</head>
<body>
<main>
<h1>Features</h1>
<table>
<caption>Who has what</caption>
<thead><tr><th scope="col">Feature</th><th scope="col">Percent</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</main>
</body>
</html>
"""


def render(flags: Iterable[Flag]) -> str:
    """A table of all features."""
    rows = (
        f'<tr><th scope="row">{escape(flag.name)}</th><td>{flag.percent}</td></tr>'
        for flag in flags
    )
    return PAGE.format(rows="\n".join(rows))
