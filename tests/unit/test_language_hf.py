"""The same stages on a checkpoint folder of Hugging Face's, here with random weights; nothing is downloaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.store import key_of
from bench.tracks.language import Language
from prefrl_core.errors import UserError
from prefrl_core.language import hf, lexicon, training
from prefrl_core.language.cache import Cache
from prefrl_core.language.model import generate
from prefrl_core.language.pipeline import learn
from prefrl_core.language.run import Run
from prefrl_core.language.spec import LanguageSpec

transformers = pytest.importorskip("transformers")


def saved(folder: Path, kind: str) -> Path:
    """A small model with random weights, and a tokenizer that knows half of the words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<unk>", *lexicon.vocabulary().words[4:130]]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    if kind == "gpt2":
        shape: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=len(words), **shape))
    else:
        shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        shape |= {"max_position_embeddings": 64, "tie_word_embeddings": False}
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=len(words), **shape))
    model.save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp(request.param), request.param)


def spec(folder: Path, **values: Any) -> LanguageSpec:
    model = {"checkpoint": str(folder), **values.pop("model", {})}
    return LanguageSpec.of({"task": "language/tinyinstruct", "preset": "smoke", "model": model, **values})


def network(folder: Path) -> hf.HuggingFace:
    from prefrl_core.language import tasks

    made = training.network(training.size_of(tasks.make("language/tinyinstruct"), spec(folder).model), 0)
    assert isinstance(made, hf.HuggingFace)
    made.start_from(lexicon.vocabulary())
    return made


def test_words_get_the_embeddings_of_their_pieces_and_the_rest_is_the_checkpoints(folder: Path) -> None:
    ours, theirs = network(folder), transformers.AutoModelForCausalLM.from_pretrained(folder)
    words, source = lexicon.vocabulary().words, theirs.get_input_embeddings().weight
    target = ours.inner.get_input_embeddings().weight
    torch.testing.assert_close(target[words.index("the")], source[1 + words[4:].index("the")])
    torch.testing.assert_close(target[0], source.mean(0))
    named = dict(theirs.named_parameters())
    same = [name for name, weight in ours.inner.named_parameters() if named[name].shape == weight.shape]
    assert len(same) > 10
    for name in same:
        torch.testing.assert_close(dict(ours.inner.named_parameters())[name], named[name])


def test_sampling_with_their_cache_equals_the_full_forward_pass(folder: Path) -> None:
    model = network(folder)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3)
    prompts = torch.tensor([[0, 0, 2, 9, 3], [2, 8, 9, 10, 3]]).repeat(40, 1)
    ids, logp, mask = generate(model, prompts, 12, np.random.default_rng(0))
    with torch.no_grad():
        full = model.response_logits(prompts, ids).log_softmax(-1).gather(2, ids[..., None])[..., 0]
    torch.testing.assert_close(full * mask, logp, rtol=0, atol=1e-4)
    assert len(set(mask.sum(1).tolist())) > 1  # some ended early and left the batch


def test_all_stages_run_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    from tests.unit.test_language_pipeline import Memory

    first, second = Memory(), Memory()
    learn(spec(folder, ppo={"gamma": 0.3}), first, tmp_path)
    learn(spec(folder, ppo={"gamma": 0.3}), second, None)
    assert first.rows == second.rows and first.texts == second.texts
    assert [row["ratio_max"] for row in first.rows if row["ratio_max"]] == pytest.approx([1, 1], abs=1e-4)


def test_the_shape_and_the_contents_are_part_of_the_run(folder: Path) -> None:
    made = spec(folder)
    assert (made.model.width, made.model.layers, made.model.heads) == (32, 2, 2)
    assert LanguageSpec.of(made.canonical()) == made
    with pytest.raises(UserError, match="not beef: it was changed"):
        spec(folder, model={"checkpoint_hash": "beef"})
    with pytest.raises(UserError, match=r"no config\.json there"):
        spec(folder / "nowhere")


def test_another_shape_than_the_checkpoints_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"model.width = 64: that of .*, model.checkpoint, is 32; leave it out"):
        spec(folder, model={"width": 64})
    given = spec(folder, model={"width": 32})
    assert given == spec(folder) == LanguageSpec.of(given.canonical())


