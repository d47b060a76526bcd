"""Cron expressions: errors, descriptions, next times, and the expressions for Kubeflow."""

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest

from common.errors import ConfigError
from pipeline.retraining.cron import Schedule, parse_schedule

NOON = datetime(2026, 1, 30, 12, tzinfo=timezone.utc)  # a Friday


@pytest.mark.parametrize(
    ('cron', 'message'),
    [
        ('', "'' has 0 fields; expected five: minute, hour, day-of-month, month, day-of-week, as"),
        ('0 2 1 *', r"'0 2 1 \*' has 4 fields; expected five: "),
        ('0 0 2 * * *', r'has 6 fields; expected five: .* \(without seconds\), as in'),
        ('61 2 * * *', r"minute '61' of '61 2 \* \* \*' is wrong; expected 0-59, as"),
        ('* 24 * * *', "hour '24' of .* expected 0-23,"),
        ('* * 0 * *', "day-of-month '0' of .* expected 1-31 .* or L for the last,"),
        ('* * * JANUARY *', "month 'JANUARY' of .* expected 1-12 or JAN-DEC,"),
        ('* * * * 8', r"day-of-week '8' of .* expected 0-7 \(0 and 7 are Sunday\) or SUN-SAT"),
        ('5-1 * * * *', "minute '5-1' of"),
        ('TZ=UTC 2 * * *', "minute 'TZ=UTC' of"),
        ('0 2 30 2 *', r"day-of-month '30' of .* \(a day that the months have\)"),
        ('0 2 */31 * MON#5', 'matches no date'),
        ('@reboot', "'@reboot' is not a known nickname; use one of @hourly, @daily, "),
        ('@every 1h', "'@every 1h' is not a known nickname"),
    ],
)
def test_rejects_wrong_expression_in_one_line(cron, message):
    with pytest.raises(ConfigError, match=message) as error:
        parse_schedule(cron)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('zone', 'use'),
    [
        ('Europe/Berln', 'Europe/Berlin$'),
        ('berlin', 'Europe/Berlin$'),
        ('Europe', 'a name such as Europe/Berlin or UTC$'),
        ('', 'a name such as'),
    ],
)
def test_rejects_unknown_time_zone_with_similar_names(zone, use):
    with pytest.raises(ConfigError, match=f'^time zone {zone!r} is not known; use {use}'):
        parse_schedule('0 2 * * *', zone)


def test_normalises_spaces_nicknames_and_utc():
    assert parse_schedule('  0  2 * *\t* ', 'Etc/UTC') == Schedule('0 2 * * *', 'UTC')
    assert parse_schedule('@Weekly').cron == '0 0 * * 0'


@pytest.mark.parametrize(
    ('cron', 'words'),
    [
        ('*/5 * * * *', 'Every 5 minutes'),
        ('30 14 * * MON-FRI', 'At 14:30, Monday through Friday'),
        ('0 2 13 * 5', 'At 02:00, on day 13 of the month, or on Friday'),
        ('0 2 */2 * MON', 'At 02:00, every 2 days, on Monday'),
        ('9 16 * *,5 1', 'At the times of 9 16 * *,5 1'),  # which cron-descriptor refuses
    ],
)
def test_describes_schedule_in_english(cron, words, monkeypatch):
    monkeypatch.setenv('LANG', 'de_DE.UTF-8')
    monkeypatch.setenv('LC_ALL', 'de_DE.UTF-8')
    assert parse_schedule(cron, 'Europe/Berlin').in_words() == f'{words} (Europe/Berlin)'


def test_next_times_are_in_the_zone_of_the_schedule():
    times = parse_schedule('0 2 * * 1', 'Asia/Tokyo').next_times(NOON)
    assert [time.isoformat() for time in times] == [
        '2026-02-02T02:00:00+09:00',
        '2026-02-09T02:00:00+09:00',
        '2026-02-16T02:00:00+09:00',
    ]


def test_day_of_month_or_weekday_matches():
    times = parse_schedule('0 2 1 * SUN').next_times(NOON, count=3)
    assert [(time.month, time.day) for time in times] == [(2, 1), (2, 8), (2, 15)]


