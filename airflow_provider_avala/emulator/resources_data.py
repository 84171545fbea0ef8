"""The rows of the resource table about data: datasets and their parts, slices, exports, annotation issues."""

from __future__ import annotations

from airflow_provider_avala.emulator.schema import Field, Link, Resource

DATA_TYPES = ("image", "image_3d", "video", "lidar", "mcap", "splat")
VISIBILITIES = ("private", "public", "unlisted")
DATASET_STATUSES = ("creating", "created")
EXPORT_STATUSES = ("requested", "pending", "processing", "exported", "completed", "failed")
PRIORITIES = ("low", "medium", "high", "urgent")
SEVERITIES = ("low", "medium", "high", "critical")
ISSUE_STATUSES = ("open", "in_progress", "resolved", "closed")
SLUG_LENGTH = 100

DATASET_LINK = Link("datasets", {"owner": "owner_name", "slug": "slug"})

DATASETS = Resource(
    "datasets",
    {
        "name": Field(required=True, max_length=255),
        "slug": Field(required=True, max_length=SLUG_LENGTH),
        "data_type": Field(required=True, choices=DATA_TYPES),
        "visibility": Field(default="private", choices=VISIBILITIES),
        "is_sequence": Field(bool, default=False),
        "metadata": Field(dict, default=dict),
        "owner_name": Field(max_length=255),
        "industry": Field(int),
        "license": Field(int),
        "gpu_texture_format": Field(),
        "create_metadata": Field(bool, default=True, access="write"),
        "provider_config": Field(dict, access="write"),
        "organization_id": Field(int, access="write"),
        "organization_uid": Field(format="uuid", access="write"),
        "status": Field(required=True, choices=DATASET_STATUSES, access="read"),
        "item_count": Field(int, required=True, access="read"),
        "size_bytes": Field(int, default=0, access="read"),
        "project_count": Field(int, default=0, access="read"),
        "annotations_count": Field(int, default=0, access="read"),
        "predefined_labels": Field(list, default=list, of=dict, access="read"),
        "organization": Field(dict, access="read"),
    },
    label="Dataset",
    list_path="/datasets",
    item_path="/datasets/{uid}",
    methods=("list", "get", "create", "patch", "delete"),
    scope="datasets.read",
    write_scope="datasets.write",
    filters={"name": "contains", "data_type": "exact", "status": "exact", "visibility": "exact"},
    orderings=("created_at", "updated_at", "name", "item_count"),
)

ITEM_FIELDS = {
    "key": Field(access="read"),
    "id": Field(int, access="read"),
    "is_hidden": Field(bool, default=False, access="read"),
    "dataset": Field(access="read"),
    "dataset_owner_name": Field(access="read"),
    "dataset_slug": Field(access="read"),
    "url": Field(access="read"),
    "data_url": Field(access="read"),
    "gpu_texture_url": Field(access="read"),
    "thumbnails": Field(list, default=list, of=str, access="read"),
    "video_thumbnail": Field(access="read"),
    "metadata": Field(dict, default=dict, access="read"),
    "export_snippet": Field(dict, default=dict, access="read"),
    "annotations": Field(dict, default=dict, access="read"),
    "crop_data": Field(dict, access="read"),
    "related_items": Field(list, default=list, of=dict, access="read"),
    "related_sequence_uid": Field(access="read"),
    "data": Field(dict, default=dict, access="read"),
}
ITEMS = Resource("items", ITEM_FIELDS, label="Item", scope="datasets.read", orderings=("created_at",))