def test_another_version_of_the_library_gives_other_runs_and_stages(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names(described: LanguageSpec) -> tuple[str, str]:
        made = Run(described, None, Cache(None))  # type: ignore[arg-type]
        made.cache.get = lambda name, make: {"arrays": {}, "rows": []}  # type: ignore[method-assign]
        return key_of(described.canonical(), Language().versions(described)), made._pretrained(described.model)[0]

    ours = LanguageSpec.of({"task": "language/tinyinstruct", "preset": "smoke"})
    before, plain = names(spec(folder)), names(ours)
    monkeypatch.setattr(hf, "version", lambda: "9.9")
    assert not set(before) & set(names(spec(folder))) and plain == names(ours)


def test_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "model")
    for path in other.glob("*.safetensors"):
        path.rename(other / "pytorch_model.bin")
    with pytest.raises(UserError, match="no weights in safetensors there"):
        spec(other)


def test_weights_are_part_of_the_hash(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "model")
    before = hf.digest(str(other))
    (path,) = other.glob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert hf.digest(str(other)) != before


@pytest.mark.parametrize("text", ["", "[", "[]", '{"hidden_size": true}', '{"hidden_size": -1}', "[" * 9999])
def test_a_damaged_configuration_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json (is damaged|names no)"):
        hf.shape(str(tmp_path))


@pytest.mark.parametrize(
    "name",
    ["x" * 300, "d/" * 3000, "a\0b", 5, [1, 2], {"a": 1}],
    ids=["long", "deep", "zero", "number", "list", "table"],
)
def test_a_checkpoint_that_is_no_folders_name_is_one_line(name: Any) -> None:
    with pytest.raises(UserError, match=r"no config\.json there|expected str"):
        LanguageSpec.of({"task": "language/tinyinstruct", "model": {"checkpoint": name}})


def configured(**values: Any) -> Callable[[Path], object]:
    """Writes these values into the configuration of a folder."""

    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"half"), "cannot be used (SafetensorError: "),
        (
            lambda folder: (folder / "model.safetensors").rename(folder / "x.safetensors"),
            "no file named model.safetens",
        ),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "cannot be used ("),
        (configured(model_type="no such"), "has model type `no such`"),
        (configured(model_type="t5", is_encoder_decoder=True), "Unrecognized configuration class"),
        (configured(hidden_act="no such", activation_function="no such"), "cannot be used (KeyError: 'no such')"),
        (configured(hidden_size=64, n_embd=64), "cannot be used (RuntimeError: "),
    ],
    ids=["weights", "no weights", "tokenizer", "type", "not causal", "activation", "other shapes"],
)
def test_a_folder_that_cannot_be_used_is_one_line(
    folder: Path, tmp_path: Path, change: Callable[[Path], object], says: str
) -> None:
    other = shutil.copytree(folder, tmp_path / "model")
    change(other)
    with pytest.raises(UserError) as told:
        network(other)
    said = str(told.value)
    assert says in said and "\n" not in said and said.startswith(f"model.checkpoint = {str(other)!r}")


def test_a_bias_of_the_output_is_cut_by_words_too(tmp_path: Path) -> None:
    saved(tmp_path, "gpt2")  # for its tokenizer
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    theirs = transformers.PhiForCausalLM(
        transformers.PhiConfig(vocab_size=127, max_position_embeddings=64, bos_token_id=1, eos_token_id=1, **shape)
    )
    torch.nn.init.normal_(theirs.lm_head.bias)
    theirs.save_pretrained(tmp_path)
    bias, vocabulary = network(tmp_path).inner.lm_head.bias, lexicon.vocabulary()
    assert bias.shape == (len(vocabulary),)
    assert torch.equal(bias[10], theirs.lm_head.bias[7])  # the tokenizer has <unk> before the words, we four
    assert torch.allclose(bias[0], theirs.lm_head.bias.mean())


def test_a_checkpoint_without_some_of_its_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    """The library would draw them at random, each time others."""
    from safetensors.torch import load_file, save_file

    other = shutil.copytree(folder, tmp_path / "model")
    weights = load_file(other / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if ".1." not in name}
    assert len(kept) < len(weights)
    save_file(kept, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"its weights lack [\w.]+\.1\.[\w.]+: save the whole model again"):
        network(other)


def test_a_folder_without_its_tokenizer_is_one_line(folder: Path, tmp_path: Path) -> None:
    """For GPT-2 the library makes one that knows nothing, and all words would begin alike."""
    other = shutil.copytree(folder, tmp_path / "model")
    for path in other.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(UserError, match=r"its tokenizer knows no word|cannot be used \(ValueError: "):
        network(other)


def test_a_context_that_is_no_number_is_one_line(folder: Path) -> None:
    with pytest.raises(UserError, match="model setting 'context' = 'many': expected int"):
        spec(folder, model={"context": "many"})


def test_a_folder_among_the_files_of_a_checkpoint_does_not_count(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "model")
    (other / "onnx.json").mkdir()
    assert hf.digest(str(other)) == hf.digest(str(folder))
