"""Draw a recipe's funnel on a snapshot as an SVG: `python docs/draw_funnel.py SNAPSHOT > docs/funnel.svg`.

Reads the lake and the recipe of the settings (CURATION_LAKE, CURATION_RECIPE, ...).
"""

import sys
from html import escape

from curation_assets.lake.query import query, source
from curation_assets.line import Line
from curation_assets.settings import Settings

WIDTH, ROW, LEFT, RIGHT = 760, 30, 170, 190


def draw(line: Line, snapshot: str) -> str:
    """The funnel as SVG text: documents left after each group of gates, and what each took."""
    verdicts = line.lake.partition(line.key("verdicts"), snapshot)
    rows = query("provenance/funnel", {"verdicts": source(verdicts.paths())}).to_pylist()
    total = left = verdicts.manifest().rows
    steps: list[tuple[str, int, int]] = [("response records", 0, total)]
    for station in dict.fromkeys(row["station"] for row in rows):
        dropped = sum(row["dropped"] for row in rows if row["station"] == station)
        left -= dropped
        steps.append((station.replace("_", " "), dropped, left))
    scale = (WIDTH - LEFT - RIGHT) / max(total, 1)
    height = ROW * len(steps) + 34
    title = escape(f"{line.recipe.name} on {snapshot}")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="20" font-weight="bold" fill="#1b2733">{title}</text>',
    ]
    for index, (name, dropped, remaining) in enumerate(steps):
        y = 34 + ROW * index
        parts += [
            f'<text x="{LEFT - 10}" y="{y + 16}" text-anchor="end" fill="#1b2733">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y + 3}" width="{(remaining + dropped) * scale:.1f}" height="20" fill="#f2c9b8"/>',
            f'<rect x="{LEFT}" y="{y + 3}" width="{remaining * scale:.1f}" height="20" fill="#2f6f8f"/>',
            f'<text x="{LEFT + (remaining + dropped) * scale + 8:.1f}" y="{y + 17}" fill="#1b2733">{remaining:,}'
            + (f'<tspan fill="#b4532a">  −{dropped:,}</tspan>' if dropped else "")
            + "</text>",
        ]
    return "\n".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    sys.stdout.write(draw(Line(Settings()), sys.argv[1]))
