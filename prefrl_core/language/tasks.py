"""Tasks of the language track by name and version. Importing this needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from prefrl_core.errors import unknown


@dataclass(frozen=True)
class TaskInfo:
    """What a spec has to know about a task."""

    id: str  # with its version
    prompt_tokens: int  # the longest prompt, its separator included
    response_tokens: int  # the longest response, its end included
    families: tuple[str, ...]
    held_out: tuple[str, ...]  # families without demonstrations

    @property
    def tokens(self) -> int:
        """The context that prompt and response need."""
        return self.prompt_tokens + self.response_tokens


TASKS = {
    info.id: info
    for info in (
        TaskInfo(
            "language/tinyinstruct@1",
            32,
            28,
            ("story", "question", "list", "rewrite", "summarise", "classify", "respectful"),
            ("list", "rewrite"),
        ),
        TaskInfo("language/reviews@1", 8, 40, ("positive", "negative"), ()),
    )
}


def describe(name: str) -> TaskInfo:
    """The task of that name; the version may be left out.

    Raises:
        UserError: no such task.
    """
    for info in TASKS.values():
        if name in (info.id, info.id.split("@")[0]):
            return info
    raise unknown("task", name, TASKS)
