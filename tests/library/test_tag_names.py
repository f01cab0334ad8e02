"""Names of tags in other languages: rules, tables, tags.json, CLDR, and what is shown."""

import json
import shutil
from pathlib import Path

import pytest

import hangtag
from hangtag.errors import VocabularyError
from hangtag.library.catalog import Design
from hangtag.library.rules import Rules
from hangtag.library.vocabulary import Vocabulary
from hangtag.tagging.model_folder import ModelFolder
from tests.commands import hangtag as command

DESIGNS = [Design("a.png", ("cat", "animal/dog")), Design("b.png", ("kitty", "animal"))]
RULES = """kitty -> cat
cat = de: Katze, fr: chat  # by hand
animal = de: Tier
animal/dog = de: Tier/Hund
"""


def rules(folder: Path, text: str, name: str = "rules.txt") -> Rules:
    (folder / name).write_text(text, encoding="utf-8")
    return Rules.read(folder / name, None)


def test_rules_give_names_that_tags_json_keeps(tmp_path: Path) -> None:
    found = rules(tmp_path, RULES)
    assert found.names["cat"] == {"de": "Katze", "fr": "chat"}
    vocabulary = Vocabulary.build(DESIGNS, min_count=1, rules=found)
    vocabulary.write(tmp_path / "tags.json")
    read = Vocabulary.read(tmp_path / "tags.json")
    assert read == vocabulary
    assert read.names_in("de") == {"cat": "Katze", "animal": "Tier", "animal/dog": "Tier/Hund"}
    assert read.names_in("FR") == {"cat": "chat"}
    assert read.paths["Tier/Hund"] == ("Tier", "Hund")
    with pytest.raises(VocabularyError, match=r"'it' \(languages: de, fr\)"):
        read.names_in("it")


def test_names_are_no_aliases_and_an_alias_names_its_tag(tmp_path: Path) -> None:
    """Else the German poison, Gift, would take the tag gift."""
    found = rules(tmp_path, "poison = de: Gift\nkitty -> cat\nkitty = de: Katze")
    assert found.of(["Gift", "Katze"]) == {"gift", "katze"}
    assert found.names == {"poison": {"de": "Gift"}, "cat": {"de": "Katze"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat = Katze", "line 1: not a name"),
        ("cat = 5: Katze", "line 1: '5' is not a language"),
        ("cat = de: ", "line 1: not a name"),
        (
            "dog = de: Hund\ncat = de: Katze\ncat = de: Kater",
            "line 3: 'cat' is already 'Katze' in de",
        ),
    ],
)
def test_wrong_names_are_reported_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(VocabularyError, match=message):
        rules(tmp_path, text)


def test_a_table_has_a_column_for_each_language(tmp_path: Path) -> None:
    table = "name,count,name:de,name:pt_BR\nCat,3,Katze,gato\ndog,1,,\nred  hat,2,Roter Hut,\n"
    found = rules(tmp_path, table, "names.csv")
    assert found.names == {"cat": {"de": "Katze", "pt-br": "gato"}, "red hat": {"de": "Roter Hut"}}
    with pytest.raises(VocabularyError, match="line 1: a table of names"):
        rules(tmp_path, "cat,Katze\n", "names.csv")
    with pytest.raises(VocabularyError, match="line 3: no tag in the column 'tag'"):
        rules(tmp_path, "tag;name:de\ncat;Katze\n;Hund\n", "names.csv")


def test_files_without_names_are_as_before(tmp_path: Path) -> None:
    vocabulary = Vocabulary.build(DESIGNS, min_count=1, rules=Rules())
    assert "names" not in vocabulary.text()
    assert vocabulary.with_names({"cat": {"de": "Katze"}}).unnamed().text() == vocabulary.text()


@pytest.fixture
def cldr(tmp_path: Path) -> Path:
    """Three languages as in cldr-annotations-full; pt-PT has only what differs from pt."""
    texts = {
        "en": {"🐈": "cat", "🎈": "balloon", "🍋": "lemon"},
        "de": {"🐈": "Katze", "🎈": "Luftballon"},
        "pt": {"🐈": "gato", "🎈": "balão"},
        "pt-PT": {"🎈": "balão de festa"},
    }
    for language, names in texts.items():
        folder = tmp_path / "package" / "annotations" / language
        folder.mkdir(parents=True)
        content = {emoji: {"default": ["x"], "tts": [name]} for emoji, name in names.items()}
        text = json.dumps({"annotations": {"identity": {}, "annotations": content}})
        (folder / "annotations.json").write_text(text)
    return tmp_path / "package"


def test_cldr_suggests_names_of_what_it_knows(cldr: Path, tmp_path: Path) -> None:
    catalog = hangtag.Catalog((Design("a", ("Cat", "balloon", "spaceship", "lemon")),), tmp_path)
    found = hangtag.suggest_names(cldr, catalog, ["de", "pt_PT"])
    assert found == {
        "balloon": {"de": "Luftballon", "pt-pt": "balão de festa"},
        "cat": {"de": "Katze", "pt-pt": "gato"},
    }
    with pytest.raises(VocabularyError, match=r"has no it/annotations\.json; unpack npm's"):
        hangtag.suggest_names(cldr, catalog, ["it"])


def test_a_model_gets_names_and_keeps_its_fingerprint(
    headed: Path, library: hangtag.Catalog, cldr: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(headed / "model", tmp_path / "m"))
    before = ModelFolder.open(model).fingerprint
    (tmp_path / "names.csv").write_text("name,name:de\nred,Rot\ndisc,Scheibe\nring,Scheibe\n")
    done = command("vocabulary", "set-names", model, tmp_path / "names.csv")
    assert done.stdout == "de: 3 of 9 tags\n"
    assert ModelFolder.open(model).fingerprint == before
    opened, design = hangtag.load_model(model), library.location(library.designs[0])
    own, german = opened.tag(design, top=9), opened.tag(design, top=9, language="de")
    assert {"Rot", "Scheibe", "square"} <= {one.tag for one in german}
    assert len(german) == len(own) - 1  # two tags have one name: the better one is shown
    assert german[0].score == own[0].score
    out = tmp_path / "tags.jsonl"
    done = command("tag", model, design, "--out", out, "--language", "de", "--all", "--quiet")
    assert {one["tag"] for one in json.loads(out.read_text())["tags"]} == {o.tag for o in german}
    done = command("tag", model, design, "--language", "it")
    assert (done.returncode, "no tag has a name in 'it'" in done.stderr) == (1, True)
    (tmp_path / "names.csv").write_text("name,name:de\nunknown,Unbekannt\n")
    with pytest.raises(VocabularyError, match="none of the tags"):
        hangtag.set_names(model, tmp_path / "names.csv")
    done = command("vocabulary", "suggest-names", cldr, model, "--language", "de", "--out", out)
    assert "exists and may contain your choices" in done.stderr
    names = tmp_path / "names.txt"
    done = command("vocabulary", "suggest-names", cldr, model, "--language", "de", "--out", names)
    assert done.returncode == 0
    assert "names of 0 tags" in done.stdout
