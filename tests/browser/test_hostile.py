"""Prompts, names and answers that would be scripts, markup or addresses, if anything took them for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.conftest import Look, make
from tests.support.command import results

ATTACKS = [
    "<script>window.hacked = 1</script>",
    '<img src=x onerror="window.hacked = 2">',
    '<img src="http://198.51.100.7/leak.png">',
    "</script><script>window.hacked = 3</script>",
    "<svg onload=window.hacked=4><a xlink:href='javascript:window.hacked=5'>x</a></svg>",
    "javascript:window.hacked=6",
    "'); window.hacked = 7; ('",
    "\\'); window.hacked = 8; //",
    "{{ 7 * 7 }}${window.hacked = 9}`",
    "<base href='http://198.51.100.7/'><meta http-equiv=refresh content='0;url=http://198.51.100.7/'>",
    "<iframe srcdoc='<script>parent.hacked = 10</script>'></iframe>",
    "<!--<script>\u2028\u2029--><style>@import 'http://198.51.100.7/x.css'</style>",
]


@pytest.mark.fault("G2")
async def test_what_a_manifest_or_a_service_wrote_stays_text(look: Look, tmp_path: Path) -> None:
    plain = [attack.replace("{", "{{").replace("}", "}}") for attack in ATTACKS]  # braces are templates in a manifest
    rows = [{"id": f"row{n}", "prompt": attack, "__proto__": attack, "<b>field</b>": attack} for n, attack in enumerate(plain)]
    rows += [
        {"id": "<img src=x onerror=hacked=11>", "prompt": "a name"},
        {"id": "__proto__", "prompt": "a name"},
        {"id": "constructor", "prompt": "a name"},
    ]
    folder = await make(
        tmp_path / "<b onmouseover=hacked=12>",
        rows=rows,
        job="text_to_image",
        head={"matrix": {"<u>axis</u>": {"<i>1</i>": 1}}, "extra_fields": ["__proto__", "<b>field</b>"]},
        faults=('generation:fail:nth=2,error=<img src="http://198.51.100.7/error.png" onerror="window.hacked=13">',),
        concurrency=1,
    )
    visit = await look(folder, reduced_motion="no-preference")
    dialogs: list[str] = []
    visit.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    assert await visit.found() == f"{len(rows)} rows"
    for n, attack in enumerate(ATTACKS):
        row = next(row for row in results(folder) if row["row"] == n + 1)
        await visit.page.evaluate("id => { location.hash = `#row=${encodeURIComponent(id)}`; }", row["id"])
        await visit.page.wait_for_function("id => document.getElementById('stage-name').textContent === id", arg=row["id"])
        assert attack in (await visit.page.text_content("#facts") or "")
    assert sum(bool(row["files"]) for row in results(folder)) == len(rows) - 1
    await visit.page.evaluate("document.querySelector('#stage').close()")
    await visit.settle()
    await visit.press("1", "r")
    await visit.page.fill("#note", ATTACKS[1])
    await visit.press("Enter")
    for view in ("sheet", "summary", "cards"):
        await visit.page.click(f"[data-view={view}]")
        await visit.settle()
    for name in await visit.page.locator("#field option").evaluate_all("each => each.map((option) => option.value)"):
        await visit.page.select_option("#field", name)
    await visit.reload()
    assert await visit.page.evaluate("window.hacked") is None
    assert dialogs == []
    assert await visit.page.locator("iframe, base, object, embed, form:not([method=dialog])").count() == 0
    assert [message for message in visit.messages if "Content Security Policy" in message] == [], "nothing was even tried"
    home = folder.as_uri()
    assert visit.requests
    assert [url for url in visit.requests if not url.startswith((f"{home}/report.html", f"{home}/report/", f"{home}/results/", "data:,"))] == []
