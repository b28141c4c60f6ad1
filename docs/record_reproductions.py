"""Record attempts at reproductions, and write the page of the documentation that shows them.

For the attempts in these folders: python docs/record_reproductions.py runs/20270101-grab-full …
The page alone: python docs/record_reproductions.py
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from optcompare import Expected
from optcompare.core.formatting import duration

RECORDS = Path(__file__).parent / "reproductions"
PAGE = RECORDS / "index.md"
HEAD = """# Published results, reproduced

What [`optcompare reproduce`](../how-to/reproduce.md) found, claim by claim, with the ranges that were
decided before the first full run. What does not hold is shown as not held, with the likely reason. Each can
be repeated with the command above its table; other versions, processors and numbers of threads round
differently, and give slightly other numbers.

| reproduction | source | size | expected numbers that hold |
|---|---|---|---|
"""


def record(attempt: Path) -> None:
    """Copy report and figure of an attempt to the records.

    Args:
        attempt: The folder that ``optcompare reproduce`` wrote.

    Raises:
        SystemExit: The attempt has not ended.
    """
    report = json.loads((attempt / "reproduction.json").read_text("utf-8"))
    if report["holds"] is None:
        sys.exit(f"{attempt} has not ended; run the same command again with --out {attempt}")
    shutil.copyfile(attempt / "reproduction.json", RECORDS / f"{report['name']}.json")
    if (attempt / "figure.png").exists():
        figure = Image.open(attempt / "figure.png").convert("RGB")
        figure.quantize(64).save(RECORDS / f"{report['name']}.png", optimize=True)  # a quarter of the bytes


def recorded() -> list[dict[str, Any]]:
    """Return the recorded reports, by name."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(RECORDS.glob("*.json"))]


def page(reports: list[dict[str, Any]]) -> str:
    """Return the page that shows attempts.

    Args:
        reports: What each ``reproduction.json`` holds.
    """
    return HEAD + "".join(_line(each) for each in reports) + "".join(_section(each) for each in reports)


def _line(report: dict[str, Any]) -> str:
    held = sum(each["holds"] for each in report["expected"])
    return (
        f"| [`{report['name']}`](#{report['name']}) | {report['source']} | {report['size']} "
        f"| {held} of {len(report['expected'])} |\n"
    )


def _section(report: dict[str, Any]) -> str:
    name, quick, took = report["name"], report["size"] == "quick", duration(report["seconds"])
    versions = ", ".join(f"{each} {report[each]}" for each in ("optcompare", "torch", "numpy", "python"))
    rows = "".join(_row(each) for each in report["expected"])
    remarks = [_reason(each) for each in report["expected"] if not each["holds"]] + report["notes"]
    listed = "\n" * bool(remarks) + "".join(f"- {remark}\n" for remark in remarks)
    figure = f"\n![What was found]({name}.png)\n" if (RECORDS / f"{name}.png").exists() else ""
    return f"""
## {name}

Claim
: {report["claim"]}

Source
: {report["source"]}

Setting
: {report["setting"]}{f" Quick: {report['quick']}" if quick and report.get("quick") else ""}

<!-- not run: it trains for {took} -->
```sh
optcompare reproduce {name}{"" if quick else " --full"}
```

| expected | range | found | holds |
|---|---|---|---|
{rows}{listed}{figure}
{report["date"][:10]}, {took} on {report["cpus"]} processors: {versions}.
"""


def _row(each: dict[str, Any]) -> str:
    expected = Expected(each["words"], _or(each["low"], -math.inf), _or(each["high"], math.inf))
    found = expected.shown(_or(each["found"], math.nan))
    return f"| {each['words']} | {expected.range} | {found} | {'yes' if each['holds'] else '**no**'} |\n"


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _reason(each: dict[str, Any]) -> str:
    reason = each["likely_reason"]
    why = f"Likely reason: {reason}" if reason else "No likely reason is known"
    return f"Not as expected: {each['words']}. {why}"


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        record(Path(folder))
    PAGE.write_text(page(recorded()), encoding="utf-8")
