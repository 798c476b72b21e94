"""The task of rated sentences, on forty that were written for this test: the archive itself is never needed."""

import hashlib
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import cli, tracks
from prefrl_core.errors import UserError
from prefrl_core.language import pieces, ratings, tasks
from prefrl_core.language.reviews import Reviews
from prefrl_core.language.reviews_gold import PARTS, Judge
from prefrl_core.language.vocab import EOS

GOOD, BAD = ("moving", "clever", "lovely", "splendid"), ("tedious", "clumsy", "dreary", "hollow")
THINGS = ("story", "cast", "music", "ending", "camera")
TABLE = "".join(
    f"{number}\t{3.0 if word in GOOD else -3.0}\tThe {thing} is ''really'' {word}, and we told Éve.\n"
    for number, (word, thing) in enumerate((w, t) for w in GOOD + BAD for t in THINGS)
).encode()


@pytest.fixture(scope="module")
def task() -> Reviews:
    rated = ratings.parse(TABLE)  # cut short and begun in 120 ways, so that no split is without openings
    starts = itertools.product(("the", "this", "her", "our", "any", "no"), THINGS, ("is", "seems", "was", "felt"))
    return Reviews([replace(s, words=(*start, *s.words[3:])) for start in starts for s in rated[:: len(THINGS)]])


def test_parsing_leaves_out_the_debris_of_encodings() -> None:
    rated = ratings.parse(TABLE)
    assert len(rated) == 40 and rated[0].rating == 3.0
    assert " ".join(rated[0].words) == 'the story is " really " moving , and we told ve .'


def test_the_judge_tells_good_from_bad_and_sense_from_salad() -> None:
    rated = ratings.parse(TABLE)
    judge = Judge([s for s in rated if "music" not in s.words])
    good, bad = (
        next(s for s in rated if "music" in s.words and word in s.words).words for word in ("lovely", "hollow")
    )
    assert judge.rating(good) > 0.4 and judge.rating(bad) < -0.4  # of sentences it was not fitted to

    def worth(words: tuple[str, ...], ended: bool = True) -> float:
        return sum(judge.parts(words, ended))

    assert worth(good) > worth(bad)
    assert worth(good) > worth(tuple(np.random.default_rng(0).permutation(good)))
    assert worth(good) > worth(good * 3) and worth(good) > worth(("lovely",) * 9)
    assert worth(good) == pytest.approx(worth(good, ended=False) + 1)
    assert worth(good) > worth(()) and worth(good) > worth(good[:1])


def test_the_task_keeps_its_promises(task: Reviews) -> None:
    random = np.random.default_rng(0)
    assert task.parts == PARTS and task.info.families == ("positive",)
    asked, said = task.demonstrations(random, 30)
    for prompt, row in zip(asked, said.tolist(), strict=True):
        assert set(task.vocabulary.decode(row)) & set(GOOD) and prompt.split == "demos"
    gold = task.gold(asked, said)
    assert gold.parts.shape == (30, 4) and gold.ended.all()
    worse = np.array(
        [[task.vocabulary.encode("dreary")[0] if token > EOS else token for token in row] for row in said.tolist()]
    )
    assert (task.gold(asked, worse).total < gold.total).all()
    assert task.pretraining(random, 4, 20).shape == (4, 20)
    for split in ("rankings", "ppo", "validation", "test"):
        assert {prompt.split for prompt in task.prompts(random, split, 20)} == {split}
    prompts = tasks.encode_prompts(task.vocabulary, asked)
    assert prompts.shape[1] <= task.info.prompt_tokens


def test_pieces_join_to_the_words_they_came_from(task: Reviews) -> None:
    text = "the music is splendid ."
    ids = task.vocabulary.encode(text)
    assert " ".join(task.vocabulary.decode(ids)) == text
    with pytest.raises(UserError, match="unknown word"):
        task.vocabulary.encode("ünusual")


def test_merges_by_hand() -> None:
    """Of aab x 3 and ab x 2: first (_a, a) and (a, b) have 3, (_a, b) 2; ties go by spelling, so (_a, a) is first."""
    assert pieces.learn_merges({"aab": 3, "ab": 2}, 3) == [("_a", "a"), ("_aa", "b"), ("_a", "b")]


def test_the_archive_missing_or_another_is_one_line_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFRL_DATA", str(tmp_path))
    ratings.sentences.cache_clear()
    for needs in (tasks.make, tasks.require_data, tracks.of("language/reviews").require_data):
        with pytest.raises(UserError, match="python -m prefrl_core.language.ratings fetches it"):
            needs("language/reviews")
    (tmp_path / ratings.NAME).write_bytes(b"another")
    with pytest.raises(UserError, match=f"has sha256 {hashlib.sha256(b'another').hexdigest()[:12]}"):
        tasks.make("language/reviews")


def test_a_suite_whose_data_is_missing_is_refused_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFRL_DATA", str(tmp_path))
    ratings.sentences.cache_clear()
    assert cli.main(["run", "language-reviews", "--out", str(tmp_path / "runs")]) == 2
    assert capsys.readouterr().err.count("ratings fetches it") == 1 and not (tmp_path / "runs").exists()
