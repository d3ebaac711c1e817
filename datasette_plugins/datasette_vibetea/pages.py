"""The pages. Their scripts and styles are files, so that nothing inline has to be allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from datasette import Response

from datasette_vibetea import access, database, stream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATH: Final = "/-/vibetea"
HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Page:
    """A page and its template `vibetea_<name>.html`; its data is at `/-/vibetea/<name>.json`.

    Args:
        filters: the names of those it has, with spaces between: links to it keep them.
    """

    name: str
    path: str
    title: str
    filters: str


PAGES: Final = (
    Page("overview", PATH, "Overview", "days project source"),
    Page("sessions", f"{PATH}/sessions", "Sessions", "project source"),
    Page("live", f"{PATH}/live", "Live", "session project source type tool"),
    Page("heatmap", f"{PATH}/heatmap", "Heatmap", "days from to project source"),
    Page("statistics", f"{PATH}/statistics", "Statistics", "days from to project source"),
)


def view(page: Page) -> Callable[..., Awaitable[Response]]:
    """The view of one page; without a database it says what to do."""

    async def shown(datasette: Any, request: Any) -> Response:
        urls = datasette.urls
        try:
            attached = await database.find(datasette)
        except database.NoDatabase:
            await access.require_instance(datasette, request.actor)
            name = table = ""
        else:
            await access.require_events(datasette, request.actor, attached.name)
            name, table = attached.name, urls.table(attached.name, database.TABLE)
        config = database.config(datasette)
        context = {
            "page": page,
            "invented": config.get("invented"),
            "pages": [(each, urls.path(each.path)) for each in PAGES],
            "stream": urls.path(stream.PATH),
            "data": urls.path(f"{PATH}/{page.name}.json"),
            "database_url": urls.database(name) if name else "",
            "table": table,
            "history": urls.path(f"{PATH}/history.json") if config.get("history") else "",
        }
        html = await datasette.render_template(f"vibetea_{page.name}.html", context, request=request)
        return Response.html(html, headers=HEADERS)

    return shown
