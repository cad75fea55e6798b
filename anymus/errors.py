"""The error family: every failure a user can meet has a class, an exit code and a next step."""


class AnymusError(Exception):
    """A failure that the user can act on; the command line prints it as one line and exits with 1.

    Args:
        message: What went wrong and where (a path, a parameter's key path, a value).
        hint: The next command or step that helps.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type["AnymusError"], tuple[str, str | None]]:
        """Return what rebuilds the error in another process, hint included."""
        return (type(self), (self.message, self.hint))


class ParamsError(AnymusError):
    """A parameter, an option or an argument is not usable: exit code 2."""

    exit_code = 2


class DatasetError(AnymusError):
    """No usable data: nothing found, nothing left, or data that cannot be trusted: exit code 3."""

    exit_code = 3


class PolicyError(AnymusError):
    """A request that Anymus refuses: robots.txt, an opt-out, a missing contact: exit code 4."""

    exit_code = 4


class PartialError(AnymusError):
    """Some items failed and the rest is done; the failed ones are listed: exit code 5."""

    exit_code = 5


class CheckpointError(AnymusError):
    """Weights or a checkpoint are missing, damaged or of another kind: exit code 6."""

    exit_code = 6


class DeviceError(AnymusError):
    """A device or an optional library that was asked for is not there: exit code 7."""

    exit_code = 7


class CollapseError(AnymusError):
    """A training whose generator makes blank pictures, or one picture of all: exit code 8."""

    exit_code = 8


class UnfinishedRunError(AnymusError):
    """A training ended by its time limit before its last iteration, state saved: exit code 9."""

    exit_code = 9


class InterruptedRunError(AnymusError):
    """A signal stopped the run after its state was saved: exit code 130."""

    exit_code = 130


class ImageError(AnymusError):
    """One picture cannot be read or written; stages turn it into a rejected row, exit code 1 alone.

    Args:
        message: What is wrong with which file.
        hint: The next step.
        reason: One word for the manifest, such as `truncated` or `not_an_image`.
    """

    def __init__(self, message: str, hint: str | None = None, reason: str = "unreadable") -> None:
        super().__init__(message, hint)
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str | None, str]]:  # type: ignore[override]
        """Return what rebuilds the error in another process, reason included."""
        return (type(self), (self.message, self.hint, self.reason))
