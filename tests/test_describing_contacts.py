"""E-mail addresses and telephone numbers in captions and addresses: told by form, counts alone."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shardmaker import write
from test_describing import run

from laion_probe.questions.describing_contacts import contact_cells, holds_email, holds_phone

EMAILS = (
    "ann@example.org",
    "Write to Ann.O-Neill+news@mail.example.co.uk.",
    "order now:sales_2@xn--mller-kva.de!",
    "контакт иван@пример.рф",
    "one that is none a@2x.png, and ben@example.com",
)
NO_EMAILS = (
    "",
    "show @ home",
    "BMX KING @YOU 2012",
    "gallery/photo/41206 @somebody",
    "icon@2x.png icon@3x.jpg",
    "medium.example/@ann.b",
    "5 apples @ 3.99",
    "a@b",
    "ann@localhost",
    "@ann.com",
)
PHONES = (
    "Call (212) 555-0123 today",
    "Call (212)555-0123.",
    "1-800-555-0123",
    "Plumber: 212-555-0123, open now",
    "212.555.0123",
    "+1 (212) 555-0123",
    "+12125550123",
    "London +44 20 7946 0958",
    "+49 (0)30 901820",
    "whatsapp +91 98765 43210",
    "電話+81-3-1234-5678",
    "+380 44 123 45 67",
)
NO_PHONES = (
    "",
    "1994 1995 1996-2003 KAWASAKI ZX9R ZX 9R",
    "Stock Photo, Code: 400-04986850",
    "Social Studies Keys 124-126",
    "ISBN 978-0-306-40615-7, 0-306-40615-2",
    "2012-11-23 10:15, 23.11.2012",
    "800x600, 1920-1080-2400",
    "192.168.100.2001",
    "serial 12-212-555-0123",
    "#212-555-0123",
    "part 212-555-0123-B",
    "part A212-555-0123",
    "112-555-0123",
    "212-155-0123",
    "212-555.0123",
    "+500 000 000 people",
    "sum 10+20 30 40 50 60 70",
    "age 12+1234567890",
    "+1 2 3",
    "+839999999999",
    "4111 1111 1111 1111",
)


@pytest.mark.parametrize(
    ("holds", "some", "none"), [(holds_email, EMAILS, NO_EMAILS), (holds_phone, PHONES, NO_PHONES)]
)
def test_what_is_written_like_one(holds, some, none) -> None:  # type: ignore[no-untyped-def]
    assert dict(zip(some, holds(pl.Series(some)).to_list(), strict=True)) == dict.fromkeys(
        some, True
    )
    assert dict(zip(none, holds(pl.Series(none)).to_list(), strict=True)) == dict.fromkeys(
        none, False
    )


def test_of_addresses_only_what_follows_the_host_is_read() -> None:
    emails = {
        "http://ann@example.org/x.jpg": False,
        "http://ann:pw@example.org": False,
        "http://h.com/?who=ann%40example.org&x=1": True,
        "http://h.com/ann@example.org.jpg": True,
        "http://h.com/530x@2x.jpg?v=1": False,
        "http://h.com/3bc6.jpg@4e_220w_220h.src": False,
        "https://medium.example/@ann.b/pic.png": False,
    }
    assert holds_email(pl.Series([*emails]), urls=True).to_list() == [*emails.values()]
    phones = {
        "http://212-555-0123.com/x.jpg": False,
        "http://h.com/212-555-0123.jpg": True,
        "http://h.com/tel:+442079460958": True,
        "http://h.com/1/2747/7262/3572228390956_530x.jpg?v=1530935799": False,
        "http://h.com/bb3bc377-0d4f-4e7e-a989-011affa6f963.jpg": False,
        "http://h.com/2019-12-20-062239-2125550123.jpg": False,
    }
    assert holds_phone(pl.Series([*phones]), urls=True).to_list() == [*phones.values()]


@given(st.lists(st.none() | st.text(max_size=30)), st.booleans())
def test_every_text_that_is_not_blank_is_counted_once(texts: list[str | None], urls: bool) -> None:
    column = pl.Series(texts, dtype=pl.String)
    written = column.filter(column.str.strip_chars() != "")
    sums: dict[str, int] = {}
    for form, _, n in contact_cells(column, urls=urls):
        sums[form] = sums.get(form, 0) + n
    assert sums == {"email": len(written), "phone": len(written)}


def test_counts_alone_are_kept(tmp_path: Path) -> None:
    """The result and what is kept between runs hold how many there are, and not what they are."""
    texts = [
        *("mail ann@example.org", "mail ben@example.org or ring 212-555-0123", "ring 212.555.0199"),
        *(None, "", "a photograph"),
    ]
    urls = [f"http://h.com/{i}.jpg" for i in range(5)] + ["http://h.com/eve%40example.org.jpg"]
    rows = pl.DataFrame({"URL": urls, "TEXT": texts})
    found = run(write(tmp_path / "s", rows), tmp_path / "c")
    counts = {(c.column, c.name): (c.n, c.share.n) for c in found.contacts}
    assert counts == {
        ("text", "email"): (2, 4),
        ("text", "phone"): (2, 4),
        ("url", "email"): (1, 6),
        ("url", "phone"): (0, 6),
    }
    assert [c.share.value for c in found.contacts] == [0.5, 0.5, 1 / 6, 0]
    kept = [p.read_bytes() for p in (tmp_path / "c").rglob("*") if p.is_file()]
    assert len(kept) > 1
    for written in (found.to_json().encode(), *kept):
        for secret in (b"ann@", b"ben@", b"eve%", b"eve@", b"555-0123", b"555.0199"):
            assert secret not in written


def test_captions_alone_are_searched_too(tmp_path: Path) -> None:
    rows = pl.DataFrame({"TEXT": ["ann@example.org", "b"]})
    found = run(write(tmp_path / "s", rows, n_shards=1), tmp_path / "c")
    assert [(c.column, c.name, c.n) for c in found.contacts] == [
        ("text", "email", 1),
        ("text", "phone", 0),
    ]
