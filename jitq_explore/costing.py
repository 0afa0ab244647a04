"""`cost_table`: what the float and the quantized model cost, measured and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from jitq_explore.capture.session import Session


def cost_table(
    session: Session, inputs: Any, engines: Sequence[str] | None = None, *, seconds: float = 1.0
) -> pd.DataFrame:
    """Time of a call, end to end and by op, and file size: float model and quantized one.

    `inputs` is a batch (a tensor, a tuple of the model's arguments, or a dict of them by name) or
    an iterable of batches. `engines` names the quantized backends to measure (default: the
    session's own); for any but that one the run is made anew, calibration included. Each model is
    timed for about `seconds`; `cost_frame` in `views` says what the columns are. The engine is put
    back, the session stays as it is.

    ValueError for an unknown engine, for inputs that do not fit, where stages are to come and for
    on-device sessions.
    """
    from jitq_explore.capture.costs import costs
    from jitq_explore.views.cost_frame import cost_frame

    return cost_frame(costs(session, inputs, engines, seconds=seconds))
