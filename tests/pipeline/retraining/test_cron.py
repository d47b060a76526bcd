"""Cron expressions: errors, descriptions, next times, and the expressions for Kubeflow."""

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest

from common.errors import ConfigError
from pipeline.retraining.cron import Schedule, parse_schedule


@pytest.mark.parametrize(
    ('cron', 'zone', 'message'),
    [
        ('', 'UTC', 'Wrong number of fields; use five fields'),
        ('0 0 2 * * *', 'UTC', 'Wrong number of fields; use five fields'),
        ('61 2 * * *', 'UTC', 'Bad minute; use five fields'),
        ('0 2 */31 * MON#5', 'UTC', 'No date matches'),
        ('9' * 5000 + ' * * * *', 'UTC', 'Exceeds the limit'),
        ('0 2 * * *', 'Europe/Berln', '^time zone .Europe/Berln. is not known'),
        ('0 2 * * *', 'Europe', '^time zone .Europe. is not known'),
    ],
    ids=range(7),
)
def test_mistake_is_one_short_line(cron, zone, message):
    with pytest.raises(ConfigError, match=message) as error:
        parse_schedule(cron, zone)
    assert '\n' not in str(error.value)
    assert len(str(error.value)) < 400


def test_normalises_spaces_and_describes_schedule():
    schedule = parse_schedule('  30 14 * *\tMON-FRI ', 'Europe/Berlin')
    assert schedule == Schedule('30 14 * * MON-FRI', 'Europe/Berlin')
    assert schedule.in_words() == 'At 14:30 on Monday through Friday (Europe/Berlin)'


# On 2026-03-29 Berlin's clocks go from 02:00 to 03:00, on 2026-10-25 from 03:00 back to 02:00.
@pytest.mark.parametrize(
    ('cron', 'start', 'times'),
    [
        ('0 2 1 * SUN', '2026-01-30T12:00', ['02-01T02:00+01:00', '02-08T02:00+01:00']),
        ('30 2 * * *', '2026-03-29T00:00', ['03-29T03:00+02:00', '03-30T02:30+02:00']),
        ('30 * * * *', '2026-03-29T00:45', ['03-29T01:30+01:00', '03-29T03:30+02:00']),
        ('30 2 * * *', '2026-10-25T00:00', ['10-25T02:30+02:00', '10-26T02:30+01:00']),
        ('30 * * * *', '2026-10-25T01:45', ['10-25T02:30+02:00', '10-25T02:30+01:00']),
    ],
)
def test_next_times_follow_daylight_saving(cron, start, times):
    moment = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo('Europe/Berlin'))
    schedule = parse_schedule(cron, 'Europe/Berlin')
    first = schedule.after(moment)
    found = [first, schedule.after(first)]
    assert [time.isoformat(timespec='minutes')[5:] for time in found] == times


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
    assert parse_schedule(cron, 'Asia/Tokyo').kubeflow('Asia/Tokyo') == six_fields


@pytest.mark.parametrize(
    ('cron', 'zone', 'message'),
    [
        ('0 2 L * *', 'UTC', 'does not support L, W and #'),
        ('0 2 LW * *', 'UTC', 'does not support L, W and #'),
        ('0 2 * * 5l', 'UTC', 'does not support L, W and #'),
        ('0 2 * * MON#2', 'UTC', 'does not support L, W and #'),
        ('0 2 * * *', 'Europe/Berlin', r'is in Europe/Berlin, but .* UTC; .*--timezone UTC'),
    ],
)
def test_kubeflow_refuses_special_days_and_other_time_zones(cron, zone, message):
    with pytest.raises(ConfigError, match=message):
        parse_schedule(cron, zone).kubeflow()
