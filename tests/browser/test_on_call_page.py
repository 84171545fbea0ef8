"""The page for whoever is on call, within Airflow's own; Airflow 2 has no place for it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

import pytest

from scripts.airflow_ui import AirflowUI

Theme = Literal["light", "dark"]

if find_spec("airflow.sdk"):

    @pytest.mark.parametrize(("chosen", "of_the_system"), [("dark", "light"), ("light", "dark")])
    def test_it_is_in_the_theme_that_was_chosen_in_airflow(
        chosen: Theme, of_the_system: Theme, ui: AirflowUI
    ) -> None:
        page = ui.page
        page.emulate_media(color_scheme=of_the_system)
        page.goto(f"{ui.url}/plugin/avala")
        page.evaluate("theme => localStorage.setItem('theme', theme)", chosen)
        try:
            page.reload()
            document = page.frame_locator("iframe").locator(":root")
            ui.expect(document.get_by_role("heading", name="Avala", exact=True)).to_be_visible()
            ui.expect(document).to_have_css("color-scheme", chosen)
        finally:
            page.evaluate("localStorage.removeItem('theme')")
