"""axe-core at the locked version, and what it finds in a page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.tools.npm import MissingToolError, installed

if TYPE_CHECKING:
    from playwright.sync_api import Page

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN = """async tags => {
    const found = await axe.run(document, { runOnly: tags });
    return found.violations.flatMap(rule =>
        rule.nodes.map(node => `${rule.impact} ${rule.id}: ${node.html} ${node.failureSummary}`));
}"""


def script() -> Path:
    """The file to put into a page. Raises MissingToolError."""
    return installed("axe", Path(__file__).parent) / "axe-core/axe.min.js"


def violations(page: Page) -> list[str]:
    """Whatever it has against the page, which must let foreign scripts in (`bypass_csp`)."""
    page.add_script_tag(path=script())
    found: list[str] = page.evaluate(_RUN, TAGS)
    return found


if __name__ == "__main__":
    try:
        script()
    except MissingToolError as missing:
        sys.exit(str(missing))
