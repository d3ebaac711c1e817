"""The first page: the live stream. Its script and styles are files, so that nothing inline has to be allowed."""

from __future__ import annotations

from typing import Any, Final

from datasette import Response

from datasette_vibetea import access, database, stream

PATH: Final = "/-/vibetea"
HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",
}


async def view(datasette: Any, request: Any) -> Response:
    """The page; without a database it says what to do."""
    urls = datasette.urls
    try:
        attached = await database.find(datasette)
    except database.NoDatabase:
        await access.require_instance(datasette, request.actor)
        table = ""
    else:
        await access.require_events(datasette, request.actor, attached.name)
        table = urls.table(attached.name, database.TABLE)
    context = {"stream": urls.path(stream.PATH), "table": table}
    html = await datasette.render_template("vibetea_live.html", context, request=request)
    return Response.html(html, headers=HEADERS)
