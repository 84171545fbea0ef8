"""Airflow's UI as a user works with it: fill the connection form, test, save, trigger a DAG, watch its run.

What differs between the UIs of Airflow 2.11 and 3 is in the two classes :class:`Airflow2UI` and :class:`Airflow3UI`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from scripts.local_airflow import PASSWORD, USER, LocalAirflow

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

RUN_SECONDS = 180


class AirflowUI:
    """One browser page on one Airflow.

    :param page: a Playwright page
    :param url: where Airflow's UI is
    """

    def __init__(self, page: Page, url: str) -> None:
        from playwright.sync_api import expect

        self.page = page
        self.url = url
        self.expect = expect

    def sign_in(self) -> None:
        """Log in, where that is needed."""

    def open_form(self, conn_id: str) -> None:
        """Begin a new connection of the type *Avala*."""
        raise NotImplementedError

    def field(self, name: str) -> Locator:
        """The input of a field of the form, visible: ``host``, ``password``, or an extra."""
        raise NotImplementedError

    def kind(self, name: str) -> str:
        """What kind of input an extra has: text, password, checkbox, spinbutton or choice."""
        return str(self.field(name).evaluate("e => e.getAttribute('role') || e.type")).replace(
            "hidden", "choice"
        )

    def switch(self, name: str) -> Locator:
        """What to click for a yes or no."""
        raise NotImplementedError

    def choose(self, name: str, value: str) -> None:
        """Pick or type one of several values."""
        raise NotImplementedError

    def save(self) -> None:
        """Save the connection of the open form."""
        raise NotImplementedError

    def fill(self, values: Mapping[str, Any]) -> None:
        """Type values into the form, as a user would."""
        for name, value in values.items():
            if isinstance(value, bool):
                if value:
                    self.switch(name).click()
            elif name == "dialect":
                self.choose(name, value)
            else:
                self.field(name).fill(str(value))
                self.field(name).blur()

    def create_and_test(self, conn_id: str, values: Mapping[str, Any]) -> tuple[bool, str]:
        """Create a connection, test it by its button; whether it works, and what the page says about it."""
        raise NotImplementedError

    def run_dag(self, dag_id: str, params: Mapping[str, str]) -> None:
        """Trigger a DAG with its form and wait until the page shows that the run has succeeded."""
        raise NotImplementedError

    def open_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Look at one run of a task."""
        raise NotImplementedError

    def link(self, name: str) -> str:
        """Where the button of this name leads to, on the page of a task."""
        button = self.page.get_by_role("link", name=name, exact=True)
        self.expect(button).to_be_visible()
        return button.get_attribute("href") or ""


