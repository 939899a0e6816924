"""Draw a recipe's funnel on a snapshot as an SVG: `python docs/draw_funnel.py SNAPSHOT > docs/funnel.svg`.

Reads the lake and the recipe of the settings (CURATION_LAKE, CURATION_RECIPE, ...).
"""

import sys

from curation_assets.lake.query import query, source
from curation_assets.line import Line
from curation_assets.plots import Step, funnel, svg
from curation_assets.settings import Settings


def draw(line: Line, snapshot: str) -> str:
    """The funnel as SVG text: documents left after each group of gates, and what each took."""
    verdicts = line.lake.partition(line.key("verdicts"), snapshot)
    rows = query("provenance/funnel", {"verdicts": source(verdicts.paths())}).to_pylist()
    left = verdicts.manifest().rows
    steps = [Step("response records", 0, left)]
    for station in dict.fromkeys(row["station"] for row in rows):
        dropped = sum(row["dropped"] for row in rows if row["station"] == station)
        left -= dropped
        steps.append(Step(station.replace("_", " "), dropped, left))
    return svg(funnel(steps, line.recipe.published_yield), f"{line.recipe.name} on {snapshot}") + "\n"


if __name__ == "__main__":
    sys.stdout.write(draw(Line(Settings()), sys.argv[1]))
