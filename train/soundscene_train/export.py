"""From a trained run to a bundle, proven equal before a byte is written."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soundscene.bundle import Bundle, write_bundle
from soundscene.frontend import Standardisation, patch
from soundscene.settings import NETWORK_NAMES
from soundscene_train import graphs
from soundscene_train.assessment.cost import (
    limits_kept,
    measure_processor_time,
    nonzero_bytes,
    nonzero_parameter_count,
    require_paper_size,
)
from soundscene_train.assessment.page import render
from soundscene_train.datasets import OWN_NAMES, Selection
from soundscene_train.errors import TrainingError
from soundscene_train.features import Features
from soundscene_train.merging import MergedNetwork, merge
from soundscene_train.network import merged_parameter_count, multiply_add_count
from soundscene_train.plan import Plan, read_standardisation
from soundscene_train.responses import trained_responses
from soundscene_train.run_folders import REPORT_NAME
from soundscene_train.scoring import load_trained
from soundscene_train.storage import pack, unpack

__all__ = ["ExportNames", "export_bundle"]

Array = NDArray[np.float32]

TOLERANCE: Final = 1e-5
"""Largest difference of a score between the trained and the exported network."""

_PROOF_WINDOWS: Final = 8


@dataclass(frozen=True, slots=True)
class ExportNames:
    """What a bundle is called.

    Parameters
    ----------
    name, version : str
        Letters, digits, dot, dash and underscore.
    description : str
        What it knows, in words.
    command : str
        What made it, for the record.
    """

    name: str
    version: str = "1"
    description: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Exported:
    """One network's files and numbers."""

    standardisation: Standardisation
    weights: bytes
    litert: bytes
    frozen: bytes
    parameter_count: int
    nonzero_count: int
    nonzero_bytes: int
    largest_difference: float


def export_bundle(
    plan: Plan, folder: Path, target: Path, names: ExportNames, evaluation: Mapping[str, Any] | None = None
) -> Bundle:
    """Export the three networks of a run.

    Parameters
    ----------
    plan : Plan
        The run's plan.
    folder : Path
        The run's folder, all networks trained.
    target : Path
        Folder of the bundle.
    names : ExportNames
        How it is called.
    evaluation : mapping or None
        What `evaluation.json` holds: its `metrics` go into the manifest and, drawn, into the bundle's `report.html`.

    Raises
    ------
    TrainingError
        A network is not fully trained, or an exported one does not equal it to 1e-5 on real patches, or the
        paper's system has not the paper's size.
    BundleError
        The bundle cannot be written.
    """
    selection = plan.open()
    features = plan.features(selection)
    exported = {name: _export_network(plan, folder, name, selection, features) for name in NETWORK_NAMES}
    parameters = {name: item.parameter_count for name, item in exported.items()}
    require_paper_size(plan.recipe.network, len(selection.dataset.labels), parameters)
    metrics = {} if evaluation is None else dict(evaluation["metrics"])
    labels, recipe = selection.dataset.labels, plan.recipe
    adds = multiply_add_count(recipe.network, len(labels), recipe.front_end.band_count, recipe.front_end.patch_frames)
    fields: dict[str, Any] = {
        "name": names.name,
        "version": names.version,
        "description": names.description,
        "labels": list(labels),
        "front_end": recipe.front_end.to_dict(),
        "standardisation": {name: item.standardisation.to_dict() for name, item in exported.items()},
        "fusion": recipe.fusion.to_dict(),
        "calibration": None,
        "parameters": parameters,
        "multiply_adds": dict.fromkeys(NETWORK_NAMES, adds),
        "provenance": _provenance(plan, selection, names, exported),
        "metrics": metrics,
    }
    files = _files(exported, selection, plan, names.version, metrics)
    cost = _cost(fields, files, exported, adds)
    fields["provenance"]["cost"] = cost
    if evaluation is not None:
        title, threshold = f"{names.name} {names.version}", recipe.fusion.unsure_below
        files[REPORT_NAME] = render(title, labels, metrics, cost, unsure_below=threshold).encode()
    return write_bundle(target, fields, files)


def _cost(
    fields: Mapping[str, Any], files: Mapping[str, bytes], exported: Mapping[str, _Exported], adds: int
) -> dict[str, Any]:
    """Count, and measure a bundle that is written for this alone."""
    parameters = sum(item.parameter_count for item in exported.values())
    nonzero = {name: item.nonzero_count for name, item in exported.items()}
    used = sum(len(item.weights) for item in exported.values())
    with tempfile.TemporaryDirectory(prefix="soundscene-") as temporary:
        measured = measure_processor_time(write_bundle(Path(temporary) / "bundle", fields, files))
    return {
        **measured,
        "parameters": parameters,
        "nonzero_parameters": sum(nonzero.values()),
        "nonzero_parameters_by_network": nonzero,
        "multiply_adds_per_window": adds * len(exported),
        "bytes": used,
        "nonzero_bytes": sum(item.nonzero_bytes for item in exported.values()),
        **limits_kept(used),
    }