class Airflow3UI(AirflowUI):
    """The React UI; the form is a dialog with sections, a test is a button in the list of connections."""

    def open_form(self, conn_id: str) -> None:
        """Begin a new connection of the type *Avala*."""
        self.page.goto(f"{self.url}/connections")
        self.page.get_by_role("button", name="Add Connection").click()
        self.dialog.get_by_label("Connection ID").fill(conn_id)
        self.dialog.get_by_label("Connection Type").fill("Avala")
        self.page.get_by_role("option", name="Avala", exact=True).click()
        self.expect(self.dialog.locator("[name=host]")).to_be_visible()

    @property
    def dialog(self) -> Locator:
        """The open dialog."""
        return self.page.get_by_role("dialog")

    def section(self, name: str) -> None:
        """Open one of the sections of the form: *Standard Fields* or *Extra Fields*."""
        button = self.dialog.get_by_role("button", name=name, exact=True)
        if button.get_attribute("aria-expanded") != "true":
            button.click()
        self.expect(button).to_have_attribute("aria-expanded", "true")

    def field(self, name: str) -> Locator:
        """The input of a field of the form, visible: ``host``, ``password``, or an extra."""
        standard = name in ("host", "password", "description", "port", "login", "schema")
        self.section("Standard Fields" if standard else "Extra Fields")
        return self.dialog.locator(f"[name={name}]" if standard else f"[name=element_{name}]")

    def switch(self, name: str) -> Locator:
        """What to click for a yes or no."""
        self.section("Extra Fields")
        return self.dialog.locator("label").filter(has=self.page.locator(f"[name=element_{name}]"))

    def choose(self, name: str, value: str) -> None:
        """Pick or type one of several values."""
        self.field(name).locator("xpath=..").get_by_role("combobox").fill(value)
        self.page.get_by_role("option", name=value, exact=True).click()

    def save(self) -> None:
        """Save the connection of the open form."""
        self.dialog.get_by_role("button", name="Save").click()
        self.expect(self.dialog).to_have_count(0)

    def create_and_test(self, conn_id: str, values: Mapping[str, Any]) -> tuple[bool, str]:
        """Create a connection, test it by its button; whether it works, and what the page says about it."""
        self.open_form(conn_id)
        self.fill(values)
        self.save()
        row = self.page.get_by_role("row").filter(has=self.page.get_by_text(conn_id, exact=True))
        row.get_by_role("button", name="Test Connection").click()
        toast = (
            self.page.locator("[data-scope=toast][data-part=root]").filter(has_text="Test Connection").first
        )
        self.expect(toast).to_be_visible()
        works = "Test Connection Successful" in toast.inner_text()
        return works, toast.locator("[data-part=description]").inner_text()

    def run_dag(self, dag_id: str, params: Mapping[str, str]) -> None:
        """Trigger a DAG with its form and wait until the page shows that the run has succeeded."""
        self.page.goto(f"{self.url}/dags/{dag_id}")
        self.page.get_by_role("button", name="Trigger").click()
        for name, value in params.items():
            self.dialog.locator(f"[name=element_{name}]").fill(value)
        self.dialog.get_by_role("button", name="Trigger", exact=True).click()
        self.page.wait_for_url(re.compile(rf"/dags/{dag_id}/runs/"))
        state = self.page.get_by_test_id("state-badge").first  # of the run; those of its tasks follow
        self.expect(state).to_have_text(re.compile("Success|Failed"), timeout=RUN_SECONDS * 1000)
        self.expect(state).to_have_text("Success")

    def open_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Look at one run of a task."""
        self.page.goto(f"{self.url}/dags/{dag_id}/runs/{quote(run_id, safe='')}/tasks/{task_id}/details")


class Airflow2UI(AirflowUI):
    """The Flask UI; the form is a page, and so is what follows."""

    def sign_in(self) -> None:
        """Log in, where that is needed."""
        self.page.goto(f"{self.url}/login/")
        self.page.locator("#username").fill(USER)
        self.page.locator("#password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign In").click()
        self.page.wait_for_url(re.compile("/home"))

    def open_form(self, conn_id: str) -> None:
        """Begin a new connection of the type *Avala*."""
        self.page.goto(f"{self.url}/connection/add")
        self.page.locator("#conn_id").fill(conn_id)
        self.page.locator("#select2-conn_type-container").click()
        self.page.locator("input.select2-search__field").fill("Avala")
        self.page.get_by_role("option", name="Avala", exact=True).click()
        self.expect(self.page.locator("#extra__avala__dialect")).to_be_visible()

    def field(self, name: str) -> Locator:
        """The input of a field of the form, visible: ``host``, ``password``, or an extra."""
        standard = name in ("host", "password", "description", "port", "login", "schema")
        return self.page.locator(f"#{name}" if standard else f"#extra__avala__{name}")

    def switch(self, name: str) -> Locator:
        """What to click for a yes or no."""
        return self.field(name)

    def choose(self, name: str, value: str) -> None:
        """Pick or type one of several values."""
        self.field(name).fill(value)

    def save(self) -> None:
        """Save the connection of the open form."""
        self.page.get_by_role("button", name="Save").click()
        self.page.wait_for_url(lambda url: "/connection/add" not in url)

    def create_and_test(self, conn_id: str, values: Mapping[str, Any]) -> tuple[bool, str]:
        """Create a connection, test it by its button; whether it works, and what the page says about it."""
        self.open_form(conn_id)
        self.fill(values)
        with self.page.expect_response(re.compile("/connections/test$")) as answer:
            self.page.locator("#test-connection").click()
        said = answer.value.json()
        alert = self.page.locator(
            ".alert-success"
        )  # this UI gives failures that class, too: the words must tell
        self.expect(alert).to_have_text(said["message"])
        self.save()
        return bool(said["status"]), str(said["message"])

    def run_dag(self, dag_id: str, params: Mapping[str, str]) -> None:
        """Trigger a DAG with its form and wait until the page shows that the run has succeeded."""
        self.page.goto(f"{self.url}/dags/{dag_id}/grid")
        self.page.get_by_role("link", name="Trigger DAG").click()
        for name, value in params.items():
            self.page.locator(f"#element_{name}").fill(value)
        self.page.get_by_role("button", name="Trigger", exact=True).click()
        self.page.wait_for_url(re.compile(f"/dags/{dag_id}/grid"))
        state = self.page.get_by_role("row").filter(has_text=re.compile("^Status")).first
        self.expect(state).to_have_text(re.compile("success|failed"), timeout=RUN_SECONDS * 1000)
        self.expect(state).to_have_text(re.compile("success"))

    def open_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Look at one run of a task."""
        which = urlencode({"dag_run_id": run_id, "task_id": task_id})
        self.page.goto(f"{self.url}/dags/{dag_id}/grid?{which}")


def airflow_ui(page: Page, airflow: LocalAirflow) -> AirflowUI:
    """The UI of the Airflow that runs."""
    return (Airflow2UI if airflow.version.startswith("2.") else Airflow3UI)(page, airflow.url)
