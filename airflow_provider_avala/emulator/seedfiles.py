"""Reading a seed file: YAML or JSON, with the line of what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Seed:
    """What an emulator is to hold besides its own seeds, as far as it could be read.

    :param content: table -> entries.
    :param source: the file's name, which starts every message about it.
    :param folder: relative paths in it start here.
    """

    content: Mapping[str, Any] = field(default_factory=dict)
    source: str = "seed"
    folder: Path = field(default_factory=Path)


def read_seed(seed: str | Path | Mapping[str, Any]) -> Seed:
    """Read a seed.

    :param seed: a file, JSON when its name ends in ``.json`` and YAML otherwise, or what such a file would hold.
    :raises ValueError: when the file cannot be read; names the file, and the line where its syntax is wrong.
    """
    if isinstance(seed, Mapping):
        return Seed(seed)
    path = Path(seed)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(f"{path}: cannot read the seed file: {reason}") from None
    content = _from_json(text, path) if path.suffix == ".json" else _from_yaml(text, path)
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise ValueError(f"{path.name}: must map resources to lists, such as 'datasets: [...]'")
    return Seed(content, path.name, path.parent)


def _from_json(text: str, path: Path) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise ValueError(f"{path.name}: the key {name!r} is there twice in one object")
            found[name] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name}:{error.lineno}: not valid JSON: {error.msg}") from None


def _from_yaml(text: str, path: Path) -> Any:
    try:
        import yaml
    except ImportError:
        raise ImportError(
            "a YAML seed needs PyYAML: pip install 'airflow-provider-avala[emulator]', or write JSON"
        ) from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """YAML as JSON knows it: dates stay text, and a key that is there twice is a mistake."""

        yaml_implicit_resolvers = {  # noqa: RUF012
            first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value:
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} is there twice", key.start_mark
                    )
                seen.add(key.value)
            return super().construct_mapping(node, deep)  # type: ignore[no-any-return]

    try:
        return yaml.load(text, Loader)  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ValueError(
            f"{path.name}{line}: not valid YAML: {getattr(error, 'problem', None) or error}"
        ) from None
