"""Processes, for tests of what happens to one that is killed or interrupted."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess

import torch

# A fork of the tests' own process could not run a backward pass once that process has started
# threads of autograd; one of a server that has imported the packages, and done nothing else, can.
START = "forkserver"
multiprocessing.set_forkserver_preload(["lightning", "ssl_audio.training.pretrain"])


def start(main: Callable[[Sequence[str]], int], words: Sequence[str]) -> BaseProcess:
    """A process that runs a command on one thread of torch; `exitcode` is the command's status."""
    process = multiprocessing.get_context(START).Process(
        target=_run, args=(main, words, dict(os.environ))
    )
    process.start()
    return process


def _run(
    main: Callable[[Sequence[str]], int], words: Sequence[str], environment: dict[str, str]
) -> None:
    os.environ.update(environment)  # the server has that of its own start
    torch.set_num_threads(1)
    sys.exit(main(words))
