"""What the views print with; see `snapshots.printable`."""

from jitq_explore.snapshots.printable import printable as printable
from jitq_explore.snapshots.printable import shorten as shorten
from jitq_explore.snapshots.printable import shorten_end as shorten_end
