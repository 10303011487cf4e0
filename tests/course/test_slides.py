"""Slides: one deck per notebook, self-contained, with few words, every figure, and every answer behind its question."""

import html
import re

import pytest

from dmri_helpers.course import slides
from dmri_helpers.course.text import CAPTION, cells_of


@pytest.fixture(scope="module")
def decks(executed) -> dict[str, list[slides.Slide]]:
    return {path.stem: slides.slides_of(path) for path in executed}


@pytest.fixture(scope="module")
def deck(executed, decks, tmp_path_factory):
    """The deck of the first notebook, as a file."""
    path = tmp_path_factory.mktemp("slides") / "01.html"
    path.write_text(slides.page(decks["01_sampling"]), encoding="utf-8")
    return path


def test_there_is_a_deck_for_every_session(decks):
    assert [name[:2] for name in decks] == [f"0{session}" for session in range(1, 8)]
    for made in decks.values():
        kinds = [slide.kind.split()[0] for slide in made]
        assert kinds[:2] == ["title", "goals"] and kinds[-1] == "summary" and "exercises" in kinds


def test_every_figure_and_table_of_the_core_is_there(executed, decks):
    for path in executed:
        core = [cell for cell in cells_of(path) if not cell.tags & {"deeper", "solution"}]
        names = [name for cell in core for name, _ in CAPTION.findall(cell.content.source)]
        shown = [
            re.search(r"<strong>(\w+ \d\.\d+)\.</strong>", s.body)[1]
            for s in decks[path.stem]
            if "display" in s.kind
        ]
        assert shown == names
        pictures = [s for s in decks[path.stem] if "display" in s.kind and "Figure" in s.body]
        assert all("data:image/png;base64," in s.body or "measured cines" in s.body for s in pictures)


def test_an_answer_stands_behind_its_prediction(executed, decks):
    for path in executed:
        headings = [slide.heading for slide in decks[path.stem] if slide.kind in ("question", "answer")]
        order = list(dict.fromkeys(re.search(r"(?:Predict|Answer to) \d\.\d+$", one)[0] for one in headings))
        core = "\n".join(c.content.source for c in cells_of(path) if "deeper" not in c.tags)
        asked = re.findall(r"^> \*\*Predict (\d\.\d+)", core, re.MULTILINE)
        assert order == [f"{what} {number}" for number in asked for what in ("Predict", "Answer to")]


def test_slides_have_few_words(decks):
    shown = r'<div class="shown">.*</div>(?=<p>)|<pre>.*?</pre>|<(span|div) class="math[^>]*>.*?</\1>'
    for made in decks.values():
        for slide in made:
            text = re.sub(r"<[^>]+>", " ", re.sub(shown, "x ", slide.body, flags=re.DOTALL))
            assert len(html.unescape(text).split()) <= slides.WORDS + 5, text


def test_a_deck_loads_nothing(deck):
    text = re.sub(r"<script>.*?</script>", "", deck.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)=\"(?!data:)[^\"]+|url\((?!data:)|@import", text)


@pytest.mark.browser
def test_a_deck_opens_from_disk_and_obeys_the_keys(deck, page):
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(deck.as_uri())
    page.wait_for_selector("html[data-ready=true]")
    assert page.locator("mjx-container svg").count() > 10 and page.locator("[data-mjx-error]").count() == 0
    overfull = """all => all.filter(one => one.scrollHeight > one.clientHeight + 2
        || one.scrollWidth > one.clientWidth + 2).map(one => one.parentNode.id)"""
    assert page.locator(".slide .body").evaluate_all(overfull) == []
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("location.hash === '#' + (document.querySelectorAll('.slide').length - 1)")
