"""The rows of the resource table about work: projects and their parts, tasks, webhooks, agents, providers."""

from __future__ import annotations

from airflow_provider_avala.emulator.schema import Field, Link, Resource

PROJECT_STATUSES = ("pending-approval", "active", "paused", "canceled", "archived", "completed")
TASK_STATUSES = ("pending", "in_progress", "completed")
DATASET_EVENTS = ("dataset.created", "dataset.updated", "dataset.deleted")
EXPORT_EVENTS = ("export.completed", "export.failed")
EVENTS = (
    *DATASET_EVENTS,
    *EXPORT_EVENTS,
    "task.completed",
    "task.failed",
    "result.submitted",
    "result.accepted",
    "result.rejected",
)
PROJECT_LINK = Link("projects", {"project": "uid"})

PROJECTS = Resource(
    "projects",
    {
        "name": Field(required=True, access="read"),
        "status": Field(required=True, choices=PROJECT_STATUSES, access="read"),
        "task_type": Field(access="read"),
        "datasets": Field(list, default=list, of=str, access="read"),
        "owner_name": Field(access="read"),
        "visibility": Field(default="private", access="read"),
        "is_active": Field(bool, default=True, access="read"),
        "is_imported": Field(bool, default=False, access="read"),
        "short_description": Field(access="read"),
        "industry_icon": Field(access="read"),
    },
    label="Project",
    list_path="/users/me/projects",
    item_path="/users/me/projects/{uid}",
    scope="projects.read",
    write_scope="projects.write",
    filters={"name": "contains", "status": "exact"},
)

TASKS = Resource(
    "tasks",
    {
        "name": Field(access="read"),
        "type": Field(access="read"),
        "status": Field(required=True, choices=TASK_STATUSES, access="read"),
        "project": Field(access="read"),
    },
    label="Task",
    list_path="/tasks",
    item_path="/tasks/{uid}",
    scope="tasks.read",
    filters={"project": "exact", "status": "exact", "type": "exact", "name": "contains"},
)

QUALITY_TARGETS = Resource(
    "quality_targets",
    {
        "name": Field(required=True, max_length=255),
        "metric": Field(required=True, max_length=255),
        "threshold": Field(float, required=True),
        "operator": Field(default="gte", choices=("gt", "lt", "gte", "lte")),
        "severity": Field(default="warning", choices=("warning", "critical")),
        "is_active": Field(bool, default=True),
        "notify_webhook": Field(bool, default=True),
        "notify_emails": Field(list, default=list, of=str),
        "last_evaluated_at": Field(format="date-time", access="read"),
        "last_value": Field(float, access="read"),
        "is_breached": Field(bool, default=False, access="read"),
        "breach_count": Field(int, default=0, access="read"),
        "last_breached_at": Field(format="date-time", access="read"),
    },
    label="Quality target",
    list_path="/projects/{project}/quality-targets",
    item_path="/projects/{project}/quality-targets/{uid}",
    methods=("list", "get", "create", "patch", "put", "delete"),
    parents=(PROJECT_LINK,),
    scope="projects.read",
    write_scope="projects.write",
)

CONSENSUS_SCORES = Resource(
    "consensus_scores",
    {
        "dataset_item_uid": Field(required=True, access="read"),
        "task_name": Field(required=True, access="read"),
        "score_type": Field(default="iou", access="read"),
        "score": Field(float, required=True, access="read"),
        "annotator_count": Field(int, required=True, access="read"),
        "details": Field(dict, default=dict, access="read"),
    },
    label="Consensus score",
    list_path="/projects/{project}/consensus/scores",
    methods=("list",),
    parents=(PROJECT_LINK,),
    scope="projects.read",
    orderings=("created_at", "score"),
)

CONSENSUS_CONFIGS = Resource(
    "consensus_configs",
    {
        "iou_threshold": Field(float, default=0.5, minimum=0, maximum=1),
        "min_agreement_ratio": Field(float, default=0.5, minimum=0, maximum=1),
        "min_annotations": Field(int, default=2, minimum=1, maximum=1000),
    },
    label="Consensus configuration",
    parents=(PROJECT_LINK,),
    scope="projects.read",
    write_scope="projects.write",
)

