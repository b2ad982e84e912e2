"""Recipes of a page, carried out as they stand: blocks of code with their places."""

import re
from pathlib import Path
from typing import NamedTuple

PLACE = re.compile(r"(Above|Below) `([^`]+)` in `([^`]+)`, add")


class Step(NamedTuple):
    """A block of code, and the sentences before it."""

    language: str
    code: str
    before: str

    def apply(self, folder: Path) -> None:
        """Make or change the file that the block is about."""
        {"yaml": self._put, "python": self._write, "diff": self._change}[self.language](folder)

    def _put(self, folder: Path) -> None:
        """Put it above or below the line that the sentence before it names."""
        found = PLACE.search(self.before)
        assert found, self.before
        where, line, name = found.groups()
        parts = [self.code, f"{line}\n"] if where == "Above" else [f"{line}\n", self.code]
        replace_once(folder / name, f"\n{line}\n", "\n" + "".join(parts))

    def _write(self, folder: Path) -> None:
        """Write it to the file that its first line names."""
        name, _, text = self.code.removeprefix("# ").partition("\n")
        file = folder / name
        assert not file.exists()
        file.write_text(text)

    def _change(self, folder: Path) -> None:
        """Replace the lines with a minus; where there is none, add those with a plus."""
        for old, new in hunks(self.code):
            replace_once(folder / self.file, old, new)

    @property
    def file(self) -> str:
        """The file that a change is about."""
        return self.code.partition("\n")[0].removeprefix("--- ")


def steps_of(page: Path, heading: str) -> list[Step]:
    """The blocks of code below a heading, in their order."""
    section = page.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    parts = re.split(r"^```(\w+)\n(.*?)^```$", section, flags=re.M | re.S)
    texts, languages, codes = parts[::3], parts[1::3], parts[2::3]
    blocks = zip(languages, codes, texts, strict=False)
    return [Step(language, code, text) for language, code, text in blocks]


def hunks(code: str) -> list[tuple[str, str]]:
    """The old and the new text of each change of a file."""
    _, *lines = code.splitlines(keepends=True)
    changes = "".join(lines).split("@@\n")
    return [(_lines(change, "-"), _lines(change, "+")) for change in changes]


def _lines(change: str, sign: str) -> str:
    return "".join(line[1:] for line in change.splitlines(keepends=True) if line[0] in (" ", sign))


def replace_once(file: Path, old: str, new: str) -> None:
    """Replace a text that stands in the file once."""
    text = file.read_text()
    assert text.count(old) == 1, f"{file} has {text.count(old)} times:\n{old}"
    file.write_text(text.replace(old, new))
