"""The live page in a real Chromium: what it says, and who can read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import expect
from tests.datasette_plugins.chromium import live, seqs, shows
from tests.datasette_plugins.conftest import Events, eventually

SAID: list[tuple[dict[str, Any], str]] = [
    ({}, "Read auth.ts 17 ms"),
    ({"status": "started", "outcome": None, "duration_ms": None, "payload": {}}, "Read started"),
    ({"tool": "Bash", "outcome": "failed", "duration_ms": 6140, "payload": {}}, "Bash failed 6.1 s"),
    ({"tool": "Bash", "outcome": "refused", "duration_ms": None, "payload": {}}, "Bash refused"),
    ({"tool": "Bash", "outcome": "ok", "duration_ms": 125_000, "payload": {}}, "Bash 2 min 5 s"),
    ({"type": "agent", "state": "waiting_permission"}, "Needs permission"),
    ({"type": "agent", "state": "waiting_input"}, "Turn finished"),
    ({"type": "agent", "state": "finished", "agent_id": "a17c"}, "subagent Finished"),
    ({"type": "agent", "state": "pondering_deeply"}, "pondering deeply"),
    ({"type": "activity", "state": "prompt"}, "Prompt"),
    ({"type": "activity", "state": None}, "Activity"),
    ({"type": "session", "payload": {"action": "started", "how": "resume"}}, "Session started resume"),
    ({"type": "session", "payload": {"action": "ended", "reason": "logout"}}, "Session ended logout"),
    ({"type": "summary", "payload": {"summary": "Session ended"}}, "Summary Session ended"),
    ({"type": "error", "payload": {"category": "rate_limit"}}, "Error rate limit"),
    ({"type": "agent_spawn", "payload": {"agentType": "Explore"}}, "Subagent started Explore"),
    ({"type": "skill_invocation", "payload": {"skillName": "review"}}, "/review"),
    (
        {"type": "token_usage", "payload": {"inputTokens": 1240, "outputTokens": 37, "model": "claude-opus-4-6"}},
        "1.2k tokens in / 37 out, claude-opus-4-6",
    ),
    ({"type": "todo_progress", "payload": {"completed": 2, "inProgress": 1, "pending": 3}}, "2 of 6 tasks done"),
    ({"type": "file_change", "payload": {"linesAdded": 12, "linesRemoved": 3}}, "File changed +12 −3"),
    ({"type": "project_activity", "payload": {"isActive": True}}, "Project active"),
    ({"type": "session_metrics", "payload": {"totalSessions": 3, "totalMessages": 90}}, "3 sessions, 90 messages"),
    ({"type": "activity_pattern", "payload": {}}, "Activity by hour counted"),
    ({"type": "model_distribution", "payload": {}}, "Tokens by model counted"),
    ({"type": "of_the_future", "payload": None}, "of the future"),
    ({"type": "constructor", "payload": [1]}, "constructor"),
    ({"tool": "toString", "outcome": "hasOwnProperty", "payload": "text"}, "toString 17 ms"),
    ({"type": "error", "payload": {"category": {"a": 1}}}, "Error"),
]


def test_every_event_says_in_words_what_happened(live_address: str, open_page: Any, empty_db: Events) -> None:
    for columns, _ in SAID:
        empty_db.add(**columns)
    page = open_page(live_address)
    shows(page, list(range(len(SAID), 0, -1)))
    texts: list[str] = page.eval_on_selector_all("#events li", "all => all.map(each => each.textContent)")
    for text, (_, words) in zip(reversed(texts), SAID, strict=True):
        assert words in " ".join(text.split())


def test_a_row_tells_who_and_when_and_leads_to_its_row(live_address: str, open_page: Any, empty_db: Events) -> None:
    (seq,) = empty_db.add(timestamp="2026-03-12T14:32:07.123Z")
    page = open_page(live_address)
    link = page.locator("#events a")
    expect(link.locator("time")).to_have_text("12 Mar, 15:32")  # Berlin
    expect(link.locator(".project")).to_have_text("shop")
    expect(link.locator(".session")).to_have_text("3f0c")
    expect(link.locator(".source")).to_be_hidden()
    empty_db.add(source="workstation")
    expect(page.locator(".source").first).to_be_visible()
    expect(page.locator(".source")).to_have_text(["workstation", "laptop"])
    page.locator(f'[data-seq="{seq}"] a').click()
    page.wait_for_url(f"**/vibetea/events/{seq}")
    expect(page.locator("body")).to_contain_text("auth.ts")


def test_a_session_keeps_its_colour(live_address: str, open_page: Any, empty_db: Events) -> None:
    empty_db.add(2)
    empty_db.add(session_id="a91d4e07-5b3c-4f0e-8c66-2e7b9d40f3a2")
    page = open_page(live_address)
    shows(page, [3, 2, 1])
    other, *same = page.eval_on_selector_all(
        ".session", "all => all.map(each => getComputedStyle(each).backgroundColor)"
    )
    assert same[0] == same[1] != other


def test_twelve_sessions_have_twelve_colours(live_address: str, open_page: Any, empty_db: Events) -> None:
    page = open_page(live_address)
    for _ in range(2):
        for number in range(12):
            empty_db.add(session_id=f"{number:04d}9b52-7c1e-4b7a-9a52-0d6f3c1e8b11")
    shows(page, list(range(24, 0, -1)))
    chips = page.eval_on_selector_all(
        ".session", "all => all.map(each => [each.title, getComputedStyle(each).backgroundColor])"
    )
    assert len({session for session, _ in chips}) == len({colour for _, colour in chips}) == 12
    assert len({tuple(chip) for chip in chips}) == 12


HOSTILE = [
    "<script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "\"'><svg onload=document.title='taken'>",
    "javascript:document.title='taken'",
    "{{constructor.constructor('document.title=1')()}}",
    "\u202etxt.exe\u202c\u2066\u200b",
    "a\n\ndata: {}\n\nevent: reset",
    "x" * 5000,
    "',--hue:url(x)",
]


def test_hostile_names_are_only_ever_text(live_address: str, open_page: Any, empty_db: Events) -> None:
    for name in HOSTILE:
        names = ["source", "type", "session_id", "project", "tool", "state", "agent_id", "model"]
        columns: dict[str, Any] = dict.fromkeys(names, name)
        empty_db.add(**columns, payload={"context": name})
        empty_db.add(**(columns | {"type": "tool", "timestamp": name}), payload={"context": name, "summary": name})
        empty_db.add(**(columns | {"type": "session"}), payload={"action": name, "how": name})
    page = open_page(live_address)
    live(page)
    eventually(lambda: sorted(seqs(page)) == list(range(1, 3 * len(HOSTILE) + 1)))
    assert page.title() == "VibeTea live"
    assert page.locator("main :is(script, img, iframe, object), main form:not(#filters)").count() == 0
    assert page.locator("main svg:not(.icon)").count() == 0
    projects = page.locator(".project").all_text_contents()
    assert HOSTILE[0] in projects
    assert HOSTILE[5] in projects
    assert max(map(len, projects)) <= 81
    hrefs: list[str] = page.eval_on_selector_all("#events a", "all => all.map(each => each.getAttribute('href'))")
    assert all(href.startswith("/vibetea/events/") for href in hrefs)


def test_the_list_is_one_stop_for_the_tab_key_and_is_walked_by_arrows(
    live_address: str, open_page: Any, empty_db: Events
) -> None:
    empty_db.add(30)
    page = open_page(live_address)
    shows(page, list(range(30, 0, -1)))
    assert page.locator('#events a[tabindex="0"]').count() == 1

    def focused() -> Any:
        return page.evaluate("document.activeElement.closest('li')?.dataset.seq")

    page.locator("[name=tool]").focus()
    page.keyboard.press("Tab")
    assert focused() == "30"
    for key, seq in {"ArrowDown": "29", "PageDown": "19", "End": "1", "ArrowUp": "2", "Home": "30"}.items():
        page.keyboard.press(key)
        assert focused() == seq
    page.keyboard.press("ArrowDown")
    empty_db.add()
    expect(page.get_by_role("button", name="1 new")).to_be_visible()
    assert focused() == "29"
    page.keyboard.press("Escape")
    expect(page.locator("#events")).to_be_focused()
    empty_db.add()
    shows(page, list(range(32, 0, -1)))
    assert page.locator('#events a[tabindex="0"]').count() == 1
    page.keyboard.press("ArrowDown")
    assert focused() == "32"


def test_a_screen_reader_hears_what_matters_and_no_flood(live_address: str, open_page: Any, empty_db: Events) -> None:
    page = open_page("about:blank")
    page.clock.install()
    page.goto(live_address)
    live(page)
    page.evaluate(
        """() => {
            window.heard = [];
            const spoken = document.getElementById("spoken");
            new MutationObserver(() => heard.push(spoken.textContent)).observe(spoken, { childList: true });
        }"""
    )
    empty_db.add(300)
    empty_db.add(type="agent", state="waiting_permission")
    expect(page.locator("#spoken")).to_have_text("shop: Needs permission")
    assert page.evaluate("heard") == ["shop: Needs permission"]
    page.clock.fast_forward(20_000)
    expect(page.locator("#spoken")).to_contain_text("301 new")


CONTRAST = """() => {
    const canvas = new OffscreenCanvas(1, 1);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const pixel = colours => {
        context.clearRect(0, 0, 1, 1);
        for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const luminance = rgb => {
        const [r, g, b] = rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const low = [];
    for (const each of document.querySelectorAll("body *")) {
        const own = [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        if (!(own || each.matches("svg")) || !each.checkVisibility()) continue;
        const grounds = [];
        for (let at = each; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
        const ground = pixel(["white", ...grounds]);
        const [a, b] = [luminance(ground), luminance(pixel(["white", ...grounds, getComputedStyle(each).color]))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < (each.matches("svg") ? 3 : 4.5)) low.push([each.className, each.textContent, ratio]);
    }
    return low;
}"""


SCHEMES: list[Literal["light", "dark"]] = ["light", "dark"]


@pytest.mark.parametrize("width", [1200, 390])
def test_text_stands_out_in_both_schemes(
    live_address: str, open_page: Any, empty_db: Events, tmp_path: Path, width: int
) -> None:
    for number, (columns, _) in enumerate(SAID):
        empty_db.add(**({"session_id": f"{number:04x}-session", "source": f"machine{number % 2}"} | columns))
    page = open_page(live_address, viewport={"width": width, "height": 844}, reduced_motion="reduce")
    live(page)
    shows(page, list(range(len(SAID), 0, -1)))
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(CONTRAST) == []
        picture = tmp_path / f"{scheme}.png"
        page.screenshot(path=picture)
        assert picture.stat().st_size > 10_000


def test_nothing_is_wider_than_the_window(live_address: str, open_page: Any, empty_db: Events) -> None:
    empty_db.add(project="a-project-with-a-very-long-name-indeed-which-goes-on", source="workstation.of.somebody")
    empty_db.add(payload={"context": "a" * 64})
    page = open_page(live_address)
    live(page)
    for width in (320, 390, 720, 1024, 2560):
        page.set_viewport_size({"width": width, "height": 700})
        shows(page, [2, 1])
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        expect(page.locator("#events .what").first).to_be_in_viewport()


def test_forced_colours_keep_sessions_apart_from_the_ground(
    live_address: str, open_page: Any, empty_db: Events
) -> None:
    empty_db.add(outcome="failed")
    page = open_page(live_address, forced_colors="active")
    shows(page, [1])
    border = page.locator(".session").evaluate("chip => getComputedStyle(chip).borderTopColor")
    assert border != page.locator(".session").evaluate("chip => getComputedStyle(chip).backgroundColor")


def test_reduced_motion_is_respected(live_address: str, open_page: Any, empty_db: Events) -> None:
    page = open_page(live_address, reduced_motion="reduce")
    live(page)
    empty_db.add()
    shows(page, [1])
    assert page.evaluate("document.getAnimations().length") == 0
