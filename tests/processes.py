"""Processes, for tests of what happens to one that is killed or interrupted."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess

import torch

# A fork imports nothing again. Where torch has an accelerator, its threads forbid a backward pass
# in a fork.
START = "spawn" if torch.accelerator.is_available() else "fork"


def start(main: Callable[[Sequence[str]], int], words: Sequence[str]) -> BaseProcess:
    """A process that runs a command on one thread of torch; `exitcode` is the command's status."""
    process = multiprocessing.get_context(START).Process(target=_run, args=(main, words))
    process.start()
    return process


def _run(main: Callable[[Sequence[str]], int], words: Sequence[str]) -> None:
    # a shell that runs the tests in the background makes them deaf to Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    sys.exit(main(words))
