"""Does it help? ``from inpaint_transform.study import Study, read_study, run_study``."""

from inpaint_transform.tools.study.keys import ConfigError
from inpaint_transform.tools.study.result import Study, read_study
from inpaint_transform.tools.study.run import run_study

__all__ = ["ConfigError", "Study", "read_study", "run_study"]