def _export_network(plan: Plan, folder: Path, name: str, selection: Selection, features: Features) -> _Exported:
    """Merge, convert, and prove on real patches that nothing changed."""
    recipe = plan.recipe
    label_count = len(selection.dataset.labels)
    model = load_trained(plan, folder, name, label_count)
    merged = merge(model, recipe.network)
    weights = pack(merged, recipe.storage.weight_bits)
    merged = unpack(weights, merged, recipe.storage.weight_bits)  # what is served is what the counted bytes hold
    count = merged_parameter_count(recipe.network, label_count)
    if merged.parameter_count != count:
        raise TrainingError(f"the merged {name} network has {merged.parameter_count} parameters, expected {count}")
    plain = read_standardisation(folder, name)
    standardisation = _with_channels(plain, merged)
    bands, frames = recipe.front_end.band_count, recipe.front_end.patch_frames
    litert, frozen = graphs.litert_model(merged, bands, frames), graphs.frozen_graph(merged, bands, frames)
    windows = np.linspace(0, len(features.clip_of_window) - 1, _PROOF_WINDOWS).astype(np.int64)
    spectra = np.asarray(features.spectra[name][windows])
    trained = np.asarray(model(patch(spectra, recipe.front_end, name, plain), training=False))
    served = patch(spectra, recipe.front_end, name, standardisation)
    difference = max(
        float(np.max(np.abs(trained - scores)))
        for scores in (graphs.run_litert(litert, served, label_count), graphs.run_frozen_graph(frozen, served))
    )
    if not difference <= TOLERANCE:
        raise TrainingError(
            f"scores of the exported {name} network must equal the trained one's to {TOLERANCE:.0e}, and differ by "
            f"{difference:.1e}: it cannot be served"
        )
    return _Exported(
        standardisation,
        weights,
        litert,
        frozen,
        count,
        nonzero_parameter_count(merged),
        nonzero_bytes(merged, recipe.storage.weight_bits),
        difference,
    )


def _with_channels(plain: Standardisation, merged: MergedNetwork) -> Standardisation:
    """Put the first batch norm into the input's constants."""
    scale, offset = (tuple(float(x) for x in values) for values in (merged.channel_scale, merged.channel_offset))
    return replace(plain, channel_scale=scale, channel_offset=offset)  # type: ignore[arg-type]  # three channels


def _files(
    exported: Mapping[str, _Exported],
    selection: Selection,
    plan: Plan,
    version: str,
    metrics: Mapping[str, Any],
) -> dict[str, bytes]:
    """Name all files of the bundle."""
    files = {}
    dataset = {
        "name": selection.dataset.name,
        "citation": selection.dataset.citation,
        "size": f"{len(selection.train_clips)} clips",
        "metrics": {name: value for name, value in metrics.items() if not isinstance(value, dict | list)},
    }
    for name, item in exported.items():
        stem = f"soundscene-{name}-{selection.dataset.name}-{version}"
        files[f"{name}.weights"] = item.weights
        files[f"{name}.tflite"] = item.litert
        files[f"{stem}.pb"] = item.frozen
        files[f"{stem}.json"] = graphs.describe(
            name, version, selection.dataset.labels, plan.recipe.front_end, dataset, release_date=_today()
        )
    return files


def _provenance(
    plan: Plan, selection: Selection, names: ExportNames, exported: Mapping[str, _Exported]
) -> dict[str, Any]:
    return {
        "dataset": selection.dataset.name,
        "citation": selection.dataset.citation,
        "train_parts": list(selection.train_parts),
        "train_clips": len(selection.train_clips),
        **_provenance_of_tests(plan, selection),
        "recipe": plan.recipe.to_dict(),
        "command": names.command,
        "created": _today(),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("soundscene", "tensorflow", "numpy", "essentia")},
        },
        "largest_score_difference_of_export": max(item.largest_difference for item in exported.values()),
    }


def _provenance_of_tests(plan: Plan, selection: Selection) -> dict[str, Any]:
    """What a later test of the bundle must know to stay clear of what was trained with, as far as it can be told."""
    found: dict[str, Any] = {}
    if plan.dataset_name in OWN_NAMES:
        found["train_digest"] = selection.train_digest
    if plan.responses_dir is not None and plan.responses_dir.is_dir():
        found["train_responses"] = list(trained_responses(plan.responses_dir, plan.recipe.augmentation))
    return found


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()
