"""``make screenshots``: the pictures of docs/images, taken from a real Airflow of the running version."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_avala.emulator.seeds import SEED_PROJECT_ID
from scripts.airflow_ui import Airflow3UI, AirflowUI, airflow_ui
from scripts.chromium import chromium
from scripts.console import say, step
from scripts.demo import ROOT, report
from scripts.local_airflow import LocalAirflow
from scripts.local_avala import LocalAvala, start_avala
from scripts.processes import LocalError

if TYPE_CHECKING:
    from playwright.sync_api import FloatRect, Page, ViewportSize

IMAGES = ROOT / "docs" / "images"
FORM: ViewportSize = {"width": 1000, "height": 800}
LONG_FORM: ViewportSize = {"width": 1000, "height": 2200}
PAGE: ViewportSize = {"width": 1200, "height": 760}
GRAPH: ViewportSize = {"width": 1500, "height": 640}


def main() -> int:
    """Take all pictures that this version of Airflow can be seen in."""
    with tempfile.TemporaryDirectory(prefix="avala-screenshots-") as name:
        folder = Path(name)
        try:
            with step("Avala emulator"):
                avala = start_avala(folder / "avala", env=os.environ, export_seconds=2)
            try:
                connection = {"AIRFLOW_CONN_AVALA_DEFAULT": json.dumps(avala.connection)}
                airflow = LocalAirflow(folder / "airflow", dags_folder=ROOT / "dags", env=connection)
                with airflow, chromium() as browser:
                    ui = airflow_ui(browser.new_page(viewport=FORM), airflow)
                    take(ui, airflow)
                    if isinstance(ui, Airflow3UI):
                        take_on_call_page(ui, avala)
            finally:
                avala.process.stop()
        except (LocalError, OSError) as error:
            report(error, folder)
            return 1
    return 0


def take(ui: AirflowUI, airflow: LocalAirflow) -> None:
    """Take the pictures, one after the other."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    ui.sign_in()
    ui.open_form("avala_default")
    ui.fill({"password": "x" * 24})
    if not isinstance(ui, Airflow3UI):
        ui.page.set_viewport_size({"width": 1000, "height": 3000})  # else the bar at the top covers a part
        save(ui.page, "connection-form-airflow-2", "#model_form")
        return
    save(ui.page, "connection-form", "[role=dialog]")
    ui.section("Extra Fields")
    ui.page.set_viewport_size(LONG_FORM)
    save(ui.page, "connection-form-extras", "[role=dialog]")
    ui.page.set_viewport_size(GRAPH)
    airflow.wait_for_dag("avala_quickstart")
    ui.run_dag("avala_quickstart", {})
    ui.page.get_by_role("button", name=re.compile("graph", re.IGNORECASE)).first.click()
    ui.page.locator(".react-flow__node").nth(4).wait_for()
    ui.page.add_style_tag(content=".react-flow__panel { visibility: hidden }")
    nodes = [node.bounding_box() for node in ui.page.locator(".react-flow__node").all()]
    boxes = [box for box in nodes if box]
    left, top = min(box["x"] for box in boxes), min(box["y"] for box in boxes)
    right, bottom = (
        max(box["x"] + box["width"] for box in boxes),
        max(box["y"] + box["height"] for box in boxes),
    )
    area: FloatRect = {"x": left - 16, "y": top - 16, "width": right - left + 32, "height": bottom - top + 32}
    save(ui.page, "quickstart-graph", area=area)


def take_on_call_page(ui: Airflow3UI, avala: LocalAvala) -> None:
    """Take the page for whoever is on call, with exports of both kinds on it."""
    ui.page.set_viewport_size(PAGE)
    for name in ("nightly", "weekly", "before the release"):
        avala.call("POST", "/exports/", {"name": name, "project": SEED_PROJECT_ID})
    ui.page.goto(f"{ui.url}/plugin/avala")
    inside = ui.page.frame_locator("iframe")
    inside.get_by_text("before the release").first.wait_for()
    save(ui.page, "on-call", "iframe")


def save(page: Page, name: str, part: str = "", *, area: FloatRect | None = None) -> None:
    """Save a picture of a part of the page."""
    path = IMAGES / f"{name}.png"
    if area:
        page.screenshot(path=path, clip=area, animations="disabled")
    else:
        page.locator(part).screenshot(path=path, animations="disabled")
    say(f"  {path.relative_to(ROOT)}, {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    sys.exit(main())
