"""What tools returned, in a page: tables of their CSV, pictures of their bytes, and no more."""

import csv
import io

import pytest
from attacks import ATTACKS
from hypothesis import given
from hypothesis import strategies as st
from page import Page

from nbchat.messages import Image
from nbchat.render.values import COLUMNS, render_picture, render_pictures, render_table

CELLS = st.lists(st.lists(st.text(max_size=8), min_size=2, max_size=4), min_size=1, max_size=4)


def csv_of(rows: list[list[str]]) -> str:
    held = io.StringIO()
    csv.writer(held, lineterminator="\n").writerows(rows)
    return held.getvalue()


def test_a_small_frame_is_shown_whole() -> None:
    html = render_table("city,pairs\nOslo,3\nRome,6\n")

    assert "<tr><th>city</th><th>pairs</th></tr>" in html
    assert "<tr><td>Oslo</td><td>3</td></tr><tr><td>Rome</td><td>6</td></tr>" in html
    assert Page(html).text.endswith("2 rows x 2 columns")


def test_of_a_long_one_the_first_and_last_rows_are_shown_and_all_are_counted() -> None:
    page = Page(render_table("n,m\n" + "".join(f"{n},{n}\n" for n in range(1000))))

    assert page.tags.count("tr") == 12
    assert "44…995" in page.text.replace("……", "…")
    assert page.text.endswith("1,000 rows x 2 columns")


def test_of_a_wide_one_the_first_columns_are_shown() -> None:
    page = Page(render_table(csv_of([[str(n) for n in range(50)]] * 2)))

    assert page.tags.count("th") == COLUMNS + 1


def test_what_the_model_was_told_beneath_the_table_stands_beneath_it() -> None:
    note = "(900 rows x 2 columns; the first 1 and last 1 are shown)"

    page = Page(render_table(f"a,b\n1,2\n…\n3,4\n{note}"))

    assert page.text.endswith(note)
    assert page.tags.count("td") == 4


@pytest.mark.parametrize("text", ["", "\n\n", "\x00", "a" * 200_000, '"open'])
def test_what_is_no_table_breaks_nothing(text: str) -> None:
    assert Page(render_table(text)).faults == []


@given(CELLS)
def test_cells_are_text_whatever_they_hold(rows: list[list[str]]) -> None:
    page = Page(render_table(csv_of(rows)))

    assert page.faults == []
    assert set(page.tags) <= {"div", "table", "thead", "tbody", "tr", "th", "td", "p"}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_in_a_cell_or_a_pictures_name_is_words(attack: str) -> None:
    image = Image("d", "image/png", name=attack)
    html = render_table(csv_of([["a", attack], [attack, "1"]])) + render_picture(image, b"x")

    assert Page(html).faults == []


@pytest.mark.parametrize("media_type", ["image/svg+xml", "text/html", 'image/png" onload="x'])
def test_only_pictures_that_run_nothing_are_drawn(media_type: str) -> None:
    assert render_picture(Image("d", media_type), b"<svg onload=alert(1)>") == ""


def test_a_picture_without_its_bytes_is_left_out() -> None:
    images = [Image("here", "image/png"), Image("gone", "image/png")]

    assert render_pictures(images, {"here": b"x"}).count("<img") == 1
