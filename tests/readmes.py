"""What the READMEs of rooms contain: files, and commands of `ssl-audio`."""

import re
import shlex
from pathlib import Path


def readme_commands(readme: Path, folder: Path) -> list[list[str]]:
    """Arguments of the `ssl-audio pretrain` commands of a README.

    Blocks of Python and YAML whose first line is a comment with a name are written as files.

    Args:
        readme: the file.
        folder: where its files are written.
    """
    text, commands = readme.read_text(), []
    for language, block in re.findall(r"```(\w+)\n(.*?)```", text, flags=re.DOTALL):
        first, _, rest = block.partition("\n")
        if language in ("python", "yaml") and first.startswith("# "):
            (folder / first[2:]).write_text(rest)
        if language == "bash":
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line)
                assert words[:2] == ["ssl-audio", "pretrain"], line
                commands.append(words[2:])
    return commands
