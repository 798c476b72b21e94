"""What a run of the language track may be, and the line that refuses what it may not."""

import json

import pytest

from prefrl_core.errors import UserError
from prefrl_core.language.spec import METHODS, LanguageSpec

TASK = {"task": "language/tinyinstruct"}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("preset", ["smoke", "cpu", "gpu"])
def test_the_canonical_form_is_a_fixed_point(method: str, preset: str) -> None:
    spec = LanguageSpec.of({**TASK, "method": method, "preset": preset})
    assert LanguageSpec.of(json.loads(json.dumps(spec.canonical()))) == spec


def test_two_spellings_are_one_run() -> None:
    long = {
        "task": "language/tinyinstruct@1",
        "labeler": {"name": "oracle"},
        "reward_model": {"width": 96},
        "candidates": 4,
    }
    assert LanguageSpec.of(long) == LanguageSpec.of(TASK)


def test_a_table_overrides_the_preset_key_by_key() -> None:
    spec = LanguageSpec.of({**TASK, "preset": "smoke", "ppo": {"beta": 0.5}})
    assert (spec.ppo.beta, spec.ppo.episodes, spec.ppo.batch) == (0.5, 64, 32)


def test_budgets_by_method() -> None:
    assert LanguageSpec.of({**TASK, "preset": "smoke"}).rankings == 16
    assert LanguageSpec.of({**TASK, "reward": "gold"}).rankings == 0
    assert LanguageSpec.of({**TASK, "method": "sft"}).rankings == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"k": 1}, "k = 1: a ranking needs at least 2"),
        ({"k": 5, "candidates": 4}, "k = 5: more than candidates = 4"),
        ({"rankings": 0}, "rankings = 0: a reward model needs at least 1"),
        ({"rankings": 8, "reward": "gold"}, "nothing is asked"),
        ({"labeler": {"name": "mistake", "mistake": 0.7}}, "mistake = 0.7: in"),
        ({"labeler": {"name": "mixed", "tau": -1}}, "tau = -1.0"),
        ({"labeler": "orcle"}, "did you mean 'oracle'"),
        ({"labeler": {"name": "panel", "held_out": True}}, "held_out = true: the second half of a panel judges"),
        ({"labeler": {"name": "panel", "persons": 16}}, "persons = 16 with evaluation.persons = 10: some of those who"),
        ({"labeler": {"name": "equal", "eqal": 1}}, "did you mean 'equal'"),
        ({"labeler": {}}, "needs a name: one of oracle"),
        ({"ppo": {"beta": -1}}, "ppo.beta = -1.0: at least 0"),
        ({"ppo": {"gamma": -0.1}}, "ppo.gamma = -0.1: at least 0"),
        ({"ppo": {"gamma": float("nan")}}, "'gamma' = nan is not a finite number"),
        ({"ppo": {"gamma": 0.5, "ptx_ratio": 0}}, "ppo.ptx_ratio = 0: for no pretraining text set ppo.gamma = 0"),
        ({"ppo": {"clip": 1e300}}, "ppo.clip = 1e+300: at most 1e+30"),
        ({"pretrain": {"learning_rate": 1e300}}, "pretrain.learning_rate = 1e+300: at most 1e+30"),
        ({"ppo": {"batch": 12}}, "ppo.batch = 12: not a multiple of ppo.minibatches = 8"),
        ({"ppo": {"batch": 4, "minibatches": 4, "episodes": 8}}, "whitening needs at least 8"),
        ({"ppo": {"episodes": 100}}, "ppo.episodes = 100: not a multiple"),
        ({"ppo": {"kl": "k2"}}, "unknown ppo.kl 'k2'"),
        ({"ppo": {"kl": "k3"}}, "as a reward its policy gradient vanishes to first order near the reference"),
        ({"ppo": {"betta": 1}}, "did you mean 'beta'"),
        ({"ppo": 3}, "'ppo' = 3: expected a table"),
        ({"sft": {"mix": 2}}, "sft.mix = 2.0: a share"),
        ({"best_of_n": {"n": [128]}}, "at most best_of_n.samples = 64"),
        ({"best_of_n": {"n": [1, 4, 4]}}, "best_of_n.n = [1, 4, 4]: one number twice"),
        ({"model": {"context": 10}}, "model.context = 10: prompts of"),
        ({"model": {"width": 50}}, "model.width = 50: not a multiple of model.heads"),
        ({"model": {"checkpoint_hash": "ab"}}, "checkpoint_hash = 'ab': of no model; set model.checkpoint"),
        ({"preset": "cpuu"}, "did you mean 'cpu'"),
        ({"method": "pppo"}, "did you mean 'ppo'"),
        ({"task": "language/tinyinstrct"}, "did you mean 'language/tinyinstruct@1'"),
        ({"seed": -1}, "seed = -1"),
        ({"sed": 1}, "did you mean 'seed'"),
    ],
)
def test_one_line_for_what_is_refused(values: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        LanguageSpec.of({**TASK, **values})
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_panel_teaches_where_it_does_not_judge() -> None:
    for labeler in ({"name": "panel"}, {"name": "panel", "persons": 16, "persona": 1}, {"name": "panel", "persons": 4}):
        assert LanguageSpec.of({**TASK, "labeler": labeler}).labeler["name"] == "panel"
    LanguageSpec.of({**TASK, "method": "sft", "labeler": {"name": "panel", "held_out": True}})  # nobody is asked
