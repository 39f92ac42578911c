"""The status page in a real browser: with traffic, in trouble, on a phone, in the dark, and with hostile names."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.support.browser import HOW, Page, browser, program
from tests.support.wampclient import EVENT, Session
from tests.support.watched import Watched

READY = "document.querySelector('#verdict').className === 'verdict good'"
EVENTS = "document.querySelectorAll('#tiles dd')[2].innerText"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
# A reader needs 4.5 (WCAG 2, AA) between text and what is behind it.
CONTRAST = """(() => {
  const part = (value) => { const v = value / 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const light = (colour) => {
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (!/, 0\\)$|^transparent$/.test(colour)) return colour;
    }
    return "white";
  };
  const bad = [];
  for (const element of document.querySelectorAll("h1, h2, h3, p, dt, dd, small, span, th, td, a, li, time")) {
    if (!element.innerText || !element.offsetWidth || element.closest(".unseen, .skip, .uplot")) continue;
    const [one, other] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${element.tagName} ${element.innerText}`);
  }
  return bad;
})()"""


@pytest.fixture(scope="module")
def _browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], AbstractContextManager[Page]]]:
    if program() is None:
        sentence = f"the status page is not tested: there is no Chromium; {HOW}"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    with browser(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture
def page(_browser: Callable[[], AbstractContextManager[Page]]) -> Iterator[Page]:
    """A tab in which nothing may go wrong."""
    with _browser() as page:
        yield page
        page.value("1")  # what has happened since
        assert page.complaints == []


class Traffic:
    """A publisher at one node, a subscriber at another, until the end."""

    def __init__(self, watched: Watched) -> None:
        self._subscriber = watched.cluster["b"].session()
        self._publisher = watched.cluster["a"].session()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Session:
        self._subscriber.subscribe("test.page")
        self._thread.start()
        return self._subscriber

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._publisher.close()
        self._subscriber.close()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            self._publisher.publish("test.page", ["x"])
            self._subscriber.next(EVENT)


def url(watched: Watched, name: str = "a") -> str:
    return f"http://127.0.0.1:{watched.ports[name]}/"


def cards(page: Page) -> list[str]:
    names: list[str] = page.value("[...document.querySelectorAll('.node')].map(node => node.dataset.node)")
    return names


def test_it_shows_the_cluster_and_what_clients_do(watched: Watched, page: Page) -> None:
    with Traffic(watched):
        page.show(url(watched))
        page.wait_for(READY)
        page.wait_for(f"parseFloat({EVENTS}) > 1")
        words = page.value("document.body.innerText")
        assert cards(page) == ["a", "b", "c"]
        assert "All 3 nodes are ready" in words and "leads in term" in words and "cluster test" in words
        assert page.value("document.querySelectorAll('.badge.leader').length") == 1
        assert page.value("document.querySelectorAll('#links td span.good').length") == 6
        assert page.value("[...document.querySelectorAll('#events li.election')].length") >= 1
        page.wait_for("document.querySelectorAll('.plot canvas').length === 4")
        drawn = (
            "document.querySelector('#plot-messages canvas').getContext('2d')"
            ".getImageData(0, 0, 600, 160).data.some(Boolean)"
        )
        page.wait_for(drawn)
        page.wait_for("/events: [1-9]/.test(document.querySelector('#plot-messages').ariaLabel)")
    assert {each.split("/")[2] for each in page.requests} == {f"127.0.0.1:{watched.ports['a']}"}, (
        "nothing from elsewhere"
    )
    assert page.value("document.title") == "test \u2013 wampha"


def test_a_node_that_stands_still_is_named_and_one_that_is_away_too(watched: Watched, page: Page) -> None:
    page.show(url(watched))
    page.wait_for(READY)
    watched.cluster["b"].pause()
    try:
        page.wait_for("document.querySelector('[data-node=b] .badge.bad') !== null")
        page.wait_for("document.querySelector('#verdict').className === 'verdict warn'")
        assert "look at b" in page.value("document.querySelector('#verdict').innerText")
        assert cards(page) == ["a", "c", "b"]
        page.wait_for("document.querySelectorAll('#links .bad').length >= 1")
    finally:
        watched.cluster["b"].resume()
    page.wait_for(READY)
    assert cards(page) == ["a", "b", "c"]


@pytest.mark.parametrize("dark", [False, True])
def test_it_can_be_read_on_a_phone_by_day_and_by_night(watched: Watched, page: Page, dark: bool) -> None:
    page.show(url(watched), 360, 740, dark=dark)
    page.wait_for(READY)
    page.wait_for("document.querySelectorAll('.plot canvas').length === 4")
    assert page.value("document.documentElement.scrollWidth") == 360, "nothing is wider than the screen"
    assert page.value("getComputedStyle(document.body).backgroundColor") == (
        "rgb(13, 15, 23)" if dark else "rgb(244, 245, 249)"
    )
    assert page.value(CONTRAST) == []


def test_it_says_things_to_who_cannot_see_it(watched: Watched, page: Page) -> None:
    page.show(url(watched))
    page.wait_for(READY)
    page.wait_for("document.querySelectorAll('.plot canvas').length === 4")
    assert page.value("document.documentElement.lang") == "en"
    assert page.value("document.querySelectorAll('h1').length") == 1
    assert page.value("document.querySelector('#verdict').ariaLive") == "polite"
    assert page.value(
        "[...document.querySelectorAll('.plot')].every(plot => plot.role === 'img' && plot.ariaLabel.length > 5)"
    )
    assert page.value("[...document.querySelectorAll('main table:not(.u-legend) th')].every(cell => cell.scope)")
    assert page.value(
        "[...document.querySelectorAll('section')].every(part => part.ariaLabel || part.ariaLabelledByElements?.length)"
    )


def test_names_and_reasons_are_text_whatever_they_hold(watched: Watched, page: Page) -> None:
    real = watched.get("a", "/status").json

    def hostile(where: str) -> dict[str, Any] | None:
        if not where.endswith("/status"):
            return None
        nodes = [
            {
                **node,
                "name": f"{HOSTILE}{number}",
                "stage": HOSTILE,
                "role": HOSTILE,
                "version": HOSTILE,
                "ready": False,
                "reasons": [HOSTILE],
                "links": {HOSTILE: {"up": True, "queue_bytes": 5, "behind": True, "round_trip_s": 0.1}},
                "slow": {"clients": 2, "bytes": 5000, "largest_bytes": [3000]},
                "events": [
                    {"at_ms": 1, "kind": "leader", "name": HOSTILE, "term": HOSTILE},
                    {"at_ms": 2, "kind": HOSTILE},
                ],
            }
            for number, node in enumerate(real["nodes"])
        ]
        return {
            **real,
            "cluster": HOSTILE,
            "node": HOSTILE,
            "leader": HOSTILE,
            "voters": [HOSTILE],
            "missing": [HOSTILE],
            "nodes": nodes,
        }

    page.intercept(hostile)
    page.show(url(watched))
    page.wait_for("document.querySelectorAll('.node').length >= 3")
    page.wait_for("document.querySelector('#slow table') !== null")
    assert page.value("document.querySelectorAll('main img, main script').length") == 0
    assert "owned" not in page.value("document.title.replace(/<.*>/, '')")
    assert "onerror" in page.value("document.querySelector('#nodes').innerText"), "it is shown as it is"


def test_when_its_node_does_not_answer_it_says_so_and_goes_on(watched: Watched, page: Page) -> None:
    page.show(url(watched))
    page.wait_for(READY)
    gone = [True]
    page.intercept(lambda where: {} if gone and where.endswith("/status") else None)
    page.wait_for("!document.querySelector('#banner').hidden")
    assert "has not answered" in page.value("document.querySelector('#banner').innerText")
    assert len(cards(page)) == 3, "what was known is still there"
    gone.clear()
    page.wait_for(f"document.querySelector('#banner').hidden && {READY}")
    page.value("1")
    assert all("ERR_CONNECTION_REFUSED" in complaint for complaint in page.complaints)
    page.complaints.clear()