def test_next_time_is_later_than_the_moment():
    schedule = parse_schedule('0 12 * * *')
    assert schedule.after(NOON).day == 31
    assert schedule.after(NOON.replace(hour=11, minute=59, second=59, microsecond=9)) == NOON


def test_moment_needs_a_time_zone():
    with pytest.raises(ValueError, match='2026-01-30 00:00:00 has no time zone'):
        parse_schedule('0 2 * * *').after(datetime(2026, 1, 30))


# On 2026-03-29 Berlin's clocks go from 02:00 to 03:00, on 2026-10-25 from 03:00 back to 02:00.
@pytest.mark.parametrize(
    ('cron', 'start', 'times'),
    [
        ('30 2 * * *', '2026-03-29T00:00', ['29T03:00+02:00', '30T02:30+02:00']),
        ('0,30 2 * * *', '2026-03-29T00:00', ['29T03:00+02:00', '30T02:00+02:00']),
        ('30 * * * *', '2026-03-29T00:45', ['29T01:30+01:00', '29T03:30+02:00']),
        ('30 2 * * *', '2026-10-25T00:00', ['25T02:30+02:00', '26T02:30+01:00']),
        ('30 * * * *', '2026-10-25T01:45', ['25T02:30+02:00', '25T02:30+01:00']),
        ('0 1-3/2 * * *', '2026-10-25T00:00', ['25T01:00+02:00', '25T03:00+01:00']),
    ],
)
def test_daily_schedule_fires_once_on_daylight_saving_days(cron, start, times):
    midnight = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo('Europe/Berlin'))
    found = parse_schedule(cron, 'Europe/Berlin').next_times(midnight, count=2)
    assert [time.isoformat(timespec='minutes')[8:] for time in found] == times


def test_next_time_in_a_repeated_hour_is_the_next_day():
    second = datetime(2026, 10, 25, 1, 10, tzinfo=timezone.utc)  # 02:10 for the second time
    following = parse_schedule('30 2 * * *', 'Europe/Berlin').after(second)
    assert following.isoformat() == '2026-10-26T02:30:00+01:00'


@pytest.mark.parametrize(
    ('cron', 'six_fields'),
    [
        ('0 2 * * *', '0 0 2 * * *'),
        ('*/5 * * * *', '0 */5 * * * *'),
        ('0 9-12 * JAN *', '0 0 9,10,11,12 * 1 *'),
        ('0 2 * * 5-7', '0 0 2 * * 0,5,6'),
        ('0 2 * * mon-fri', '0 0 2 * * 1,2,3,4,5'),
        ('0 2 * * 3/2', '0 0 2 * * 0,3,5'),
        ('0 2 */2 * MON', '0 0 2 */2 * 1'),
        ('0 2 28,*/9 * MON', '0 0 2 1,10,19,28 * 1'),
    ],
)
def test_kubeflow_expression_has_seconds_and_numbers(cron, six_fields):
    assert parse_schedule(cron).kubeflow() == six_fields


@pytest.mark.parametrize('cron', ['0 2 L * *', '0 2 LW * *', '0 2 * * 5L', '0 2 * * MON#2'])
def test_kubeflow_rejects_special_days(cron):
    with pytest.raises(
        ConfigError, match=r'is not supported by Kubeflow; use .* without L, W and #'
    ):
        parse_schedule(cron).kubeflow()


def test_kubeflow_requires_the_time_zone_of_the_cluster():
    berlin = parse_schedule('0 2 * * *', 'Europe/Berlin')
    assert berlin.kubeflow('Europe/Berlin') == '0 0 2 * * *'
    with pytest.raises(
        ConfigError, match=r'is in Europe/Berlin, but Kubeflow reads .* UTC; .*--timezone UTC'
    ):
        berlin.kubeflow()


def test_kubeflow_rejects_unknown_cluster_time_zone():
    with pytest.raises(ConfigError, match="time zone 'Local' is not known"):
        parse_schedule('0 2 * * *').kubeflow('Local')


def test_rejects_number_with_too_many_digits():
    with pytest.raises(ConfigError, match='too long'):
        parse_schedule('9' * 5000 + ' * * * *', 'UTC')
