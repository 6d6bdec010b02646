"""What makes a Python class look like one of Essentia's algorithms: a declared structure, checked parameters."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from soundscene.errors import SettingsError

__all__ = ["Algorithm", "Struct", "is_in_range", "render"]

Struct = Mapping[str, Any]

_WIDTH: Final = 79


class Algorithm:
    """Base of the algorithms in `soundscene.standard`: Essentia's Python interface over plain Python.

    A subclass declares `__struct__` and gets its `__doc__` from it. It overrides `_configure`, which sees parameters
    that were checked, and `compute`. Like Essentia's, an instance serves one thread.
    """

    __struct__: ClassVar[Struct]

    def __init_subclass__(cls) -> None:
        cls.__doc__ = render(cls.__struct__)

    def __init__(self, **parameters: object) -> None:
        self._values: dict[str, Any] = {}
        self.configure(**parameters)

    def configure(self, **parameters: object) -> None:
        """Set the parameters that are given and all others to their defaults.

        Raises
        ------
        SettingsError
            A parameter is unknown, of another type or outside its range; nothing has changed then.
        """
        declared = {item["name"]: item for item in self.__struct__["parameters"]}
        for key in parameters:
            if key not in declared:
                raise SettingsError(f"{key!r} is not a parameter of {self.name()}; it has {', '.join(declared)}")
        defaults = {key: _parse(item["default"], item["type"]) for key, item in declared.items()}
        checked = {key: self._checked(declared[key], value) for key, value in parameters.items()}
        self._configure(defaults | checked)
        self._values = defaults | checked

    def compute(self, *inputs: Any) -> Any:
        """Return the outputs for the inputs."""
        raise NotImplementedError

    def __call__(self, *inputs: Any) -> Any:
        """Return `compute` of the inputs."""
        return self.compute(*inputs)

    def reset(self) -> None:
        """Forget what was heard; parameters stay. Nothing to forget here: each result depends on its input alone."""

    def _configure(self, values: Mapping[str, Any]) -> None:
        """Take the parameters, all of them and all in range."""

    def _checked(self, item: Mapping[str, str], value: object) -> object:
        converted = _convert(value, item["type"])
        if converted is None or not is_in_range(converted, item["range"]):
            raise SettingsError(
                f"parameter {item['name']} of {self.name()} must be {item['type']}"
                f"{' in ' + item['range'] if item['range'] else ''}, got {value!r}"
            )
        return converted

    # The names below are Essentia's.

    def name(self) -> str:
        """Return the name of the algorithm."""
        return str(self.__struct__["name"])

    def parameterNames(self) -> list[str]:  # noqa: N802
        """Return the names of the parameters."""
        return self._names("parameters")

    def inputNames(self) -> list[str]:  # noqa: N802
        """Return the names of the inputs, in order."""
        return self._names("inputs")

    def outputNames(self) -> list[str]:  # noqa: N802
        """Return the names of the outputs, in order."""
        return self._names("outputs")

    def paramValue(self, name: str) -> Any:  # noqa: N802
        """Return the value of a parameter.

        Raises
        ------
        SettingsError
            There is no such parameter.
        """
        if name not in self._values:
            raise SettingsError(f"{name!r} is not a parameter of {self.name()}; it has {', '.join(self._values)}")
        return self._values[name]

    def getDoc(self) -> str:  # noqa: N802
        """Return the documentation text."""
        return render(self.__struct__)

    def getStruct(self) -> Struct:  # noqa: N802
        """Return the declared structure."""
        return self.__struct__

    def _names(self, kind: str) -> list[str]:
        return [item["name"] for item in self.__struct__[kind]]


def is_in_range(value: object, range_text: str) -> bool:
    """Say whether a value lies in a range as Essentia writes them.

    Parameters
    ----------
    value : object
        A number for intervals; compared as text with the members of sets.
    range_text : str
        An interval such as `(0,inf)`, `[0,1]` or `[-1,1)`; a set such as `{discard,repeat}`; empty for anything.

    Raises
    ------
    SettingsError
        The text is not a range.
    """
    text = range_text.strip()
    if not text:
        return True
    members = [member.strip() for member in text[1:-1].split(",")]
    if text[0] == "{" and text[-1] == "}":
        return _as_text(value) in members
    if text[0] not in "([" or text[-1] not in ")]" or len(members) != 2:
        raise SettingsError(f"expected a range such as (0,inf), [0,1] or {{a,b}}, got {range_text!r}")
    if not isinstance(value, int | float) or math.isnan(value):
        return False
    low, high = (float(member) for member in members)
    above = value >= low if text[0] == "[" else value > low
    below = value <= high if text[-1] == "]" else value < high
    return above and below


def render(struct: Struct) -> str:
    """Return the documentation of a structure, laid out as Essentia lays out its own."""
    lines = [struct["name"], "", ""]
    for title, kind in (("Inputs", "inputs"), ("Outputs", "outputs")):
        if struct[kind]:
            width = max(len(item["type"]) for item in struct[kind]) + 2
            lines += _section(title, [_port(item, width) for item in struct[kind]])
    if struct["parameters"]:
        lines += _section("Parameters", [line for item in struct["parameters"] for line in _parameter(item)][:-1])
    lines += [*_section("Description", _wrap(struct["description"], "  "))[:-2], ""]
    return "\n".join(lines)


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"{title}:", "", *lines, "", ""]


def _port(item: Mapping[str, str], width: int) -> str:
    kind = f"[{item['type']}]"
    return f"  {kind:>{width}} {item['name']} - {item['description']}"


def _parameter(item: Mapping[str, str]) -> list[str]:
    extent = f" ∈ {item['range']}" if item["range"] else ""
    value = f'"{item["default"]}"' if item["type"] == "string" else item["default"]
    default = f" (default = {value})" if item["default"] else ""
    head = [f"  {item['name']}:", f"    {item['type']}{extent}{default}"]
    return [*head, *_wrap(item["description"], "    "), ""]


def _wrap(text: str, indent: str) -> list[str]:
    """Wrap each line; an empty one keeps its indent."""
    wrapper = textwrap.TextWrapper(_WIDTH, subsequent_indent=indent, break_long_words=False)
    return [line for part in text.splitlines() for line in wrapper.wrap(indent + part) or [indent]]


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _convert(value: object, kind: str) -> bool | int | float | str | None:
    """Return the value as the type Essentia names `kind`, or None where it is not of that type."""
    if isinstance(value, bool):
        return value if kind == "bool" else None
    if kind == "string" and isinstance(value, str | os.PathLike):
        return os.fspath(value)
    if kind == "integer" and isinstance(value, int):
        return value
    if kind == "real" and isinstance(value, int | float):
        return float(value)
    return None


def _parse(text: str, kind: str) -> bool | int | float | str:
    if kind == "bool":
        return text == "true"
    if kind == "integer":
        return int(text)
    return float(text) if kind == "real" else text
