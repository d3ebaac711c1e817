"""Answers that refuse: one JSON form, `{"error": text for people, "code": for programs}`."""

import math
from http import HTTPStatus

from aiohttp import web


class Refusal(Exception):
    """A request is refused.

    Args:
        status: of the answer.
        code: the contract's word for it; "" where it has none.
        text: for people; holds nothing of the request.
        retry: seconds until another try makes sense.
        close: whether to end the connection too.
    """

    def __init__(
        self, status: HTTPStatus, code: str, text: str, *, retry: float | None = None, close: bool = False
    ) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.retry = retry
        self.close = close

    def response(self) -> web.Response:
        """The answer."""
        body = {"error": self.text, "code": self.code} if self.code else {"error": self.text}
        answer = web.json_response(body, status=self.status)
        if self.retry is not None:
            answer.headers["Retry-After"] = str(max(1, math.ceil(self.retry)))
        if self.close:
            answer.force_close()
        return answer


def rate_limited(wait: float, *, close: bool = False) -> Refusal:
    """Too much was asked for: again in so many seconds."""
    text = "too many requests; see Retry-After"
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", text, retry=wait, close=close)


def too_many(what: str) -> Refusal:
    """There is no room for more of them at once."""
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too_many", f"too many {what}", retry=5, close=True)
