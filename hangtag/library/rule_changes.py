"""Changes to a vocabulary, appended to the rules file as dated lines: the file is their history.
The tags of the designs stay as they are."""

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from hangtag.errors import VocabularyError
from hangtag.library.rules import Rules, is_writable, normalise_tag
from hangtag.library.tag_names import Names, rule_of_names
from hangtag.storage.files import read_text, write_text


def rename(rules_file: Path, old: str, new: str) -> str:
    """Give a tag another name; the old one stays an alias. Returns the line that was added."""
    return _append(rules_file, f"{_name(old)} -> {_name(new)}", "renamed")


def merge(rules_file: Path, tags: Sequence[str], into: str) -> str:
    """Make one tag of several; the others become its aliases. Returns the line that was added."""
    names = [name for name in map(_name, tags) if name != _name(into)]
    if not names:
        raise VocabularyError(f"name the tags that become {into!r}")
    return _append(rules_file, f"{', '.join(names)} -> {_name(into)}", "merged")


def split(rules_file: Path, tag: str, other: str, new: str) -> str:
    """Split a tag of two meanings: designs that also have `other` get `new` in its place. Returns
    the line that was added."""
    return _append(rules_file, f"{_name(tag)} + {_name(other)} -> {_name(new)}", "split")


def drop(rules_file: Path, tags: Sequence[str]) -> str:
    """Leave tags out. Returns the line that was added."""
    if not tags:
        raise VocabularyError("name the tags to leave out")
    return _append(rules_file, f"{', '.join(map(_name, tags))} -> -", "dropped")


def write_names(path: Path, names: Names) -> None:
    """Write names of tags as a rules file."""
    head = "# Suggested by `hangtag vocabulary suggest-names`. Remove or change what is wrong.\n"
    lines = (rule_of_names(tag, by_language) for tag, by_language in names.items())
    write_text(path, head + "".join(f"{line}\n" for line in lines))


def _name(text: str) -> str:
    name = normalise_tag(text)
    if not is_writable(name):
        raise VocabularyError(
            f"{text!r} cannot be written in a rules file; leave out commas, arrows, + and #"
        )
    return name


def _append(rules_file: Path, line: str, verb: str) -> str:
    """Add a line; raise VocabularyError where the rules would then contradict each other."""
    before = read_text(rules_file, VocabularyError) if rules_file.exists() else ""
    if before and not before.endswith("\n"):
        before += "\n"
    added = f"{line}  # {verb} {date.today().isoformat()}"
    trial = rules_file.with_name(f".{rules_file.name}.trial")
    write_text(trial, f"{before}{added}\n")
    try:
        Rules.read(trial, None)
    except VocabularyError as cause:
        raise VocabularyError(str(cause).replace(str(trial), str(rules_file))) from cause
    finally:
        trial.unlink()
    write_text(rules_file, f"{before}{added}\n")
    return added


def write_proposals(path: Path, lines: Iterable[str]) -> None:
    """Write proposed rules as comments: a rule holds once a person removes its `# `."""
    head = (
        "# Proposed by `hangtag vocabulary suggest`. Remove the `# ` before a rule to accept it,\n"
        "# then pack with --rules and this file. Everything else in here stays a comment.\n"
    )
    write_text(path, head + "".join(f"# {line}\n" for line in lines))
