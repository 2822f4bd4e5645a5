"""Why something that a file says cannot be taken."""


class Refused(Exception):
    """A row, or one name in it, stays out. field: which one is to blame; message: a sentence that says what to do."""

    def __init__(self, code: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.field = code, message, field

    @property
    def problem(self) -> tuple[str, str]:
        return self.code, self.message
