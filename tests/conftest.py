"""Every test run has an AIRFLOW_HOME of its own, and nothing of the user's Airflow or Avala settings.

Runs before any test module imports Airflow, which reads its settings on import; needs no Airflow itself.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

for name in [name for name in os.environ if name.startswith(("AIRFLOW", "AVALA"))]:
    del os.environ[name]
home = tempfile.mkdtemp(prefix="avala-tests-")
atexit.register(shutil.rmtree, home, ignore_errors=True)
os.environ["AIRFLOW_HOME"] = home
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
