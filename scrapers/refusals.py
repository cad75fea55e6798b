"""A request that is not made, or an answer that is not used."""

from scrapy.exceptions import IgnoreRequest


class RefusedRequestError(IgnoreRequest):
    """A request that is not made, or an answer that is not used, for a reason of one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
