"""Functions as machine code, by numba."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator: the function is compiled at its first call, and releases Python's global lock.

    The machine code is kept on disk, where a folder can be written to, until the file of the
    function changes. Numba does not notice changes of other files: call no compiled function of
    another file. `options` are those of `numba.njit`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # no folder can be written to
            return njit(nogil=True, **options)(function)

    return decorate
