"""Labels of language and script, ``deu_Latn``, which FineWeb2 keys everything by.

FineWeb2 has them from GlotLID v3 (Kargaran et al. 2023, arXiv 2310.16248), a fastText model that
``identify_language`` can use like any other. A label of a model that gives the language only, such as lid.176,
gets the script that its text is written in, and the code of ISO 639-3 under which GlotLID has the language.
"""

import functools
from pathlib import Path

import numpy as np
import pyarrow as pa
from numba import njit

from curation_assets.filtering.characters import ALPHA, character_classes, decode, string_buffers
from curation_assets.filtering.fineweb2_languages import language_table

SCRIPTS_TABLE = Path(__file__).with_name("unicode_scripts.txt")
"""Runs of letters of one script; written by ``docs/write_unicode_scripts.py``."""

UNDETERMINED = "Zyyy"
"""ISO 15924 for a text without a letter that belongs to one script."""

_CODES = (
    "af:afr als:gsw am:amh an:arg ar:arb as:asm av:ava az:azj ba:bak be:bel bg:bul bh:bho bn:ben bo:bod br:bre"
    " bs:bos ca:cat ce:che co:cos cs:ces cv:chv cy:cym da:dan de:deu dv:div el:ell en:eng eo:epo es:spa et:ekk"
    " eu:eus fa:fas fi:fin fr:fra fy:fry ga:gle gd:gla gl:glg gn:gug gu:guj gv:glv he:heb hi:hin hr:hrv ht:hat"
    " hu:hun hy:hye ia:ina id:ind ie:ile io:ido is:isl it:ita ja:jpn jv:jav ka:kat kk:kaz km:khm kn:kan ko:kor"
    " ku:kmr kv:kpv kw:cor ky:kir la:lat lb:ltz li:lim lo:lao lt:lit lv:lvs mg:plt mk:mkd ml:mal mn:khk mr:mar"
    " ms:zsm mt:mlt my:mya ne:npi nl:nld nn:nno no:nob oc:oci or:ory os:oss pa:pan pl:pol ps:pbt pt:por qu:quy"
    " rm:roh ro:ron ru:rus sa:san sc:srd sd:snd sh:hbs si:sin sk:slk sl:slv so:som sq:als sr:srp su:sun sv:swe"
    " sw:swh ta:tam te:tel tg:tgk th:tha tk:tuk tl:fil tr:tur tt:tat ug:uig uk:ukr ur:urd uz:uzn vi:vie vo:vol"
    " wa:wln yi:ydd yo:yor zh:cmn"
)
ISO_639_3 = {pair[:-4]: pair[-3:] for pair in _CODES.split()}
"""What lid.176 calls otherwise than GlotLID does. For a macrolanguage, which GlotLID does not have, it is the
member with the most text: Standard Arabic (arb), North Azerbaijani (azj), Standard Estonian (ekk), Paraguayan
Guaraní (gug), Northern Kurdish (kmr), Komi-Zyrian (kpv), Standard Latvian (lvs), Plateau Malagasy (plt), Halh
Mongolian (khk), Standard Malay (zsm), Nepali (npi), Bokmål (nob), Odia (ory), Southern Pashto (pbt), Ayacucho
Quechua (quy), Tosk Albanian (als), Coastal Swahili (swh), Northern Uzbek (uzn), Eastern Yiddish (ydd),
Mandarin (cmn). ``als``, by which lid.176 means Alemannic, is gsw; ``bh`` is Bhojpuri; ``tl`` is Filipino."""

_PARTS = {"Jpan": ("Hani", "Hira", "Kana")}


@functools.cache
def _scripts() -> tuple[list[str], np.ndarray]:
    """ISO 15924 codes, the first UNDETERMINED, and the index in them of every code point's script, uint8."""
    lines = [line.split() for line in SCRIPTS_TABLE.read_text(encoding="ascii").splitlines() if line[0] != "#"]
    codes = [UNDETERMINED, *sorted({code for _, _, code in lines})]
    scripts = np.zeros(0x110000, np.uint8)
    for first, last, code in lines:
        scripts[int(first, 16) : int(last, 16) + 1] = codes.index(code)
    scripts[character_classes() & ALPHA == 0] = 0
    scripts.setflags(write=False)
    return codes, scripts


@functools.cache
def written_in() -> dict[str, tuple[str, ...]]:
    """The scripts in which FineWeb2 has each language (ISO 639-3), and Latin for English, which it leaves out."""
    known: dict[str, tuple[str, ...]] = {"eng": ("Latn",)}
    for label in language_table()["language"].to_pylist():
        language, script = label.split("_")
        known[language] = (*known.get(language, ()), script)
    return known


@njit(cache=True, nogil=True)
def _most_letters(
    offsets: np.ndarray, data: np.ndarray, row_labels: np.ndarray, known: np.ndarray, scripts: np.ndarray
) -> np.ndarray:
    """Index of each text's script: among those known for its label, if it has any of them, else among all."""
    best = np.zeros(len(row_labels), np.int64)
    letters = np.zeros(known.shape[1], np.int64)
    for row in range(len(row_labels)):
        label = row_labels[row]
        if label < 0:
            continue
        letters[:] = 0
        position = offsets[row]
        while position < offsets[row + 1]:
            code, width = decode(data, position)
            letters[scripts[code]] += 1
            position += width
        for only_known in (True, False):
            if best[row] == 0:
                most = 0
                for script in range(1, len(letters)):
                    if letters[script] > most and (known[label, script] or not only_known):
                        most = letters[script]
                        best[row] = script
    return best


def language_scripts(texts: pa.LargeStringArray, languages: pa.StringArray) -> pa.StringArray:
    """Language and script of each text, ``deu_Latn``, from its text and the label of a language model.

    A label that names a script already is returned as it is. Otherwise the script is, of those in which the
    language is written, the one with the most letters in the text; of all scripts, where the text has no letter
    of those; and UNDETERMINED, where it has no letter of any. Japanese is ``jpn_Jpan``. Null where either is null.
    """
    encoded = languages.dictionary_encode()
    labels = [ISO_639_3.get(label, label) for label in map(str, encoded.dictionary.to_pylist())]
    codes, scripts = _scripts()
    known = np.zeros((len(labels), len(codes)), np.bool_)
    names = []
    for row, label in enumerate(labels):
        parts = {part: script for script in written_in().get(label, ()) for part in _PARTS.get(script, (script,))}
        known[row] = [code in parts for code in codes]
        names += [label if "_" in label else f"{label}_{parts.get(code, code)}" for code in codes]
    row_labels = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    row_labels[texts.is_null().to_numpy(zero_copy_only=False)] = -1
    offsets, data = string_buffers(texts)
    best = _most_letters(offsets, data, row_labels, known, scripts)
    choice = pa.array(row_labels * len(codes) + best, mask=row_labels < 0)
    return pa.array(names, pa.string()).take(choice)
