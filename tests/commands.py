"""Commands, called in this process."""

import contextlib
import io
from collections.abc import Callable, Sequence


def call(main: Callable[[Sequence[str]], int], *words: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    return status, out.getvalue(), err.getvalue()
