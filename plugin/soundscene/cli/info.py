"""`soundscene info`: what a bundle knows, how large it is and where it comes from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soundscene.commands import printable

if TYPE_CHECKING:
    from soundscene.bundle import Bundle

__all__ = ["add_parser", "run"]

_BYTES_PER_FLOAT32: Final = 4
_ONE_LINE_CHARACTERS: Final = 100

_LIMITS_BYTES: Final = {"128 KiB": 131_072, "128 kB": 128_000}
"""Both readings of the challenge's 128 KB."""


def add_parser(commands: Any) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "info",
        help="tell what a bundle knows, its size and its origin",
        description="Check a bundle and tell its labels, front end, sizes, origin, scores and hashes.",
    )
    parser.add_argument("bundle", nargs="?", type=Path, metavar="BUNDLE", help="its folder (default: the demo bundle)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--check", action="store_true", help="also score a known sound and compare with what the bundle's maker got"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the bundle; return 0."""
    from soundscene.bundle import load_bundle  # --help must not load LiteRT

    bundle = load_bundle(options.bundle)
    facts = bundle_to_dict(bundle)
    if options.check:
        facts["self_test"] = {"passed": True, "largest_difference": _checked(bundle)}
    print(json.dumps(facts, indent=2, ensure_ascii=False) if options.json else bundle_to_text(facts))
    return 0


def _checked(bundle: Bundle) -> float:
    from soundscene.classifier import SceneClassifier
    from soundscene.known_sound import require_known_scores

    return require_known_scores(SceneClassifier(bundle))


def bundle_to_dict(bundle: Bundle) -> dict[str, Any]:
    """Return everything there is to know about a bundle, JSON-ready."""
    files = {
        name: {"bytes": (bundle.directory / name).stat().st_size, "sha256": digest}
        for name, digest in sorted(bundle.files.items())
    }
    networks = {
        name: {
            "parameters": bundle.parameters[name],
            "parameter_bytes": _parameter_bytes(bundle, name, files),
            "multiply_adds": bundle.multiply_adds[name],
            "file_bytes": len(content),
        }
        for name, content in bundle.networks.items()
    }
    total = {key: sum(network[key] for network in networks.values()) for key in next(iter(networks.values()))}
    return {
        **bundle.model,
        "description": bundle.description,
        "directory": str(bundle.directory),
        "labels": list(bundle.labels),
        "networks": networks,
        "total": total,
        "limits": {
            name: {"bytes": limit, "fits": total["parameter_bytes"] <= limit} for name, limit in _LIMITS_BYTES.items()
        },
        "front_end": bundle.front_end.to_dict(),
        "standardisation": {name: constants.to_dict() for name, constants in bundle.standardisation.items()},
        "fusion": bundle.fusion.to_dict(),
        "calibration": None if bundle.calibration is None else bundle.calibration.to_dict(),
        "provenance": dict(bundle.provenance),
        "metrics": dict(bundle.metrics),
        "cost": dict(bundle.provenance.get("cost", {})),
        "files": files,
    }


def _parameter_bytes(bundle: Bundle, network: str, files: Mapping[str, Mapping[str, Any]]) -> int:
    """Bytes of the file of counted weights; a bundle without one stores float32."""
    stored = files.get(f"{network}.weights")
    return bundle.parameters[network] * _BYTES_PER_FLOAT32 if stored is None else int(stored["bytes"])


def bundle_to_text(facts: Mapping[str, Any]) -> str:
    """Return the facts of `bundle_to_dict` as a page of text."""
    lines = [
        f"{facts['name']} {facts['version']}: {printable(facts['description'])}",
        f"  directory  {printable(facts['directory'])}",
        f"  hash       {facts['hash']}",
        f"  labels     {', '.join(facts['labels'])}",
        "",
        *_network_lines(facts),
        "",
        *_limit_lines(facts),
    ]
    for section in ("front_end", "fusion", "calibration", "provenance", "metrics", "cost"):
        rows = {key: value for key, value in (facts[section] or {}).items() if (section, key) != ("provenance", "cost")}
        lines += ["", section.replace("_", " "), *_tree_lines(rows, "  ")]
    if "self_test" in facts:
        difference = facts["self_test"]["largest_difference"]
        lines += ["", f"self test passed: scores of the known sound differ by {difference:.1e} from the stored ones"]
    lines += ["", "files"]
    lines += [
        f"  {name:<32} {file['bytes']:>9,} bytes  sha256 {file['sha256']}" for name, file in facts["files"].items()
    ]
    return "\n".join(lines)


def _network_lines(facts: Mapping[str, Any]) -> list[str]:
    rows = {**facts["networks"], "total": facts["total"]}
    return [f"{'network':<11}{'parameters':>12}{'as stored':>17}{'multiply-adds':>16}{'.tflite file':>17}"] + [
        f"  {name:<9}{row['parameters']:>12,}{row['parameter_bytes']:>11,} bytes"
        f"{row['multiply_adds']:>16,}{row['file_bytes']:>11,} bytes"
        for name, row in rows.items()
    ]


def _limit_lines(facts: Mapping[str, Any]) -> list[str]:
    used = facts["total"]["parameter_bytes"]
    return [f"parameters against 128 KB: {used:,} bytes"] + [
        f"  {name} = {limit['bytes']:,} bytes: {'fits' if limit['fits'] else 'does not fit'}, "
        f"{abs(limit['bytes'] - used):,} bytes {'to spare' if limit['fits'] else 'over'}"
        for name, limit in facts["limits"].items()
    ]


def _tree_lines(value: Mapping[str, Any], indent: str) -> list[str]:
    """Nested JSON as indented lines; a few plain values together take one."""
    lines = []
    for key, item in value.items():
        if isinstance(item, Mapping) and not (short := _in_one_line(item)):
            lines += [f"{indent}{printable(key)}", *_tree_lines(item, indent + "  ")]
        elif isinstance(item, Mapping):
            lines.append(f"{indent}{printable(key):<26} {short}")
        elif isinstance(item, list) and item and isinstance(item[0], Mapping | list):
            lines.append(f"{indent}{printable(key):<26} ({len(item)} entries, shown by --json)")
        else:
            lines.append(f"{indent}{printable(key):<26} {_plain(item)}")
    return lines or [f"{indent}(none)"]


def _in_one_line(values: Mapping[str, Any]) -> str:
    """Name and value of each, or nothing where they are nested or too many."""
    if not values or any(isinstance(value, Mapping | list) for value in values.values()):
        return ""
    line = ", ".join(f"{printable(key)} {_plain(value)}" for key, value in values.items())
    return line if len(line) <= _ONE_LINE_CHARACTERS else ""


def _plain(value: object) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
