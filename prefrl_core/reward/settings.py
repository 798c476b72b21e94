"""Settings of the reward models: what all fitted ones share, and what each adds. Importing this needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from prefrl_core import registry
from prefrl_core.errors import require
from prefrl_core.features import Features
from prefrl_core.reward.protocol import RewardLearner
from prefrl_core.settings import of_pixels

HIGHEST_L2 = 3e-3  # above, the penalty outweighs what a few hundred comparisons say


@dataclass(frozen=True)
class FitSettings:
    """How a reward model is fitted to comparisons (Christiano et al. 2017, sections 2.2.3 and A.1)."""

    members: int = 3  # predictors in the ensemble
    learning_rate: float = 3e-3  # Adam
    batch_pairs: int = 16  # comparisons a member sees in one gradient step
    initial_updates: int = 200  # gradient steps of the first fit, on the labels about the untrained policy
    updates: int = 6  # gradient steps of each later fit, however many labels there are
    uniform_answer: float = 0.1  # share of answers that the likelihood takes to be uniformly random
    l2: float = 1e-3  # initial weight of the squared weights; 0 turns regularisation off
    l2_rate: float = 0.01  # relative change of that weight in one gradient step
    output_std: float = 1.0  # standard deviation of the predicted reward over the compared segments
    normalise: bool = True  # scale each member to mean 0 and that standard deviation before averaging
    target: str = "preference"  # what is fitted; "return" fits the true return of each segment by squared error
    label_buffer: int = of_pixels(0)  # number of newest labels that are kept; 0 keeps all

    learner: ClassVar[str] = ""  # the class that these are the settings of, as module:name; imported when it is made
    sees_pixels: ClassVar[bool] = True  # it can be used on tasks over pixels
    pixels_only: ClassVar[bool] = False  # and on no others

    def make(self, features: Features, seed: int, segment: int) -> RewardLearner:
        """An unfitted reward model over ``features``, for segments of ``segment`` steps.

        Raises:
            UserError: it does not know such features, or what it needs is missing.
        """
        made: RewardLearner = registry.resolve(self.learner)(self, features, seed, segment)
        return made

    def __post_init__(self) -> None:
        for name in ("members", "batch_pairs"):
            require(getattr(self, name) >= 1, f"reward_model.{name} = {getattr(self, name)}: at least 1")
        for name in ("initial_updates", "updates", "l2", "l2_rate", "label_buffer"):
            require(getattr(self, name) >= 0, f"reward_model.{name} = {getattr(self, name)}: at least 0")
        for name in ("learning_rate", "output_std"):
            require(getattr(self, name) > 0, f"reward_model.{name} = {getattr(self, name)}: above 0")
        require(
            self.l2 <= HIGHEST_L2, f"reward_model.l2 = {self.l2}: at most {HIGHEST_L2}, where it outweighs the labels"
        )
        require(0 <= self.uniform_answer < 1, f"reward_model.uniform_answer = {self.uniform_answer}: in [0, 1)")
        require(
            self.target in ("preference", "return"),
            f"reward_model.target = {self.target!r}: choose 'preference' or 'return'",
        )


@dataclass(frozen=True)
class EnsembleSettings(FitSettings):
    """Small networks in NumPy over observation and action; the default."""

    hidden: tuple[int, ...] = (64, 64)  # widths of the leaky ReLU layers
    dropout: float = of_pixels(0.1)  # share of the channels left out of each layer over pixels while fitting
    sees_pixels: ClassVar[bool] = False
    of_pixels_alone: ClassVar[tuple[str, ...]] = ("dropout",)  # settings that do nothing without pixels
    fits_returns: ClassVar[bool] = True  # ``target = "return"`` makes sense; not where a method is about answers
    learner: ClassVar[str] = "prefrl_core.reward.ensemble:Ensemble"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.dropout < 1, f"reward_model.dropout = {self.dropout}: in [0, 1)")
        require(all(width >= 1 for width in self.hidden), f"reward_model.hidden = {self.hidden}: widths of at least 1")


@dataclass(frozen=True)
class ReedSettings(FitSettings):
    """The networks first learn what an action does (REED). Its release has these constants for walker and quadruped."""

    dynamics: str = "distillation"  # loss of the dynamics; or "contrastive"
    hidden: tuple[int, ...] = (64, 64)  # widths of the trunk's leaky ReLU layers; three of 256 in the release
    state_width: int = 20  # width of an embedded observation
    action_width: int = 10  # width of an embedded action
    projection_width: int = 32  # width in which prediction and target are compared
    temperature: float = 0.5  # of the contrastive loss; 0.1 on Meta-World in the release
    dynamics_learning_rate: float = 1e-4  # Adam
    dynamics_batch: int = 128  # transitions a member sees in one gradient step
    initial_dynamics_updates: int = 200  # gradient steps before the first fit to comparisons
    dynamics_updates: int = 6  # and before each later one
    transitions: int = 20_000  # number of transitions kept, a uniform sample of all so far
    learning_rate: float = 1e-3  # Adam, of the fit to comparisons

    sees_pixels: ClassVar[bool] = False
    learner: ClassVar[str] = "prefrl_core.reward.reed:Reed"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.dynamics in ("distillation", "contrastive"),
            f"reward_model.dynamics = {self.dynamics!r}: choose 'distillation' or 'contrastive'",
        )
        widths = ("state_width", "action_width", "projection_width", "transitions")
        for name, least in {**dict.fromkeys(widths, 1), "dynamics_batch": 2}.items():
            require(getattr(self, name) >= least, f"reward_model.{name} = {getattr(self, name)}: at least {least}")
        for name in ("initial_dynamics_updates", "dynamics_updates"):
            require(getattr(self, name) >= 0, f"reward_model.{name} = {getattr(self, name)}: at least 0")
        for name in ("temperature", "dynamics_learning_rate"):
            require(getattr(self, name) > 0, f"reward_model.{name} = {getattr(self, name)}: above 0")
        trunk = len(self.hidden) > 0 and all(width >= 1 for width in self.hidden)
        require(trunk, f"reward_model.hidden = {self.hidden}: widths of at least 1, for at least one layer")


@dataclass(frozen=True)
class ConvolutionalSettings(EnsembleSettings):
    """The paper's networks over frames (section A.2), the default over pixels. The fully connected layer, the scale and
    the buffer are the paper's; docs/atari.md says what the others were chosen by."""

    hidden: tuple[int, ...] = (64,)  # widths of the leaky ReLU layers behind the convolutions
    learning_rate: float = 3e-4  # Adam
    batch_pairs: int = 8  # comparisons a member sees in one gradient step
    updates: int = 4  # gradient steps of each later fit, however many labels there are
    l2: float = 1e-5  # initial weight of the squared weights; 0 turns regularisation off
    output_std: float = 0.05  # standard deviation of the predicted reward over the compared segments
    label_buffer: int = of_pixels(3000)  # number of newest labels that are kept; 0 keeps all
    sees_pixels: ClassVar[bool] = True
    pixels_only: ClassVar[bool] = True
    learner: ClassVar[str] = "prefrl_core.reward.convolutional:ConvolutionalEnsemble"
