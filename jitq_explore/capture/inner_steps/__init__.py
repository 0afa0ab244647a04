"""What a pass said -> its inner steps."""

from jitq_explore.capture.inner_steps.telling import inner_steps as inner_steps
