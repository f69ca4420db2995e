"""One root for everything that is wrong with *us*: configuration, files, a broken invariant.

A bad reading is not an error, it is data (flags, quarantine). The message names the place and
the fix, so that printing it is enough.
"""


class ForewattError(Exception):
    """Something must be mended before Forewatt can go on; the text says where and how."""

    exit_status = 1


class BadInput(ForewattError):
    """A file, argument or configuration that cannot be used as it is."""

    exit_status = 2

    def __init__(
        self,
        problem: str,
        *,
        file: str | None = None,
        line: int | None = None,
        column: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.problem, self.file, self.line, self.column, self.fix = problem, file, line, column, fix
        place = file or ""
        if line is not None:
            place += f":{line}" if place else f"line {line}"
        if column is not None:
            place += f", column {column}" if place else f"column {column}"
        text = f"{place}: {problem}" if place else problem
        if fix:
            text = f"{text.rstrip('.')}. {fix[0].upper()}{fix[1:]}"
        super().__init__(text)
