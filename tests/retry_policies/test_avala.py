"""Retrying as Avala asks for it, on Airflow 3.3 and later; a clear word before."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from airflow_provider_avala.api import errors
from airflow_provider_avala.emulator import faults, running_emulator
from tests.airflow_support import AIRFLOW, connection, metadata_database

MODULE = "airflow_provider_avala.retry_policies.avala"


def api_error(status: int, retry_after: float | None = None) -> errors.AvalaApiError:
    kind = errors.AvalaRateLimitError if status == 429 else errors.AvalaApiError
    return kind(status, method="GET", path="/exports/", retry_after=retry_after)


def raised_from(error: BaseException) -> Exception:
    try:
        raise RuntimeError("in a task") from error
    except RuntimeError as raised:
        return raised


if AIRFLOW < (3, 3):

    def test_airflow_before_3_3_is_told_what_is_missing() -> None:
        sys.modules.pop(MODULE, None)
        with pytest.raises(ImportError, match=r"needs Airflow 3\.3 or later"):
            importlib.import_module(MODULE)

else:
    from airflow.sdk.definitions.retry_policy import RetryAction

    from airflow_provider_avala.retry_policies.avala import AvalaRetryPolicy

    RETRY, FAIL, DEFAULT = RetryAction.RETRY, RetryAction.FAIL, RetryAction.DEFAULT

    @pytest.mark.parametrize(
        ("error", "action", "delay"),
        [
            (api_error(429, 7.5), RETRY, 7.5),
            (api_error(503, 2), RETRY, 2),
            (api_error(429, 0), RETRY, 0),
            (api_error(429, 90000), RETRY, 3600),
            (api_error(429), DEFAULT, None),
            (api_error(500), DEFAULT, None),
            (api_error(401), FAIL, None),
            (api_error(403, 5), FAIL, None),
            (api_error(404), FAIL, None),
            (errors.AvalaConfigurationError("name: too long"), FAIL, None),
            (errors.AvalaConnectionError("no answer", sent=True), DEFAULT, None),
            (errors.AvalaRateLimitTimeout("used up"), DEFAULT, None),
            (ValueError("something else"), DEFAULT, None),
            (raised_from(api_error(401)), FAIL, None),
            (raised_from(api_error(429, 7.5)), RETRY, 7.5),
            (raised_from(ValueError()), DEFAULT, None),
        ],
        ids=repr,
    )
    def test_avala_decides_where_it_has_a_word(error: Exception, action: Any, delay: float | None) -> None:
        decision = AvalaRetryPolicy().evaluate(error, 1, 3)
        assert decision.action is action
        assert decision.retry_delay == (None if delay is None else timedelta(seconds=delay))
        assert bool(decision.reason) == (action is not DEFAULT)

    def test_causes_that_go_in_a_circle_end() -> None:
        one, two = ValueError(), ValueError()
        one.__cause__, two.__cause__ = two, one
        assert AvalaRetryPolicy().evaluate(one, 1, 3).action is DEFAULT

    @pytest.mark.parametrize("longest", [0, -1, True, "5", float("inf"), float("nan")])
    def test_the_longest_delay_is_a_number_of_seconds(longest: Any) -> None:
        with pytest.raises(ValueError, match="longest"):
            AvalaRetryPolicy(longest=longest)

    def test_it_survives_storage() -> None:
        stored = json.loads(json.dumps(AvalaRetryPolicy(longest=12).serialize()))
        assert AvalaRetryPolicy.deserialize(stored).longest == 12.0

    def test_a_real_run_retries_when_avala_wants_it_and_not_where_it_cannot_help() -> None:
        with running_emulator(rate_limits=None) as avala:
            avala.inject(faults.status(429, headers={"Retry-After": "1"}), path="/datasets/", times=1)
            variables = {
                "AIRFLOW_CONN_AVALA_DEFAULT": connection(avala.base_url, avala.api_key, max_retry_seconds=0),
                "AIRFLOW_CONN_AVALA_WRONG_KEY": connection(avala.base_url, "avk_wrong"),
            }
            with mock.patch.dict("os.environ", variables):
                dag = loaded_dag()
                run = dag.test()
            ended = {ti.task_id: (str(ti.state), ti.try_number) for ti in task_instances(run)}
            # Were it not for the policy, the first would wait for an hour, and the second be tried three times.
            assert ended == {"limited": ("success", 2), "wrong_key": ("failed", 1)}
            assert [request.status for request in avala.requests_to("GET", "/datasets/")] == [429, 200]
            assert len(avala.requests_to("GET", "/exports/")) == 1

    def loaded_dag() -> Any:
        from airflow import settings

        metadata_database()
        target = Path(settings.DAGS_FOLDER) / "avala_retries.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(__file__).parent / "dags" / target.name, target)
        spec = importlib.util.spec_from_file_location("avala_retries", target)
        assert spec
        assert spec.loader
        module = sys.modules["avala_retries"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.retries

    def task_instances(run: Any) -> list[Any]:
        from airflow.utils.session import create_session

        with create_session() as session:
            return list(run.get_task_instances(session=session))
