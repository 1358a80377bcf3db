"""The live page in a real browser, offline and from a file: python browser.py CHROMIUM PAGE LIBRARY_JSON [SCREENSHOTS]

Each check is a function whose name and first line say what it claims. `LIBRARY_JSON` holds the library's own numbers for
the page's first lesson (`lora page --numbers`).
"""

import json
import math
import pathlib
import sys

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

DESKTOP, PHONE = (1280, 800), (390, 844)
STEPS = 200


class Page:
    """The page, opened anew."""

    def __init__(self, browser, path, size=DESKTOP, scheme="light", **options):
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, offline=True, **options)
        self.page = self.context.new_page()
        self.complaints = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: request.url.startswith(("file:", "data:", "blob:"))
                     or self.complaints.append(f"asked for {request.url}"))
        self.page.goto(pathlib.Path(path).resolve().as_uri())
        self.page.wait_for_function("globalThis.loraPage", timeout=60_000)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.context.close()
        if kind is None:
            assert not self.complaints, f"the console said {self.complaints}"

    def teach(self):
        self.page.click("#teach")
        self.taught()

    def taught(self):
        self.page.wait_for_function("!document.getElementById('teach').disabled", timeout=120_000)

    def run(self, script, *arguments):
        return self.page.evaluate(script, *arguments)

    def errors(self, reader):
        return self.run("(reader) => loraPage.results[reader].counts", reader)

    def draw(self, *strokes):
        """Strokes of points in the drawing area's own 0…1, by the pointer."""
        box = self.page.locator("#pad").bounding_box()
        place = lambda point: (box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"])
        for stroke in strokes:
            self.page.mouse.move(*place(stroke[0]))
            self.page.mouse.down()
            for point in stroke[1:]:
                self.page.mouse.move(*place(point), steps=4)
            self.page.mouse.up()


def circle(x, y, radius, start=0.0, turns=1.0):
    return [(x + radius * math.cos(a), y + 1.2 * radius * math.sin(a))
            for a in (start + turns * 2 * math.pi * i / 24 for i in range(25))]


def draws_and_reads(browser, path, _):
    """What is drawn with the pointer is read: a 1, a 0, a 7."""
    with Page(browser, path) as page:
        for strokes, digit in [
            ([[(0.5, 0.15), (0.5, 0.85)]], 1),
            ([circle(0.5, 0.5, 0.26)], 0),
            ([[(0.25, 0.2), (0.75, 0.2), (0.45, 0.85)]], 7),
        ]:
            page.page.click("#clear")
            page.draw(*strokes)
            answer = page.page.inner_text("#answer")
            assert f"reads {digit}" in answer, f"drew a {digit}; the page says: {answer}"


def learns_as_the_library(browser, path, library):
    """The first lesson gives the library's numbers: the loss of every step and the singular values to 1e-5."""
    with Page(browser, path) as page:
        assert page.errors(0) == library["base"]
        losses = page.run("""(steps) => {
          const { engine, LORA, FULL } = loraPage, losses = { lora: [], full: [] };
          for (let step = 0; step < steps; step++) {
            const share = Math.max(0, 1 - step / steps);
            losses.lora.push(engine.step(LORA, Math.fround(1e-2 * share)));
            losses.full.push(engine.step(FULL, Math.fround(3e-4 * share)));
          }
          return losses;
        }""", STEPS)
        for arm in ("lora", "full"):
            ours, theirs = losses[arm], library[arm]["losses"]
            difference = max(abs(a - b) / max(1, b) for a, b in zip(ours, theirs, strict=True))
            print(f"    {arm}: losses of {STEPS} steps within {difference:.1e}")
            assert difference < 1e-5
        for reader, arm in [(1, "lora"), (2, "full")]:
            count = page.run("(reader) => loraPage.engine.trainedCount(reader)", reader)
            assert count == library[arm]["trained"], (count, library[arm]["trained"])
            values = page.run("""(reader) => Array.from(loraPage.numbers(loraPage.engine.spectrum(reader, 0)))""", reader)
            theirs = library[arm]["singularValues"]
            assert len(values) == len(theirs), (len(values), len(theirs))
            difference = max(abs(a - b) for a, b in zip(values, theirs)) / theirs[0]
            print(f"    {arm}: singular values within {difference:.1e} of the largest")
            assert difference < 1e-5


def teaches(browser, path, library):
    """Teach trains: the errors on the digit fall, and are the library's; the loss falls; the spectrum has as many values
    as the rank."""
    with Page(browser, path) as page:
        digit = page.run("loraPage.state.digit")
        before = page.errors(1)[digit]
        page.teach()
        after = page.errors(1)
        assert after[digit] < before / 2, (before, after[digit])
        assert after == library["lora"]["errors"], (after, library["lora"]["errors"])
        losses = page.run("loraPage.state.losses[loraPage.LORA]")
        assert sum(losses[-20:]) < 0.6 * sum(losses[:20])
        assert len(losses) == STEPS
        for rank in (1, 4, 16):
            page.run("""(rank) => { const slider = document.getElementById("rank"); slider.value = rank;
              slider.dispatchEvent(new Event("input")); }""", rank)
            page.teach()
            count = page.run("loraPage.engine.spectrum(loraPage.LORA, 0)")
            shown = page.page.locator("#spectrum circle.lora").count()
            assert count == rank and 0 < shown <= rank, (count, shown, rank)


def trains_fast(browser, path, _):
    """At least 60 steps a second while everything is drawn, of the adapter and of every parameter beside it."""
    with Page(browser, path) as page:
        page.teach()
        speed = int(page.page.inner_text("#speed").split()[0])
        alone = page.run("""() => {
          const start = performance.now();
          for (let i = 0; i < 500; i++) loraPage.engine.step(loraPage.LORA, 1e-4);
          return 500_000 / (performance.now() - start);
        }""")
        print(f"    {speed} steps a second of both while drawing; the adapter's alone, not drawn: {alone:,.0f}")
        assert speed >= 60, speed


def switches_off(browser, path, _):
    """With the adapter off, every test logit has the base's bits, and the page says so."""
    with Page(browser, path) as page:
        page.teach()
        changed = page.run("loraPage.results[loraPage.LORA].total !== loraPage.results[loraPage.BASE].total")
        assert changed
        assert page.run("loraPage.engine.sameBits()") == 10 * page.run("loraPage.lesson.test")
        page.page.check("input[name=reader][value='0']", force=True)
        assert "very bits" in page.page.inner_text("#bits"), page.page.inner_text("#bits")


def alpha_acts_at_once(browser, path, _):
    """α changes answers without a step; at 0 they are the base's."""
    with Page(browser, path) as page:
        page.teach()
        steps = page.run("loraPage.state.step")
        page.run("""() => { const slider = document.getElementById("alpha"); slider.value = 0;
          slider.dispatchEvent(new Event("input")); }""")
        assert page.errors(1) == page.errors(0)
        assert page.run("loraPage.state.step") == steps


def merges(browser, path, _):
    """Merged, the answers stay and the page says by how much the logits moved; unmerged, the adapter is there again."""
    with Page(browser, path) as page:
        page.teach()
        before = page.errors(1)
        page.page.click("#merge")
        assert "one matrix again" in page.page.inner_text("#merged")
        assert page.run("loraPage.engine.factorA(0)") > 0 and page.run("loraPage.engine.mergeError()") < 1e-3
        count = page.run("""() => { const counts = new Array(10).fill(0), { engine, numbers, test } = loraPage;
          numbers(engine.answers(1)).forEach((a, i) => { if (a !== test.labels[i]) counts[test.labels[i]]++; });
          return counts; }""")
        assert count == before
        page.page.click("#merge")
        assert page.page.inner_text("#merged") == ""


def works_by_keyboard(browser, path, _):
    """Without a pointer: draw a 1 with the arrow keys, teach, switch the adapter off."""
    with Page(browser, path) as page:
        keys = page.page.keyboard
        reached = []
        for _ in range(40):
            keys.press("Tab")
            reached.append(page.run("document.activeElement.id || document.activeElement.name || document.activeElement.dataset.part || ''"))
        for wanted in ["pad", "clear", "example", "reader", "teach", "digit", "rank", "alpha", "rate", "replay", "merge", "reset"]:
            assert wanted in reached, f"Tab does not reach {wanted}: {reached}"
        page.page.focus("#pad")
        for _ in range(9):
            keys.press("ArrowUp")
        keys.press("Space")
        for _ in range(18):
            keys.press("ArrowDown")
        keys.press("Space")
        assert "reads 1" in page.page.inner_text("#answer"), page.page.inner_text("#answer")
        page.page.focus("#teach")
        keys.press("Enter")
        page.taught()
        assert page.run("loraPage.state.step") == STEPS
        page.page.focus("input[name=reader]:checked")
        keys.press("ArrowLeft")
        assert page.run("loraPage.state.reader") == 0


def lights_up(browser, path, _):
    """The part of the formula that the pointer is on is lit in the picture too."""
    with Page(browser, path) as page:
        page.page.hover(".formula [data-part=a]")
        assert page.page.locator("#pairs canvas[data-part=a].lit").count() == 1
        page.page.hover("#w")
        assert page.page.locator(".formula [data-part=w].lit").count() == 1


def is_accessible(browser, path, _):
    """axe-core finds nothing, on a desk and on a phone, light and dark, before and after teaching."""
    for size in (DESKTOP, PHONE):
        for scheme in ("light", "dark"):
            with Page(browser, path, size, scheme) as page:
                for moment in ("before", "after"):
                    if moment == "after":
                        page.page.click("#example")
                        page.teach()
                        page.page.click("#merge")
                    found = Axe().run(page.page).response["violations"]
                    told = [f"{v['id']}: {v['help']} ({v['nodes'][0]['html'][:120]})" for v in found]
                    assert not told, f"{size}, {scheme}, {moment} teaching: {told}"


def fits_a_phone(browser, path, _):
    """Nothing is wider than a phone, and fingers draw."""
    with Page(browser, path, PHONE, has_touch=True) as page:
        width = page.run("document.documentElement.scrollWidth")
        assert width <= PHONE[0], width


def stands_still(browser, path, _):
    """Where the reader wants less motion, teaching shows its end at once."""
    with Page(browser, path, reduced_motion="reduce") as page:
        page.teach()
        assert page.run("loraPage.state.step") == STEPS


def look(browser, path, folder):
    for size in (DESKTOP, PHONE):
        for scheme in ("light", "dark"):
            with Page(browser, path, size, scheme) as page:
                page.page.screenshot(path=folder / f"begin-{size[0]}-{scheme}.png")
                page.page.click("#example")
                page.teach()
                page.page.screenshot(path=folder / f"taught-{size[0]}-{scheme}.png", full_page=True)


CHECKS = [draws_and_reads, learns_as_the_library, teaches, trains_fast, switches_off, alpha_acts_at_once, merges,
          works_by_keyboard, lights_up, is_accessible, fits_a_phone, stands_still]


def main():
    chromium, path, library = sys.argv[1], pathlib.Path(sys.argv[2]), json.loads(pathlib.Path(sys.argv[3]).read_text())
    assert path.stat().st_size < 1_000_000, path.stat().st_size
    failures = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for check in CHECKS:
            print(f"{check.__name__}: {' '.join(check.__doc__.split())}")
            try:
                check(browser, path, library)
            except AssertionError as error:
                failures += 1
                print(f"    FAILED: {error}")
        if len(sys.argv) > 4 and sys.argv[4]:
            folder = pathlib.Path(sys.argv[4])
            folder.mkdir(parents=True, exist_ok=True)
            look(browser, path, folder)
        browser.close()
    print(f"{len(CHECKS) - failures} passed, {failures} failed")
    sys.exit(1 if failures else 0)


main()
