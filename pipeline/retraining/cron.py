"""When a pipeline runs again: cron expressions as people write them. Imports no TensorFlow or kfp.

Five fields as in crontab(5), read the way Debian's cron does (by cronsim): a day of the month and a
day of the week, both given, mean either of them, unless one of them begins with a star.
"""

import dataclasses
import difflib
import zoneinfo
from datetime import datetime, timedelta, timezone

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
_FIELDS = {
    'minute': '0-59',
    'hour': '0-23',
    'day of month': '1-31, or L for the last',
    'month': '1-12 or JAN-DEC',
    'day of week': '0-7 (both 0 and 7 are Sunday) or SUN-SAT',
}
_SOME_TIME = datetime(2000, 1, 1)
_YEARS_COMPARED = 2


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Times at which a pipeline runs; made by `parse_schedule`, which checks both.

    Attributes:
        cron: five fields, separated by single spaces.
        timezone: a name of the IANA database, such as `Europe/Berlin`.
    """

    cron: str
    timezone: str = 'UTC'

    def in_words(self) -> str:
        """`At 02:00, Monday through Friday (Europe/Berlin)`."""
        minute, hour, day, month, weekday = self.cron.split()
        words = _describe(self.cron)
        if not (day.startswith('*') or weekday.startswith('*')):
            # cron-descriptor's words for both at once read as if both had to be met.
            either = _describe(f'{minute} {hour} {day} {month} *')
            other = _describe(f'{minute} {hour} * {month} {weekday}')
            words = f'{either}, and also {other[0].lower()}{other[1:]}'
        return f'{words} ({self.timezone})'

    def after(self, moment: datetime) -> datetime:
        """The first time after `moment`, in the time zone of the schedule.

        Daylight saving as in Debian's cron: a time of day that is skipped comes when the clocks
        have changed, one that is there twice comes the first time; `*/5` and the like go on.

        Args:
            moment: with a time zone, any.

        Raises:
            ValueError: `moment` has no time zone.
        """
        if moment.tzinfo is None:
            raise ValueError(f'{moment} has no time zone')
        times = CronSim(self.cron, moment.astimezone(zoneinfo.ZoneInfo(self.timezone)))
        # Datetimes of one zone compare by their clocks alone, which are set back once a year.
        utc = timezone.utc
        return next(time for time in times if time.astimezone(utc) > moment.astimezone(utc))

    def next_times(self, now: datetime, count: int = 3) -> list[datetime]:
        """The next `count` times after `now`, each later than the one before."""
        times: list[datetime] = []
        for _ in range(count):
            times.append(self.after(times[-1] if times else now))
        return times

    def kubeflow(self, cluster_timezone: str = 'UTC') -> str:
        """The six fields, seconds first, by which Kubeflow Pipelines runs at the same times.

        Certain, from the sources of kubeflow/pipelines and its two Python packages: the v2beta1
        API has no time zone for a schedule (CronSchedule is start_time, end_time and cron); the
        controller parses `cron` with robfig/cron 1.2 (still in go.mod in September 2026) and reads
        all schedules in one zone, the variable CRON_SCHEDULE_TIMEZONE of the deployment
        ml-pipeline-scheduledworkflow, or that of its container where the variable is empty. Its
        manifests set UTC. The prefixes `TZ=` and `CRON_TZ=` are of robfig/cron 2 and 3, says its
        author (robfig/cron issue 148), so they are no way out.

        Read in the copy of robfig/cron 1 that Kubernetes vendored, not in 1.2.0: six fields with
        the seconds first, also where only five are given; weekdays 0-6; neither `L` nor `#`; in a
        zone with daylight saving, a time that is skipped is left out and one that is there twice
        comes twice, other than in `after`.

        Not verified, for want of a cluster: what a given installation has set, that its API
        server refuses a prefix or a weekday 7, and any run at the time it should be.

        Args:
            cluster_timezone: what `CRON_SCHEDULE_TIMEZONE` is in the cluster.

        Raises:
            ConfigError: Kubeflow has no such field, or means another time zone by it.
        """
        self._require_same_times(_zone(cluster_timezone))
        parsed = CronSim(self.cron, _SOME_TIME)
        # cronsim keeps 7 beside 0, and here also pairs for MON#2 and 5L.
        weekdays = {each % 7 if isinstance(each, int) else -1 for each in parsed.weekdays}
        values = (parsed.minutes, parsed.hours, parsed.days, parsed.months, weekdays)
        fields = zip(_FIELDS, self.cron.split(), values, strict=True)
        return ' '.join(['0', *(_for_robfig(*field) for field in fields)])

    def _require_same_times(self, cluster: zoneinfo.ZoneInfo) -> None:
        """Another zone does where its clocks agree or, for hourly schedules, its minutes do."""
        mine, now = zoneinfo.ZoneInfo(self.timezone), datetime.now(timezone.utc)
        moments = [now + timedelta(days) for days in range(366 * _YEARS_COMPARED)]
        differences = {_clock(moment, mine) - _clock(moment, cluster) for moment in moments}
        whole_hours = all(not difference % timedelta(hours=1) for difference in differences)
        if differences == {timedelta(0)} or (whole_hours and self.cron.endswith(' * * * *')):
            return
        raise ConfigError(
            f'{self.cron!r} is meant in {self.timezone}, but Kubeflow reads it in the time zone of '
            f'its cluster, {cluster.key}: write it for {cluster.key}, or set '
            f'CRON_SCHEDULE_TIMEZONE of the cluster to {self.timezone} and name that in the recipe'
        )


def parse_schedule(cron: str, timezone: str = 'UTC') -> Schedule:
    """A schedule of five fields, or of a nickname such as `@daily`, in a time zone.

    Raises:
        ConfigError: the number of fields, a field or the time zone is wrong, or no date matches.
    """
    given = ' '.join(cron.split())
    fields = _NICKNAMES.get(given.lower(), given).split()
    if given.startswith('@') and len(fields) != len(_FIELDS):
        raise ConfigError(f'{given!r} is not a known nickname; use one of {", ".join(_NICKNAMES)}')
    if len(fields) != len(_FIELDS):
        hint = ' (seconds are not among them)' if len(fields) == len(_FIELDS) + 1 else ''
        raise ConfigError(
            f'{given!r} has {len(fields)} fields; expected five: {", ".join(_FIELDS)}{hint}, '
            f"as in '0 2 * * 1-5'"
        )
    for position, (name, valid) in enumerate(_FIELDS.items()):
        alone = ['*'] * len(_FIELDS)
        alone[position] = fields[position]
        if not _parses(' '.join(alone)):
            raise ConfigError(
                f'{name} {fields[position]!r} of {given!r} is wrong; expected {valid}, '
                f'as *, a number, a range, a list or */step'
            )
    schedule = Schedule(' '.join(fields), _zone(timezone).key)
    if not _parses(schedule.cron) or next(CronSim(schedule.cron, _SOME_TIME), None) is None:
        raise ConfigError(f'{given!r} never comes: no such day is in these months')
    return schedule


def _for_robfig(name: str, field: str, values: set[int]) -> str:
    """A field as the numbers that it means, as steps such as 5/2 and 7-7/2 mean other ones there.

    Only `*` and `*/2` stay: with a star, both days have to match there too.
    """
    if min(values) < 0:
        raise ConfigError(
            f'{name} {field!r} is not known to Kubeflow; use numbers and names without L, W and #'
        )
    if field.startswith('*') and ',' not in field:
        return field
    if field.startswith('*') and name.startswith('day of'):
        raise ConfigError(f'{name} {field!r} is not known to Kubeflow; use a list without a star')
    return ','.join(str(value) for value in sorted(values))


def _parses(cron: str) -> bool:
    try:
        CronSim(cron, _SOME_TIME)
    except (CronSimError, ValueError):  # ValueError: more digits than int() takes
        return False
    return True


def _clock(moment: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def _describe(cron: str) -> str:
    words = ExpressionDescriptor(cron, use_24hour_time_format=True, locale_code='en_US')
    try:
        return words.get_description()
    except FormatException:  # of a star within a list, among others
        return f'At the times of {cron}'


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not there, not a name, or a folder of zones
        pass
    known = {zone.lower(): zone for zone in sorted(zoneinfo.available_timezones())}
    same = [zone for zone in known if name.lower() in (zone, zone.rpartition('/')[2])]
    close = same or difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.8)
    names = ' or '.join(known[zone] for zone in close) or 'a name such as Europe/Berlin or UTC'
    raise ConfigError(f'time zone {name!r} is not known; use {names}')