AUTO_LABEL_JOBS = Resource(
    "auto_label_jobs",
    {
        "model_type": Field(default="yolo", choices=("yolo", "sam3")),
        "confidence_threshold": Field(float, default=0.5, minimum=0, maximum=1),
        "labels": Field(list, default=list, of=str),
        "dry_run": Field(bool, default=False),
        "project": Field(access="read"),
        "status": Field(default="pending", access="read"),
        "progress_pct": Field(float, default=0.0, access="read"),
        "total_items": Field(int, default=0, access="read"),
        "processed_items": Field(int, default=0, access="read"),
        "successful_items": Field(int, default=0, access="read"),
        "failed_items": Field(int, default=0, access="read"),
        "skipped_items": Field(int, default=0, access="read"),
        "error_message": Field(access="read"),
        "summary": Field(dict, access="read"),
        "started_at": Field(format="date-time", access="read"),
        "completed_at": Field(format="date-time", access="read"),
    },
    label="Auto-label job",
    list_path="/auto-label-jobs",
    item_path="/auto-label-jobs/{uid}",
    create_path="/projects/{project}/auto-label",
    methods=("list", "get", "delete"),
    scope="projects.read",
    write_scope="projects.write",
    filters={"project": "exact", "status": "exact"},
    orderings=("created_at",),
)

WEBHOOKS = Resource(
    "webhooks",
    {
        "target_url": Field(required=True, format="uri", max_length=2048),
        "events": Field(list, required=True, of=str, choices=EVENTS),
        "is_active": Field(bool, default=True),
        "secret": Field(max_length=255, access="once"),
    },
    label="Webhook",
    list_path="/webhooks",
    item_path="/webhooks/{uid}",
    methods=("list", "get", "create", "patch", "put", "delete"),
    orderings=("created_at", "updated_at"),
)

WEBHOOK_DELIVERIES = Resource(
    "webhook_deliveries",
    {
        "subscription": Field(required=True, access="read"),
        "event_type": Field(required=True, access="read"),
        "payload": Field(dict, default=dict, access="read"),
        "response_status": Field(int, access="read"),
        "response_body": Field(access="read"),
        "response_body_size": Field(int, access="read"),
        "response_body_sha256": Field(access="read"),
        "response_preview": Field(access="read"),
        "attempts": Field(int, default=0, access="read"),
        "next_retry_at": Field(format="date-time", access="read"),
        "status": Field(default="pending", choices=("pending", "delivered", "failed"), access="read"),
    },
    label="Webhook delivery",
    list_path="/webhook-deliveries",
    item_path="/webhook-deliveries/{uid}",
    filters={"subscription": "exact", "event_type": "exact", "status": "exact"},
    orderings=("created_at", "updated_at"),
)

AGENTS = Resource(
    "agents",
    {
        "name": Field(required=True, max_length=255),
        "description": Field(default=""),
        "events": Field(list, default=list, of=str, choices=EVENTS),
        "callback_url": Field(format="uri", max_length=2048),
        "is_active": Field(bool, default=True),
        "project": Field(),
        "task_types": Field(list, default=list, of=str),
        "secret": Field(access="once"),
        "execution_stats": Field(dict, default=dict, access="read"),
    },
    label="Agent",
    list_path="/agents",
    item_path="/agents/{uid}",
    methods=("list", "get", "create", "patch", "put", "delete"),
    filters={"name": "contains"},
    unique=("name",),
)

AGENT_EXECUTIONS = Resource(
    "agent_executions",
    {
        "registration": Field(required=True, access="read"),
        "event_type": Field(required=True, access="read"),
        "task": Field(access="read"),
        "result": Field(access="read"),
        "status": Field(default="pending", access="read"),
        "action": Field(access="read"),
        "event_payload": Field(dict, default=dict, access="read"),
        "response_payload": Field(dict, access="read"),
        "error_message": Field(access="read"),
        "started_at": Field(format="date-time", access="read"),
        "completed_at": Field(format="date-time", access="read"),
    },
    label="Agent execution",
    list_path="/agents/{agent}/executions",
    methods=("list",),
    parents=(Link("agents", {"agent": "uid"}),),
    filters={"status": "exact"},
    orderings=("created_at",),
)

INFERENCE_PROVIDERS = Resource(
    "inference_providers",
    {
        "name": Field(required=True, max_length=255),
        "provider_type": Field(required=True, choices=("http", "sagemaker", "openai")),
        "config": Field(dict, required=True),
        "description": Field(default=""),
        "is_active": Field(bool, default=True),
        "project": Field(),
        "last_test_at": Field(format="date-time", access="read"),
        "last_test_success": Field(bool, access="read"),
    },
    label="Inference provider",
    list_path="/inference-providers",
    item_path="/inference-providers/{uid}",
    methods=("list", "get", "create", "patch", "put", "delete"),
)
