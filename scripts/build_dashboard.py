"""Write deploy/grafana/dashboards/soundscene.json from `dashboard_panels.ROWS` (`make dashboard`)."""

from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models import prometheus as prometheus_models

from scripts.dashboard_model import Panel, Query
from scripts.dashboard_panels import ROWS

TARGET = Path(__file__).resolve().parent.parent / "deploy" / "grafana" / "dashboards" / "soundscene.json"
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
DEVICES = "label_values(soundscene_device_last_audio_timestamp_seconds, device)"

BUILDERS: dict[str, Any] = {
    "stat": stat.Panel,
    "scenes": statetimeline.Panel,
    "timeseries": timeseries.Panel,
    "heatmap": heatmap.Panel,
    "table": table.Panel,
}


def build() -> str:
    """Return the dashboard as JSON text; the same text each time."""
    board = (
        dashboard.Dashboard("Acoustic scenes")
        .uid("soundscene")
        .description("Scenes, levels and health of the sensors, and of the workers that listen to them.")
        .tags(["soundscene"])
        .refresh("15s")
        .time("now-30m", "now")
        .timezone("browser")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("data source").type("prometheus"))
        .with_variable(_device_variable())
    )
    for row in ROWS:
        board.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            board.with_panel(_panel(panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(_numbered(board.build())) + "\n"


def _device_variable() -> Any:
    return (
        dashboard.QueryVariable("device")
        .label("device")
        .datasource(SOURCE)
        .query({"query": DEVICES, "refId": "devices"})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _panel(panel: Panel) -> Any:
    builder = (
        BUILDERS[panel.kind]()
        .title(panel.title)
        .description(panel.description)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(panel.height)
    )
    if panel.minimum is not None and panel.kind == "timeseries":
        builder.min(panel.minimum)
    if panel.maximum is not None:
        builder.max(panel.maximum)
    for index, query in enumerate(panel.queries):
        builder.with_target(_target(query, panel.kind, chr(ord("A") + index)))
    finish = {"timeseries": _finish_timeseries, "scenes": _finish_scenes, "heatmap": _finish_heatmap}.get(panel.kind)
    return finish(builder) if finish else builder


def _target(query: Query, kind: str, reference: str) -> Any:
    target = prometheus.Dataquery().datasource(SOURCE).expr(query.expression).ref_id(reference)
    if query.legend:
        target.legend_format(query.legend)
    if kind == "heatmap":
        return target.format(prometheus_models.PromQueryFormat.HEATMAP)
    if kind == "scenes":
        return target.format(prometheus_models.PromQueryFormat.TABLE)
    if kind == "table":
        return target.format(prometheus_models.PromQueryFormat.TABLE).instant()
    return target


def _finish_timeseries(builder: Any) -> Any:
    legend = common.VizLegendOptions().show_legend(True)
    legend.display_mode(common_models.LegendDisplayMode.LIST).placement(common_models.LegendPlacement.BOTTOM)
    return builder.legend(legend).fill_opacity(8).show_points(common_models.VisibilityMode.NEVER)


def _finish_scenes(builder: Any) -> Any:
    """One line per device whose colour is the scene: the rows of the query, split by device, keeping the label."""
    keep = {"include": {"names": ["Time", "device", "scene"]}}
    split = {"fields": ["device"], "keepFields": False, "naming": {"asLabels": True}}
    return (
        builder.with_transformation(models.DataTransformerConfig(id_val="filterFieldsByName", options=keep))
        .with_transformation(models.DataTransformerConfig(id_val="partitionByValues", options=split))
        .display_name("${__field.labels.device}")
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .merge_values(True)
    )


def _finish_heatmap(builder: Any) -> Any:
    color = heatmap.HeatmapColorOptions().mode(heatmap_models.HeatmapColorMode.SCHEME).scheme("Blues").steps(64)
    return builder.calculate(False).color(color).y_axis(heatmap.YAxisConfig().unit("s"))


def _numbered(board: models.Dashboard) -> models.Dashboard:
    """Give every panel the number that Grafana would otherwise invent at each load."""
    for number, panel in enumerate(board.panels or [], start=1):
        panel.id_val = number
    return board


if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(build())
    print(f"{TARGET.name}: {sum(len(row.panels) for row in ROWS)} panels")
