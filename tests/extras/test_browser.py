"""The report page in a real browser: no error, curves are drawn, and what can be pressed does what it
says.
"""

from __future__ import annotations

import base64
import os
import shutil

import pytest

from optcompare import compare
from optcompare.report.html.page import page
from tests.helpers.workloads import small_workload

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # selenium leaves a socket to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1100,900",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    driver_path = os.environ.get("CHROMEDRIVER") or shutil.which("chromedriver")
    if CHROMIUM is None or driver_path is None:
        pytest.skip("there is no Chromium with its driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_path))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    metrics = {"accuracy": lambda output, y: ((output.sign() == y.sign()).sum(), len(y))}
    arms = ["full", "mini:4", "full@sgd:lr=1e9"]
    result = compare(
        small_workload(20, name="</script><script>alert(1)</script>", metrics=metrics),
        arms,
        seeds=4,
        epochs=9,
    )
    other = compare("line", ["full"], seeds=1, epochs=1)
    found = tmp_path_factory.mktemp("page") / "page.html"
    found.write_text(page([result, other]), encoding="utf-8")
    return found


@pytest.fixture
def opened(browser, path):
    browser.get_log("performance")
    browser.get(path.as_uri())
    yield browser
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "DEBUG"] == []
    urls = [
        entry["message"]
        for entry in browser.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    assert [url for url in urls if path.name not in url] == []


def all_of(driver, selector):
    return driver.find_elements("css selector", selector)


def one(driver, selector):
    return driver.find_element("css selector", selector)


def choose(driver, name, text):
    for option in all_of(driver, f"#run-0 select[name={name}] option"):
        if option.text == text:
            return option.click()
    raise AssertionError(f"{name} has no {text}")


def drawn(driver):
    return [line.get_attribute("d") for line in all_of(driver, "#run-0 .median")]


def texts(driver):
    return [text.text for text in all_of(driver, "#run-0 .chart text")]


def test_curves_are_drawn_for_every_arm_and_seed(opened):
    lines = drawn(opened)
    assert len(lines) == 3
    assert all(line.startswith("M") and line.count("L") >= 8 for line in lines[1:])  # the first has diverged
    assert len(all_of(opened, "#run-0 .seed")) == 12
    assert len(all_of(opened, "#run-0 .end")) == 4
    assert len(all_of(opened, "#run-1 .median")) == 1
    box = one(opened, "#run-0 .chart").rect
    assert box["width"] > 600
    assert box["height"] > 250
    assert one(opened, "#run-0 h1").text == "</script><script>alert(1)</script>"


@pytest.mark.slow
def test_pressing_an_arm_hides_and_shows_it(opened):
    button = all_of(opened, "#run-0 .key button")[1]
    button.send_keys("\ue007")  # Enter
    assert button.get_attribute("aria-pressed") == "false"
    assert len(drawn(opened)) == 2
    assert len(all_of(opened, "#run-0 .seed")) == 8
    button.click()
    assert len(drawn(opened)) == 3
    one(opened, "#run-0 button[name=all]").click()
    assert drawn(opened) == []
    one(opened, "#run-0 button[name=all]").click()
    assert len(drawn(opened)) == 3


def test_seeds_are_switched(opened):
    one(opened, "#run-0 input[name=seeds]").click()
    assert all_of(opened, "#run-0 .seed") == []
    assert len(drawn(opened)) == 3


@pytest.mark.slow
def test_the_axes_are_switched(opened):
    seen = set()
    for x, name in {
        "epochs": "epochs (passes",
        "updates": "updates (optim",
        "samples": "samples (grad",
        "seconds": "training time (s)",
    }.items():
        choose(opened, "over", x)
        assert any(text.startswith(name) for text in texts(opened))
        seen.add(drawn(opened)[-1])
    assert len(seen) == 4
    log = drawn(opened)
    one(opened, "#run-0 input[name=log]").click()
    assert drawn(opened) != log
    choose(opened, "metric", "training accuracy")
    assert "training accuracy" in texts(opened)


@pytest.mark.slow
def test_a_rectangle_zooms_and_what_is_under_the_pointer_is_said(opened):
    from selenium.webdriver import ActionChains

    chart, before = one(opened, "#run-0 .chart"), drawn(opened)
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    ActionChains(opened).move_to_element(chart).perform()
    tip = one(opened, "#run-0 .tip")
    assert tip.is_displayed()
    assert "mini:4" in tip.text
    assert "median training loss" in tip.text
    ActionChains(opened).move_to_element_with_offset(chart, -100, -80).click_and_hold().move_by_offset(
        150, 100
    ).release().perform()
    assert drawn(opened) != before
    one(opened, "#run-0 button[name=whole]").click()
    assert drawn(opened) == before


def test_a_table_is_sorted_by_its_heads_with_the_keyboard_too(opened):
    table = one(opened, "#run-0 details table")
    heads = all_of(table, "thead th")
    seed, final = heads[1], heads[4]

    def column(i):
        return [row.find_elements("css selector", "th,td")[i].text for row in all_of(table, "tbody tr")]

    one(seed, "button").click()
    assert seed.get_attribute("aria-sort") == "ascending"
    assert column(1) == sorted(column(1), key=int)
    one(seed, "button").send_keys(" ")
    assert seed.get_attribute("aria-sort") == "descending"
    assert column(1) == sorted(column(1), key=int, reverse=True)
    one(final, "button").click()
    assert seed.get_attribute("aria-sort") == "none"
    assert column(4)[-4:] == ["∞"] * 4
    assert list(map(float, column(4)[:8])) == sorted(map(float, column(4)[:8]))


@pytest.mark.slow
def test_a_narrow_window_needs_no_scrolling_sideways(opened):
    settings = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", settings)
    try:
        wide = opened.execute_async_script(
            "requestAnimationFrame(() => setTimeout(() => "
            "arguments[0](document.documentElement.scrollWidth), 100))"
        )
        assert wide <= 400
        assert one(opened, "#run-0 .chart").rect["width"] <= 400
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("x", ["epochs", "updates", "samples", "seconds"])
def test_no_text_of_the_chart_is_cut_or_touches_another(opened, width, x):
    settings = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", settings)
    try:
        opened.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 100))")
        choose(opened, "over", x)
        chart, *boxes = opened.execute_script(
            "return [...document.querySelectorAll('#run-0 .chart, #run-0 .chart text')]"
            ".map((e) => e.getBoundingClientRect()).map((r) => [r.left, r.right, r.top, r.bottom])"
        )
        for i, (left, right, top, bottom) in enumerate(boxes):
            assert left >= chart[0]
            assert right <= chart[1]
            for others in boxes[:i]:
                assert (
                    left >= others[1] or right <= others[0] or top >= others[3] - 4 or bottom <= others[2] + 4
                )
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
def test_it_prints_without_what_can_only_be_pressed(opened):
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not one(opened, "#run-0 .controls").is_displayed()
        assert one(opened, "#run-0 .chart").is_displayed()
        pdf = base64.b64decode(opened.execute_cdp_cmd("Page.printToPDF", {})["data"])
        assert pdf.startswith(b"%PDF")
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_line_stands_out_from_the_ground(opened, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        script = "return getComputedStyle(arguments[0]).getPropertyValue(arguments[1])"
        ground = opened.execute_script(script, one(opened, "html"), "background-color")
        for line in all_of(opened, "#run-0 .median"):
            assert contrast(opened.execute_script(script, line, "stroke"), ground) > 3
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(one_colour, other):
    """Of two colours written rgb(r, g, b), as WCAG 2 has it."""

    def luminance(text):
        parts = [int(part) / 255 for part in text[text.index("(") + 1 : -1].split(",")[:3]]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one_colour), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
