"""Bytes to text: what is declared is believed unless the bytes disprove it."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_assets.acquisition.decoding import CharsetError, decode_html, find_encoding, meta_encoding

RUSSIAN = "Рынок у реки открыт по субботам: яблоки, мёд и шерсть. Паром ходит вдвое чаще, чем обычно. " * 3
FRENCH = "Le marché d’été accueille les élèves français à l’hôtel près du château. " * 3
CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy na šedém tržišti u řeky. " * 3
JAPANESE = "港町では毎月第二土曜日に市場が開かれ、農家がりんごや蜂蜜や羊毛を運んでくる。" * 3
CHINESE = "港口小镇每月第二个星期六举办集市，农民带来苹果、蜂蜜和羊毛，渡轮班次加倍。" * 3
TRADITIONAL = "港口小鎮每月第二個星期六舉辦市集，農民帶來蘋果、蜂蜜和羊毛。" * 3
KOREAN = "항구 마을은 매달 둘째 토요일에 시장을 연다. 농부들은 사과와 꿀과 양털을 가져온다. " * 3


def page(text: str, charset: str | None = None, before: str = "") -> str:
    meta = f'<meta charset="{charset}">' if charset else ""
    return f"<!DOCTYPE html><html><head>{before}{meta}<title>t</title></head><body><p>{text}</p></body></html>"


@pytest.mark.parametrize(
    ("text", "codec", "label", "name"),
    [
        (RUSSIAN, "cp1251", "windows-1251", "windows-1251"),
        (RUSSIAN, "koi8-r", "KOI8-R", "koi8-r"),
        (RUSSIAN, "cp866", "ibm866", "ibm866"),
        (FRENCH, "cp1252", "ISO-8859-1", "windows-1252"),
        (JAPANESE, "cp932", "Shift_JIS", "shift_jis"),
        (JAPANESE, "euc_jp", "euc-jp", "euc-jp"),
        (JAPANESE, "iso2022_jp", "iso-2022-jp", "iso-2022-jp"),
        (CHINESE + "㐀㐁𠀀", "gb18030", "gb2312", "gbk"),
        (TRADITIONAL, "big5", "Big5", "big5"),
        (KOREAN, "cp949", "euc-kr", "euc-kr"),
        (RUSSIAN, "utf-8", "UTF8", "utf-8"),
    ],
)
def test_declared_charsets(text: str, codec: str, label: str, name: str) -> None:
    by_http = decode_html(page(text).encode(codec), label)
    assert by_http == (page(text), name, "http")
    by_meta = decode_html(page(text, label).encode(codec), None)
    assert by_meta == (page(text, label), name, "meta")


@pytest.mark.parametrize(
    ("text", "codec", "name"),
    [
        (RUSSIAN, "cp1251", "windows-1251"),
        (RUSSIAN, "koi8-r", "koi8-r"),
        (CZECH, "cp1250", "windows-1250"),
        (JAPANESE, "cp932", "shift_jis"),
        (JAPANESE, "euc_jp", "euc-jp"),
        (CHINESE, "gb18030", "gb18030"),
        (TRADITIONAL, "big5", "big5"),
        (KOREAN, "cp949", "euc-kr"),
        (FRENCH, "cp1252", "windows-1252"),
        (RUSSIAN, "utf-8", "utf-8"),
    ],
)
def test_detected_charsets(text: str, codec: str, name: str) -> None:
    assert decode_html(page(text).encode(codec)) == (page(text), name, "detected")


@pytest.mark.parametrize("label", ["iso-8859-1", "windows-1251", "shift_jis", "gbk", "utf-16le", "koi8-r", "bogus"])
def test_valid_utf_8_beats_other_declarations(label: str) -> None:
    assert decode_html(page(FRENCH).encode(), label) == (page(FRENCH), "utf-8", "detected")
    assert decode_html(page(FRENCH, "utf-8").encode(), label)[1:] == ("utf-8", "meta")


def test_utf_8_declared_but_disproved() -> None:
    assert decode_html(page(RUSSIAN).encode("cp1251"), "utf-8") == (page(RUSSIAN), "windows-1251", "detected")
    assert decode_html(page(RUSSIAN, "windows-1251").encode("cp1251"), "utf-8")[1:] == ("windows-1251", "meta")


def test_a_few_bad_bytes_do_not_change_the_charset() -> None:
    spoiled = page(RUSSIAN).encode().replace("мёд".encode(), b"\xff\xfe\x80")
    decoded = decode_html(spoiled, "utf-8")
    assert decoded[1:] == ("utf-8", "http")
    assert "\ufffd" in decoded.text
    assert "шерсть" in decoded.text
    spoiled = page(JAPANESE).encode("cp932").replace("蜂".encode("cp932"), b"\xfd\xfe", 1)
    assert decode_html(spoiled, "shift_jis")[1:] == ("shift_jis", "http")


def test_mixed_charsets_keep_the_utf_8() -> None:
    mixed = page(FRENCH).encode() + "<p>Déjà vu à l’hôtel</p>".encode("cp1252")
    decoded = decode_html(mixed, "utf-8")
    assert decoded[1:] == ("utf-8", "http")
    assert "élèves français" in decoded.text


def test_latin_1_means_windows_1252() -> None:
    text = page("“Don’t miss it” – the ticket is 5 €")
    assert decode_html(text.encode("cp1252"), "ISO-8859-1") == (text, "windows-1252", "http")


@pytest.mark.parametrize(
    ("bom", "codec", "name"),
    [
        (codecs.BOM_UTF8, "utf-8", "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le", "utf-16le"),
        (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16be"),
    ],
)
def test_byte_order_marks_come_first(bom: bytes, codec: str, name: str) -> None:
    data = bom + page(RUSSIAN, "koi8-r").encode(codec)
    assert decode_html(data, "iso-8859-1") == (page(RUSSIAN, "koi8-r"), name, "bom")


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark(codec: str) -> None:
    name = codec.replace("-16-", "-16")
    assert decode_html(page(RUSSIAN).encode(codec), name) == (page(RUSSIAN), name, "http")
    assert decode_html(page("plain").encode(codec)) == (page("plain"), name, "detected")


def test_cesu_8() -> None:
    data = b"<p>pair \xed\xa0\xbd\xed\xb8\x80, lone \xed\xa0\xbd</p>"
    assert decode_html(data, "utf-8") == ("<p>pair 😀, lone \ufffd</p>", "utf-8", "http")


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ('<meta charset="windows-1251">', "windows-1251"),
        ("<META CHARSET=windows-1251>", "windows-1251"),
        ("<meta http-equiv='Content-Type' content='text/html; charset=windows-1251'>", "windows-1251"),
        ("<!-- <meta charset=koi8-r> --><meta charset=windows-1251>", "windows-1251"),
        (f"<!--{'x' * 6000}--><meta charset=windows-1251>", "windows-1251"),
        ('<meta charset="nonsense"><meta charset="windows-1251">', "windows-1251"),
        ('<meta charset="utf-16">', "utf-8"),
        ("<!-- never closed <meta charset=koi8-r>", None),
        ("<p>charset=koi8-r</p>", None),
    ],
)
def test_meta_prescan(head: str, name: str | None) -> None:
    found = meta_encoding(head.encode())
    assert (found[0] if found else None) == name


def test_xml_declarations_count_as_meta() -> None:
    assert meta_encoding(b'<?xml version="1.0" encoding="koi8-r"?><html>') == ("koi8-r", "koi8-r")


@pytest.mark.parametrize("label", [None, "", "   ", "bogus", "utf-8\x00", "x" * 5000, "'utf-8", '"UTF-8"; x=y'])
def test_labels(label: str | None) -> None:
    found = find_encoding(label)
    assert found in (None, ("utf-8", "utf-8"))


def test_noise_is_no_text() -> None:
    with pytest.raises(CharsetError):
        decode_html(bytes(range(128, 256)) * 2 + bytes(range(1, 32)) * 20, "utf-8")


@given(
    st.binary(max_size=400),
    st.sampled_from([None, "utf-8", "gbk", "shift_jis", "utf-16le", "iso-2022-jp", "big5", "hz-gb-2312", "cp1252"]),
    st.sampled_from([b"", b"<meta charset=euc-kr>", b"\xff\xfe", b"\xef\xbb\xbf", b"<\x00h\x00t\x00"]),
)
def test_any_bytes(data: bytes, label: str | None, start: bytes) -> None:
    try:
        decoded = decode_html(memoryview(start + data), label)
    except CharsetError:
        return
    decoded.text.encode("utf-8")
    assert decoded == decode_html(start + data, label)
    assert decoded.source in {"bom", "http", "meta", "detected"}


@given(st.text(max_size=300), st.sampled_from([None, "utf-8", "latin-1", "gbk"]))
def test_utf_8_pages_come_back(text: str, label: str | None) -> None:
    html = page(text.replace("\x00", "") + "日本語のテキスト")
    assert decode_html(html.encode(), label).text == html
