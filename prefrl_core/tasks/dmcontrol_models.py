"""The models of the DeepMind Control Suite, read from the installed dm_control.

Its XML files are all that is used; the package itself is not imported. What the suite does to a file in code is done
here again. A file that says something else than that of dm_control 1.0.50 is refused, since a task's numbers would be
others; comments and spaces do not count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from xml.etree import ElementTree

from prefrl_core.errors import UserError

REMEDY = "pip install 'prefrl-bench[dmcontrol]'"
_SHARED = ("materials.xml", "skybox.xml", "visual.xml")  # colours and light
_HASHES = {  # first 16 digits of SHA-256 over the canonical XML
    "walker": "7d1390522fe74bd5",
    "cheetah": "020114784f5d08c2",
    "quadruped": "e9c8b7bde0e9faf6",
    "humanoid": "80e170dd4c703c27",
    "hopper": "cf04c3baf7c5df01",
    "finger": "5426983a74c83a2d",
    "ball_in_cup": "c22692d3725a18e8",
    "cartpole": "efe21e8e44d81b27",
    "reacher": "7a0e25204eefcfa7",
}

Edit = Callable[[ElementTree.Element], None]


def read(name: str) -> tuple[str, dict[str, bytes]]:
    """The XML text of a model, as its task uses it, and the files that it includes.

    Raises:
        UserError: dm_control is not installed, or has another model.
    """
    file, edit = _EDITED.get(name, (name, None))
    suite = _folder()
    text = _checked(file, (suite / f"{file}.xml").read_text())
    assets = {f"./common/{shared}": (suite / "common" / shared).read_bytes() for shared in _SHARED}
    if edit is None:
        return text, assets
    root = ElementTree.fromstring(text)
    edit(root)
    return ElementTree.tostring(root, encoding="unicode"), assets


def _folder() -> Path:
    try:
        installed = distribution("dm_control")
    except PackageNotFoundError as error:
        raise UserError(f"dmcontrol/ tasks need the package 'dm_control': {REMEDY}") from error
    return Path(str(installed.locate_file("dm_control/suite")))


def _checked(file: str, text: str) -> str:
    canonical = ElementTree.canonicalize(text, strip_text=True)
    if hashlib.sha256(canonical.encode()).hexdigest()[:16] != _HASHES[file]:
        raise UserError(
            f"{file}.xml of dm_control {distribution('dm_control').version} is another model than that of the "
            "dmcontrol/ tasks: pip install dm_control==1.0.50"
        )
    return text


def _quadruped(floor: float) -> Edit:
    """On a flat floor of 2 ``floor`` m a side, without walls, ball, target, terrain and range finders."""

    def edit(root: ElementTree.Element) -> None:
        for geom in root.iter("geom"):
            if geom.get("name") == "floor":
                geom.set("size", f"{floor} {floor} .5")
        gone = {"wall_px", "wall_py", "wall_nx", "wall_ny", "ball", "target", "terrain"}
        for parent in list(root.iter()):
            for child in list(parent):
                named = child.tag in ("geom", "body", "site") and child.get("name") in gone
                if named or child.tag == "rangefinder":
                    parent.remove(child)

    return edit


def _finger(root: ElementTree.Element) -> None:
    """The spinner's hinge has less damping than the file says, and nobody sees the other tasks' target."""
    for element in root.iter():
        if element.tag == "joint" and element.get("name") == "hinge":
            element.set("damping", "0.03")
        if element.tag == "site" and element.get("name") in ("target", "tip"):
            element.set("rgba", "0 0 0 0")


def _reacher(root: ElementTree.Element) -> None:
    """Room for a target of its own in each simulation's state."""
    ElementTree.SubElement(root, "size", nuserdata="2")


_EDITED: dict[str, tuple[str, Edit]] = {
    "quadruped_walk": ("quadruped", _quadruped(10.0)),  # half of the way at the wanted speed for 20 s
    "quadruped_run": ("quadruped", _quadruped(100)),
    "finger_spin": ("finger", _finger),
    "reacher": ("reacher", _reacher),
}
