"""Times on the admin's pages as everywhere else here: 2026-11-21 08:15:00 UTC. (Django reads them from here alone.)"""

DATETIME_FORMAT = SHORT_DATETIME_FORMAT = "Y-m-d H:i:s e"
DATE_FORMAT = SHORT_DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i:s e"
