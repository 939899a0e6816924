"""Write the table of docs/performance.md from benchmarks/record.json: `python docs/write_performance.py`."""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.record import ROWS, read_record  # noqa: E402

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- the table: docs/write_performance.py -->\n", "<!-- the end of the table -->\n"


def table(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    lines = ["| work | peer | ratio | target | refreshed |", "|---|---|---|---|---|"]
    for row in ROWS:
        entry = record.get(row.benchmark, {})
        found = entry.get("ratios", {}).get(row.ratio)
        if found is None:
            continue
        ratio, target = found["ratio"], found["target"]
        shown = f"{ratio:.2f}" if ratio < 3 else f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"
        if target is not None:
            shown = f"**{shown}**" if ratio >= target else f"{shown} ✗"
        if row.note:
            shown += f"; {row.note.format_map(entry['facts'])}"
        cells = [row.work, row.peer, shown, "" if target is None else f"{target:g}", entry["refreshed"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write(page: str, record: dict[str, Any]) -> str:
    """The page with the table of the record between its markers."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}{table(record)}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(write(PAGE.read_text(), read_record()))
