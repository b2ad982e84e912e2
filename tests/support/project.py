"""The paths of the project's files."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
OPERATIONS = ROOT / "OPERATIONS.md"
BETTER_AUTH = ROOT / "BETTER-AUTH.md"
PAGES = sorted(ROOT.glob("*.md"))
