"""Files that READMEs contain: blocks of Python and YAML that begin with a comment, the name."""

import re
from pathlib import Path


def write_files(readme: Path, folder: Path) -> None:
    """Write the files of a README into a folder."""
    for block in re.findall(r"```(?:python|yaml)\n(.*?)```", readme.read_text(), flags=re.DOTALL):
        first, _, rest = block.partition("\n")
        if re.fullmatch(r"# \w+\.(py|yaml)", first):
            (folder / first[2:]).write_text(rest)
