"""Errors that become answers."""


class ApiError(Exception):
    """Becomes an answer with a JSON reason."""

    def __init__(
        self, status: int, reason: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.reason, self.message, self.headers = status, reason, message, headers
