"""Write the table of scripts: `python docs/write_unicode_scripts.py > curation_assets/filtering/unicode_scripts.txt`.

Needs fontTools, which carries the Script property of the Unicode character database.
"""

import itertools
import sys
import unicodedata
from collections.abc import Iterator

from fontTools import unicodedata as properties  # pyright: ignore[reportMissingImports]


def write() -> Iterator[str]:
    """Runs of letters of one script, as lines `first last script` in hexadecimal and ISO 15924.

    What is between the letters of a run (marks, digits, unassigned) is in the run too.
    """
    yield "# Scripts of letters: first and last code point, ISO 15924 code. From the Script property of Unicode\n"
    yield f"# {unicodedata.unidata_version}'s letters; written by docs/write_unicode_scripts.py.\n"
    letters = (chr(code) for code in range(0x110000) if unicodedata.category(chr(code))[0] == "L")
    scripts = ((ord(letter), properties.script(letter)) for letter in letters)
    for script, run in itertools.groupby(scripts, key=lambda pair: pair[1]):
        codes = [code for code, _ in run]
        if script not in ("Zyyy", "Zinh", "Zzzz"):
            yield f"{codes[0]:X} {codes[-1]:X} {script}\n"


if __name__ == "__main__":
    sys.stdout.writelines(write())
