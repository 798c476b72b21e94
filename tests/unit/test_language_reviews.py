"""The task of rated sentences, on forty that were written for this test: the archive itself is never needed."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from prefrl_core.errors import UserError
from prefrl_core.language import pieces, ratings, tasks
from prefrl_core.language.reviews import Reviews
from prefrl_core.language.reviews_gold import PARTS, Judge

GOOD, BAD = ("moving", "clever", "lovely", "splendid"), ("tedious", "clumsy", "dreary", "hollow")
THINGS = ("story", "cast", "music", "ending", "camera")
TABLE = "".join(
    f"{number}\t{3.0 if word in GOOD else -3.0}\tThe {thing} is ''really'' {word}, and we told Éve.\n"
    for number, (word, thing) in enumerate((w, t) for w in GOOD + BAD for t in THINGS)
).encode()


@pytest.fixture(scope="module")
def task() -> Reviews:
    rated = ratings.parse(TABLE)
    return Reviews(rated * 12)  # so that its words are as frequent as the task asks


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

    def worth(positive: bool, words: tuple[str, ...], ended: bool = True) -> float:
        return sum(judge.parts(positive, "music", words, ended))

    assert worth(True, good) > worth(False, good) and worth(False, bad) > worth(True, bad)
    assert worth(True, good) > worth(True, tuple(np.random.default_rng(0).permutation(good)))
    assert worth(True, good) > worth(True, good * 3) and worth(True, good) > worth(True, ("lovely",) * 9)
    assert worth(True, good) == pytest.approx(worth(True, good, ended=False) + 1)
    assert worth(True, good) > worth(True, ()) and worth(True, good) > worth(True, good[:1])


def test_the_task_keeps_its_promises(task: Reviews) -> None:
    random = np.random.default_rng(0)
    assert task.parts == PARTS and set(task.info.families) == {"positive", "negative"}
    asked, said = task.demonstrations(random, 30)
    for prompt, row in zip(asked, said.tolist(), strict=True):
        words = task.vocabulary.decode(row)
        assert prompt.word in words and (prompt.family == "positive") == bool(set(words) & set(GOOD))
        assert prompt.split == "demos"
    gold = task.gold(asked, said)
    assert gold.parts.shape == (30, 5) and gold.ended.all()
    flipped = [type(p)("negative" if p.family == "positive" else "positive", p.word) for p in asked]
    assert (task.gold(flipped, said).total < gold.total).all()
    assert task.pretraining(random, 4, 20).shape == (4, 20)
    prompts = tasks.encode_prompts(task.vocabulary, task.prompts(random, "rankings", 20))
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
    with pytest.raises(UserError, match="python -m prefrl_core.language.ratings fetches it"):
        tasks.make("language/reviews")
    (tmp_path / ratings.NAME).write_bytes(b"another")
    with pytest.raises(UserError, match=f"has sha256 {hashlib.sha256(b'another').hexdigest()[:12]}"):
        tasks.make("language/reviews")
