"""Flower's settings, for the local stack and for compose: the names are Flower's options (`celery flower --help`).

`workers/flower/` has the pages that we add. Written for Flower 2.2, which pyproject.toml pins.
"""

from workers.flower import install, login

persistent = True  # the history survives a restart; --db names its file
state_save_interval = 10_000  # ms: Flower saves meanwhile, for it saves nothing when it is killed
max_tasks = 10_000  # of about 7 KiB each: memory stays bounded
purge_offline_workers = 60  # s until Flower removes a stopped worker from the page
tasks_columns = "name,args,state,received,runtime,worker,uuid"  # uuid links to the task's own page
basic_auth = login()  # FLOWER_BASIC_AUTH, or the file that FLOWER_BASIC_AUTH_FILE names

install()
