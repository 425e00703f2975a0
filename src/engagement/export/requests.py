"""Says which rows and which fields a request delivers."""

from engagement.export.fields import Additions, Shape, check_no_empty_line, narrow_shape, shape_of
from engagement.export.rows import Selection
from engagement.model.export_request import ExportRequest
from engagement.model.exports import ExportFormat, ExportType


def selection_of(request: ExportRequest, campaign_ids: tuple[int, ...]) -> Selection:
    """Which rows the request delivers, with the campaigns that its plan has fixed."""
    return Selection(
        app_id=request.app_id,
        export_type=request.export_type,
        time_range=None if request.export_type is ExportType.PUSH else request.time_range,
        time_axis=request.time_axis,
        event_names=request.event_names,
        as_of=request.as_of,
        campaign_type=request.campaign_type,
        campaign_ids=campaign_ids,
        include_device_timestamp=request.include_device_timestamp,
    )


def shape_of_request(request: ExportRequest) -> Shape:
    """The fields that the request delivers.

    Raises:
        InvalidExportError: It names a column that there is not, or columns that lose rows.
    """
    shape = shape_of(
        request.export_type,
        Additions(
            user_id=request.include_user_id,
            device_timestamp=request.include_device_timestamp,
            info=request.include_info,
            record_id=request.include_record_id,
        ),
        epoch_times=request.published_contract or request.export_format is ExportFormat.JSON,
    )
    if not request.columns:
        return shape
    chosen = narrow_shape(shape, request.columns)
    if request.export_format is ExportFormat.CSV:
        check_no_empty_line(chosen, request.export_type.kind)
    return chosen
