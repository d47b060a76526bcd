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
        ('', 'Wrong number of fields; use five fields'),
        ('0 0 2 * * *', 'Wrong number of fields; use five fields'),
        ('61 2 * * *', 'Bad minute; use five fields'),
        ('* * * * 8', 'Bad day-of-week'),
        ('0 2 30 2 *', 'Bad day-of-month'),
        ('0 2 */31 * MON#5', 'No date matches'),
        ('9' * 5000 + ' * * * *', 'Exceeds the limit'),
    ],
    ids=range(7),
)
def test_rejects_wrong_expression_in_one_short_line(cron, message):
    with pytest.raises(ConfigError, match=message) as error:
        parse_schedule(cron)
    assert '\n' not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize('zone', ['Europe/Berln', 'Europe', ''])
def test_rejects_unknown_time_zone(zone):
    with pytest.raises(ConfigError, match=f'^time zone {zone!r} is not known; use a name such as'):
        parse_schedule('0 2 * * *', zone)


def test_normalises_spaces_and_describes_schedule():
    schedule = parse_schedule('  30 14 * *\tMON-FRI ', 'Europe/Berlin')
    assert schedule == Schedule('30 14 * * MON-FRI', 'Europe/Berlin')
    assert schedule.in_words() == 'At 14:30 on Monday through Friday (Europe/Berlin)'


def test_next_times_are_in_the_zone_of_the_schedule():
    times = parse_schedule('0 2 * * 1', 'Asia/Tokyo').next_times(NOON, count=2)
    assert [time.isoformat() for time in times] == [
        '2026-02-02T02:00:00+09:00',
        '2026-02-09T02:00:00+09:00',
    ]


def test_day_of_month_or_weekday_matches():
    times = parse_schedule('0 2 1 * SUN').next_times(NOON)
    assert [(time.month, time.day) for time in times] == [(2, 1), (2, 8), (2, 15)]


# On 2026-03-29 Berlin's clocks go from 02:00 to 03:00, on 2026-10-25 from 03:00 back to 02:00.
@pytest.mark.parametrize(
    ('cron', 'start', 'times'),
    [
        ('30 2 * * *', '2026-03-29T00:00', ['29T03:00+02:00', '30T02:30+02:00']),
        ('30 * * * *', '2026-03-29T00:45', ['29T01:30+01:00', '29T03:30+02:00']),
        ('30 2 * * *', '2026-10-25T00:00', ['25T02:30+02:00', '26T02:30+01:00']),
        ('30 * * * *', '2026-10-25T01:45', ['25T02:30+02:00', '25T02:30+01:00']),
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
        ('*/5 * * * *', '0 */5 * * * *'),
        ('0 9-12 * JAN *', '0 0 9,10,11,12 * 1 *'),
        ('0 2 * * 5-7', '0 0 2 * * 0,5,6'),
        ('0 2 * * 3/2', '0 0 2 * * 0,3,5'),
        ('0 2 28,*/9 * mon', '0 0 2 1,10,19,28 * 1'),
    ],
)
def test_kubeflow_expression_has_seconds_and_numbers(cron, six_fields):
    assert parse_schedule(cron).kubeflow() == six_fields


@pytest.mark.parametrize('cron', ['0 2 L * *', '0 2 LW * *', '0 2 * * 5l', '0 2 * * MON#2'])
def test_kubeflow_rejects_special_days(cron):
    with pytest.raises(ConfigError, match='does not support L, W and #; use numbers'):
        parse_schedule(cron).kubeflow()


def test_kubeflow_requires_the_time_zone_of_the_cluster():
    berlin = parse_schedule('0 2 * * *', 'Europe/Berlin')
    assert berlin.kubeflow('Europe/Berlin') == '0 0 2 * * *'
    with pytest.raises(ConfigError, match=r'is in Europe/Berlin, but .* UTC; .*--timezone UTC'):
        berlin.kubeflow()
