"""Cron schedules: validation, description, next times, and the expression for Kubeflow.

An expression has five fields as in crontab(5), with the rules of Debian's cron (cronsim): if day of
month and day of week are both restricted, either may match, unless one of them begins with a star.
Imports neither TensorFlow nor kfp.
"""

import dataclasses
import difflib
import zoneinfo
from collections.abc import Collection
from datetime import datetime, timezone

from cron_descriptor import ExpressionDescriptor, FormatException
from cronsim import CronSim, CronSimError

from common.errors import ConfigError

_NICKNAMES = {
    '@hourly': '0 * * * *',
    '@daily': '0 0 * * *',
    '@midnight': '0 0 * * *',
    '@weekly': '0 0 * * 0',
    '@monthly': '0 0 1 * *',
    '@yearly': '0 0 1 1 *',
    '@annually': '0 0 1 1 *',
}
_FIELDS = {  # names as in the errors of cronsim
    'minute': '0-59',
    'hour': '0-23',
    'day-of-month': '1-31 (a day that the months have) or L for the last',
    'month': '1-12 or JAN-DEC',
    'day-of-week': '0-7 (0 and 7 are Sunday) or SUN-SAT',
}
_START = datetime(2000, 1, 1)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A cron expression in a time zone, validated by `parse_schedule`.

    Attributes:
        cron: five fields, separated by single spaces.
        timezone: name in the IANA database, such as `Europe/Berlin`.
    """

    cron: str
    timezone: str = 'UTC'

    def in_words(self) -> str:
        """`At 02:00, Monday through Friday (Europe/Berlin)`."""
        descriptor = ExpressionDescriptor(
            self.cron, use_24hour_time_format=True, locale_code='en_US'
        )
        try:
            words = descriptor.get_description()
        except FormatException:  # for a star inside a list, among others
            words = f'At the times of {self.cron}'
        if any(day.startswith('*') for day in self.cron.split()[2::2]):
            words = words.replace(', or ', ', ')  # cron-descriptor does not know this rule
        return f'{words} ({self.timezone})'

    def after(self, moment: datetime) -> datetime:
        """The first time after `moment`, in the time zone of the schedule.

        Daylight saving follows Debian's cron: a daily time that is skipped fires right after the
        change, one that occurs twice fires once. Intervals such as `*/5` are not affected.

        Args:
            moment: with any time zone.

        Raises:
            ValueError: `moment` has no time zone.
        """
        if moment.tzinfo is None:
            raise ValueError(f'{moment} has no time zone')
        times = CronSim(self.cron, moment.astimezone(zoneinfo.ZoneInfo(self.timezone)))
        # Python compares datetimes of one zone by wall clock, which is ambiguous in autumn.
        utc = timezone.utc
        return next(time for time in times if time.astimezone(utc) > moment.astimezone(utc))

    def next_times(self, now: datetime, count: int = 3) -> list[datetime]:
        """The next `count` times after `now`, ascending."""
        times = [now]
        for _ in range(count):
            times.append(self.after(times[-1]))
        return times[1:]

    def kubeflow(self, cluster_timezone: str = 'UTC') -> str:
        """The expression for Kubeflow Pipelines: six fields, seconds first.

        Kubeflow parses it with robfig/cron 1.2, in one time zone for all schedules:
        `CRON_SCHEDULE_TIMEZONE` of the deployment ml-pipeline-scheduledworkflow. That version knows
        neither the prefix `CRON_TZ=` (of versions 2 and 3) nor L, W, # and weekday 7. With daylight
        saving it skips a time that does not exist and repeats one that occurs twice.

        Args:
            cluster_timezone: `CRON_SCHEDULE_TIMEZONE` of the cluster.

        Raises:
            ConfigError: the time zones differ, or robfig/cron cannot express a field.
        """
        cluster = _zone(cluster_timezone)
        if self.timezone != cluster:
            raise ConfigError(
                f'{self.cron!r} is in {self.timezone}, but Kubeflow reads schedules in {cluster}; '
                f'give it in {cluster} (--timezone {cluster}), or set CRON_SCHEDULE_TIMEZONE of '
                f'the cluster and kubeflow.connection.cron_timezone to {self.timezone}'
            )
        parsed = CronSim(self.cron, _START)
        weekdays = {0 if each == 7 else each for each in parsed.weekdays}
        values: tuple[Collection[object], ...] = (
            parsed.minutes,
            parsed.hours,
            parsed.days,
            parsed.months,
            weekdays,
        )
        return ' '.join(['0', *map(_for_robfig, self.cron.split(), values)])


def parse_schedule(cron: str, timezone: str = 'UTC') -> Schedule:
    """Validates a schedule of five fields, or a nickname such as `@daily`, and its time zone.

    Raises:
        ConfigError: the number of fields, a field or the time zone is wrong, or no date matches.
    """
    given = ' '.join(cron.split())
    expression = _NICKNAMES.get(given.lower(), given)
    fields = expression.split()
    if expression.startswith('@'):
        raise ConfigError(f'{given!r} is not a known nickname; use one of {", ".join(_NICKNAMES)}')
    if len(fields) != len(_FIELDS):
        hint = ' (without seconds)' if len(fields) == len(_FIELDS) + 1 else ''
        raise ConfigError(
            f'{given!r} has {len(fields)} fields; expected five: {", ".join(_FIELDS)}{hint}, '
            f"as in '0 2 * * 1-5'"
        )
    try:
        first = next(CronSim(expression, _START), None)
    except CronSimError as error:
        name = str(error).removeprefix('Bad ')
        field = fields[list(_FIELDS).index(name)]
        raise ConfigError(
            f'{name} {field!r} of {given!r} is wrong; expected {_FIELDS[name]}, '
            'as *, a number, a range, a list or */step'
        ) from None
    except ValueError as error:  # int() takes 4,300 digits at most
        raise ConfigError(f'a number in the cron expression is too long: {error}') from None
    if first is None:
        raise ConfigError(f'{given!r} matches no date')
    return Schedule(expression, _zone(timezone))


def _for_robfig(field: str, values: Collection[object]) -> str:
    """The numbers of a field, since robfig/cron reads steps such as 5/2 and 7-7/2 differently.

    Fields with a star are unchanged: in robfig/cron too, both days then have to match.
    """
    if field.startswith('*'):
        return field
    numbers = [value for value in values if isinstance(value, int) and value >= 0]
    if len(numbers) < len(values):  # cronsim represents L, W and # by others
        raise ConfigError(f'{field!r} is not supported by Kubeflow; use numbers without L, W and #')
    return ','.join(map(str, sorted(numbers)))


def _zone(name: str) -> str:
    known = zoneinfo.available_timezones()
    if name in known:
        return 'UTC' if name == 'Etc/UTC' else name
    cities = [zone for zone in known if zone.lower().endswith(f'/{name.lower()}')]
    similar = sorted(cities) or difflib.get_close_matches(name, known, n=3, cutoff=0.8)
    names = ' or '.join(similar) or 'a name such as Europe/Berlin or UTC'
    raise ConfigError(f'time zone {name!r} is not known; use {names}')
