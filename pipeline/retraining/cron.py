"""Cron schedules: validation, description, next times, and the expression for Kubeflow.

An expression has five fields as in crontab(5), with the rules of Debian's cron (cronsim): if day of
month and day of week are both restricted, either may match, unless one of them begins with a star.
Imports neither TensorFlow nor kfp.
"""

import dataclasses
import zoneinfo
from datetime import datetime

from cronsim import CronSim, CronSimError

from common.errors import ConfigError
from common.redaction import redacted

_START = datetime(2000, 1, 1)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A cron expression in a time zone, validated by `parse_schedule`."""

    cron: str  # five fields, separated by single spaces
    timezone: str = 'UTC'  # name in the IANA database, such as `Europe/Berlin`

    def in_words(self) -> str:
        """`At 02:00 on Monday through Friday (Europe/Berlin)`."""
        return f'{CronSim(self.cron, _START).explain()} ({self.timezone})'

    def after(self, moment: datetime) -> datetime:
        """The first time after `moment`, in the time zone of the schedule.

        Daylight saving follows Debian's cron: a daily time that is skipped fires right after the
        change, one that occurs twice fires once. Intervals such as `*/5` are not affected.
        """
        times = CronSim(self.cron, moment.astimezone(zoneinfo.ZoneInfo(self.timezone)))
        # Datetimes of one zone are compared by wall clock, which is ambiguous in autumn.
        return next(time for time in times if time.timestamp() > moment.timestamp())

    def kubeflow(self, cluster_timezone: str = 'UTC') -> str:
        """The expression for Kubeflow Pipelines: six fields, seconds first.

        Kubeflow parses it with robfig/cron 1.2, in one time zone for all schedules, and without the
        prefix `CRON_TZ=` and L, W, # and weekday 7. With daylight saving it skips a time that does
        not exist and repeats one that occurs twice.

        Raises:
            ConfigError: the time zones differ, or robfig/cron cannot express a field.
        """
        if self.timezone != cluster_timezone:
            raise ConfigError(
                f'{self.cron!r} is in {self.timezone}, but Kubeflow reads schedules in '
                f'{cluster_timezone}; use --timezone {cluster_timezone}, or set '
                'kubeflow.connection.cron_timezone to that of the cluster'
            )
        fields = self.cron.upper().split()
        if set('L#') & set(fields[2] + fields[4]):
            raise ConfigError(f'{self.cron!r}: Kubeflow does not support L, W and #; use numbers')
        times = CronSim(self.cron, _START)
        weekdays = {day % 7 for day in times.weekdays if isinstance(day, int)}
        values = (times.minutes, times.hours, times.days, times.months, weekdays)
        # Numbers, because robfig/cron reads steps such as 5/2 differently. A star stays, because it
        # requires a match of both day fields, in robfig/cron too.
        numbers = [
            field if field.startswith('*') else ','.join(map(str, sorted(value)))
            for field, value in zip(fields, values, strict=True)
        ]
        return ' '.join(['0', *numbers])


def parse_schedule(cron: str, timezone: str = 'UTC') -> Schedule:
    """Validates a cron expression of five fields and the name of a time zone.

    Raises:
        ConfigError: the number of fields, a field or the time zone is wrong, or no date matches.
    """
    fields = cron.split()
    expression = ' '.join(fields)
    try:
        if len(fields) != 5:
            raise CronSimError('Wrong number of fields')
        if next(CronSim(expression, _START), None) is None:
            raise CronSimError('No date matches')
    except (CronSimError, ValueError) as error:  # ValueError: int() takes 4,300 digits at most
        raise ConfigError(
            f'cron expression {redacted(expression)[:60]!r}: {error}; use five fields (minute, '
            "hour, day of month, month, day of week), as in '0 2 * * 1-5'"
        ) from None
    if timezone not in zoneinfo.available_timezones():
        raise ConfigError(
            f'time zone {timezone!r} is not known; use a name such as Europe/Berlin or UTC'
        )
    return Schedule(expression, timezone)