SEQUENCES = Resource(
    "sequences",
    {
        "key": Field(access="read"),
        "custom_uuid": Field(access="read"),
        "is_hidden": Field(bool, default=False, access="read"),
        "status": Field(default="new", access="read"),
        "featured_image": Field(access="read"),
        "number_of_frames": Field(int, default=0, access="read"),
        "views": Field(list, default=list, of=dict, access="read"),
        "crop_data": Field(dict, access="read"),
        "predefined_labels": Field(list, default=list, of=dict, access="read"),
        "metrics": Field(dict, default=dict, access="read"),
        "dataset_uid": Field(access="read"),
        "dataset_data_type": Field(access="read"),
        "device_id": Field(access="read"),
        "allow_lidar_calibration": Field(bool, default=False, access="read"),
        "lidar_calibration_enabled": Field(bool, default=False, access="read"),
        "camera_calibration_enabled": Field(bool, default=False, access="read"),
        "coc_timeline": Field(list, default=list, of=dict, access="read"),
        "is_workflow_terminal": Field(bool, default=False, access="read"),
        "sequence_status_workflow": Field(dict, default=dict, access="read"),
        "sequence_deliverable_workflow": Field(dict, default=dict, access="read"),
        "frames": Field(list, default=list, of=dict, access="read"),
        "camera_calibration": Field(list, default=list, of=dict, access="read"),
    },
    label="Sequence",
    list_path="/datasets/{owner}/{slug}/sequences",
    item_path="/datasets/{owner}/{slug}/sequences/{uid}",
    parents=(DATASET_LINK,),
    scope="datasets.read",
    orderings=("created_at", "key"),
)

SLICES = Resource(
    "slices",
    {
        "name": Field(required=True, max_length=255),
        "visibility": Field(required=True, choices=VISIBILITIES),
        "sub_slices": Field(list, required=True, of=dict),
        "organization": Field(),
        "random_selection_count": Field(int, minimum=1, access="write"),
        "slug": Field(required=True, access="read"),
        "owner_name": Field(required=True, access="read"),
        "status": Field(default="created", access="read"),
        "item_count": Field(int, default=0, access="read"),
        "source_data": Field(list, default=list, access="read"),
        "featured_slice_item_urls": Field(list, default=list, of=str, access="read"),
    },
    label="Slice",
    list_path="/slices/{owner}/list",
    item_path="/slices/{owner}/{slug}",
    create_path="/slices",
    key={"owner": "owner_name", "slug": "slug"},
    methods=("list", "get", "create"),
    paging="numbered",
    scope="datasets.read",
    write_scope="datasets.write",
)

EXPORTS = Resource(
    "exports",
    {
        "name": Field(access="read"),
        "format": Field(default="json", access="read"),
        "status": Field(required=True, choices=EXPORT_STATUSES, access="read"),
        "total_task_count": Field(int, access="read"),
        "exported_task_count": Field(int, access="read"),
        "download_url": Field(access="read"),
        "projects": Field(list, default=list, of=str, access="read"),
        "datasets": Field(list, default=list, of=str, access="read"),
        "slices": Field(list, default=list, of=str, access="read"),
        "filter_query_string": Field(access="read"),
        "organization": Field(dict, access="read"),
    },
    label="Export",
    list_path="/exports",
    item_path="/exports/{uid}",
    scope="exports.create",
    filters={"status": "exact"},
)

ANNOTATION_ISSUES = Resource(
    "annotation_issues",
    {
        "tool_uid": Field(required=True, access="write"),
        "problem_uid": Field(required=True, access="write"),
        "project_uid": Field(access="write"),
        "dataset_item_uid": Field(),
        "priority": Field(default="medium", choices=PRIORITIES),
        "severity": Field(default="medium", choices=SEVERITIES),
        "description": Field(default=""),
        "status": Field(default="open", choices=ISSUE_STATUSES),
        "wrong_class": Field(),
        "correct_class": Field(),
        "should_re_annotate": Field(bool),
        "should_delete": Field(bool),
        "frames_affected": Field(),
        "coordinates": Field(object),
        "query_params": Field(dict),
        "object_uid": Field(),
        "sequence_uid": Field(access="read"),
        "project": Field(dict, access="read"),
        "reporter": Field(dict, access="read"),
        "tool": Field(dict, access="read"),
        "problem": Field(dict, access="read"),
        "closed_at": Field(format="date-time", access="read"),
    },
    label="Annotation issue",
    list_path="/sequences/{sequence}/annotation-issues",
    item_path="/sequences/{sequence}/annotation-issues/{uid}",
    methods=("list", "create", "patch", "delete"),
    parents=(Link("sequences", {"sequence": "uid"}),),
    paging="array",
    scope="datasets.read",
    write_scope="datasets.write",
    filters={"dataset_item_uid": "exact"},
)
