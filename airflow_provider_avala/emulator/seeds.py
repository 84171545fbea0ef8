"""What a fresh emulator contains, under fixed ids, so that a demo or an example DAG works at once."""

from __future__ import annotations

SEED_API_KEY = "avk_emulator_0123456789abcdef"
SEED_USER_ID = "0a7a1a00-0000-4000-8000-000000000001"
SEED_ORGANIZATION_ID = "0a7a1a00-0000-4000-8000-000000000002"
SEED_PROJECT_ID = "0a7a1a00-0000-4000-8000-000000000003"
SEED_DATASET_ID = "0a7a1a00-0000-4000-8000-000000000004"
SEED_SLICE_ID = "0a7a1a00-0000-4000-8000-000000000005"
SEED_OWNER = "emulator"
