"""Which class answers for which row of the resource table, and what answers besides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_provider_avala.emulator.account import Account
from airflow_provider_avala.emulator.annotation_issues import AnnotationIssues
from airflow_provider_avala.emulator.auto_label import AutoLabelJobs
from airflow_provider_avala.emulator.consensus import ConsensusConfigs, ConsensusScores
from airflow_provider_avala.emulator.dataset_endpoints import DatasetEndpoints, SequenceEndpoints
from airflow_provider_avala.emulator.endpoints import Endpoint
from airflow_provider_avala.emulator.export_endpoints import ExportEndpoints
from airflow_provider_avala.emulator.fleet import AlertChannels, Alerts, Devices, FleetEvents
from airflow_provider_avala.emulator.fleet_managed import ManagedFleetUploads
from airflow_provider_avala.emulator.fleet_uploads import FleetUploads
from airflow_provider_avala.emulator.kinds import Kind
from airflow_provider_avala.emulator.manual_upload_api import ManualUploadApi
from airflow_provider_avala.emulator.organizations import (
    Invitations,
    Members,
    Organizations,
    TeamMembers,
    Teams,
)
from airflow_provider_avala.emulator.projects import Projects, QualityTargets
from airflow_provider_avala.emulator.resolver import Resolver
from airflow_provider_avala.emulator.resources import RESOURCES
from airflow_provider_avala.emulator.slices import Slices
from airflow_provider_avala.emulator.storage_configs import InferenceProviders, StorageConfigs
from airflow_provider_avala.emulator.webhooks import Agents, Webhooks

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator

# Rows that are not here are stored and shown as they are.
KINDS: Mapping[str, type[Kind]] = {
    "datasets": DatasetEndpoints,
    "sequences": SequenceEndpoints,
    "slices": Slices,
    "exports": ExportEndpoints,
    "annotation_issues": AnnotationIssues,
    "projects": Projects,
    "quality_targets": QualityTargets,
    "consensus_scores": ConsensusScores,
    "consensus_configs": ConsensusConfigs,
    "auto_label_jobs": AutoLabelJobs,
    "webhooks": Webhooks,
    "agents": Agents,
    "inference_providers": InferenceProviders,
    "organizations": Organizations,
    "members": Members,
    "invitations": Invitations,
    "teams": Teams,
    "team_members": TeamMembers,
    "storage_configs": StorageConfigs,
    "fleet_devices": Devices,
    "fleet_events": FleetEvents,
    "fleet_alerts": Alerts,
    "fleet_alert_channels": AlertChannels,
}


def endpoints_of(emulator: Emulator) -> list[Endpoint]:
    """List every endpoint of an emulator."""
    found: list[Endpoint] = []
    for name, row in RESOURCES.items():
        found += KINDS.get(name, Kind)(emulator, row).endpoints()
    more = (Account, ManualUploadApi, FleetUploads, ManagedFleetUploads, Resolver)
    return found + [endpoint for part in more for endpoint in part(emulator).endpoints()]
