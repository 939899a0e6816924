"""Write the column reference from the stations themselves: `python docs/write_columns.py > docs/columns.md`."""

import sys

from curation_assets.line import Line
from curation_assets.settings import Settings


def write(line: Line) -> str:
    """All tables of a recipe as Markdown."""
    parts = [
        "# Columns",
        "",
        "Every table of the `fineweb` recipe, in the order in which it is made. Written by `docs/write_columns.py`.",
        "",
    ]
    for station in line.stations:
        parts += [f"## {'/'.join(station.key)}", "", station.description, ""]
        if station.schema is not None:
            parts += ["| column | type | meaning |", "|---|---|---|"]
            for field in station.schema:
                meaning = line.meaning(station, field.name).replace("|", "\\|")
                parts.append(f"| `{field.name}` | {field.type} | {meaning} |")
            parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(write(Line(Settings())))
