"""Cron expressions: what is refused, how they read, when they come, and what Kubeflow gets."""

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest

from common.errors import ConfigError
from pipeline.retraining.cron import Schedule, parse_schedule

NOON = datetime(2026, 1, 30, 12, tzinfo=timezone.utc)  # a Friday


@pytest.mark.parametrize(
    ('cron', 'sentence'),
    [
        ('', "'' has 0 fields; expected five: minute, hour, day of month, month, day of week, as"),
        ('0 2 1 *', r"'0 2 1 \*' has 4 fields; expected five: "),
        ('0 0 2 * * *', r'has 6 fields; expected five: .* \(seconds are not among them\), as in'),
        ('61 2 * * *', r"minute '61' of '61 2 \* \* \*' is wrong; expected 0-59, as"),
        ('* 24 * * *', "hour '24' of .* expected 0-23,"),
        ('* * 0 * *', "day of month '0' of .* expected 1-31, or L for the last,"),
        ('* * * JANUARY *', "month 'JANUARY' of .* expected 1-12 or JAN-DEC,"),
        ('* * * * 8', r"day of week '8' of .* expected 0-7 \(both 0 and 7 are Sunday\) or SUN-SAT"),
        ('5-1 * * * *', "minute '5-1' of"),
        ('*/0 * * * *', r"minute '\*/0' of"),
        ('0 2 ? * *', r"day of month '\?' of"),
        ('TZ=UTC 2 * * *', "minute 'TZ=UTC' of"),
        ('0 2 30 2 *', r"'0 2 30 2 \*' never comes: no such day is in these months"),
        ('0 2 31 2,4,6 *', 'never comes'),
        ('@reboot', "'@reboot' is not a known nickname; use one of @hourly, @daily, "),
        ('@every 1h', "'@every 1h' is not a known nickname"),
    ],
)
def test_a_wrong_expression_is_refused_in_one_sentence(cron, sentence):
    with pytest.raises(ConfigError, match=sentence) as error:
        parse_schedule(cron)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('zone', 'use'),
    [
        ('Europe/Berln', 'use Europe/Berlin( or .*)?$'),
        ('berlin', 'use Europe/Berlin$'),
        ('europe/berlin', 'use Europe/Berlin$'),
        ('Europe', 'use a name such as Europe/Berlin or UTC$'),
        ('../etc/passwd', 'use a name such as'),
        ('', 'use a name such as'),
    ],
)
def test_an_unknown_time_zone_is_refused_with_close_ones(zone, use):
    with pytest.raises(ConfigError, match=f'^time zone {zone!r} is not known; {use}'):
        parse_schedule('0 2 * * *', zone)


def test_spaces_and_nicknames_are_written_out():
    assert parse_schedule('  0  2 * *\t* ') == Schedule('0 2 * * *', 'UTC')
    assert parse_schedule('@Weekly').cron == '0 0 * * 0'


@pytest.mark.parametrize(
    ('cron', 'words'),
    [
        ('0 2 * * *', 'At 02:00'),
        ('*/5 * * * *', 'Every 5 minutes'),
        ('30 14 * * MON-FRI', 'At 14:30, Monday through Friday'),
        ('0 2 * * 7', 'At 02:00, only on Sunday'),
        ('0 2 L * *', 'At 02:00, on the last day of the month'),
        ('9 16 * *,5 1', 'At the times of 9 16 * *,5 1'),
        ('0 2 13 * 5', 'At 02:00, on day 13 of the month, and also at 02:00, only on Friday'),
    ],
)
def test_a_schedule_reads_as_words_with_its_time_zone(cron, words):
    assert parse_schedule(cron, 'Europe/Berlin').in_words() == f'{words} (Europe/Berlin)'


def test_the_words_are_english_whatever_the_machine_speaks(monkeypatch):
    for name in ('LANG', 'LC_ALL', 'LANGUAGE'):
        monkeypatch.setenv(name, 'de_DE.UTF-8')

    assert parse_schedule('0 2 * * 1').in_words() == 'At 02:00, only on Monday (UTC)'


def test_the_next_times_are_in_the_zone_of_the_schedule():
    times = parse_schedule('0 2 * * 1', 'Asia/Tokyo').next_times(NOON)

    assert [time.isoformat() for time in times] == [
        '2026-02-02T02:00:00+09:00',
        '2026-02-09T02:00:00+09:00',
        '2026-02-16T02:00:00+09:00',
    ]


def test_a_day_of_month_and_a_weekday_mean_either():
    times = parse_schedule('0 2 1 * SUN').next_times(NOON, count=3)

    assert [(time.month, time.day) for time in times] == [(2, 1), (2, 8), (2, 15)]


def test_the_time_itself_is_not_after_it():
    schedule = parse_schedule('0 12 * * *')

    assert schedule.after(NOON).day == 31
    assert schedule.after(NOON.replace(hour=11, minute=59, second=59, microsecond=9)) == NOON


def test_the_29th_of_february_comes_in_leap_years():
    assert parse_schedule('0 0 29 2 *').after(NOON).year == 2028


def test_a_moment_without_a_time_zone_is_refused():
    with pytest.raises(ValueError, match='2026-01-30 00:00:00 has no time zone'):
        parse_schedule('0 2 * * *').after(datetime(2026, 1, 30))


# On 2026-03-29 Berlin's clocks go from 02:00 to 03:00, on 2026-10-25 from 03:00 back to 02:00.
@pytest.mark.parametrize(
    ('cron', 'day', 'times'),
    [
        ('30 1 * * *', '03-29', ['29T01:30+01:00', '30T01:30+02:00', '31T01:30+02:00']),
        ('30 2 * * *', '03-29', ['29T03:00+02:00', '30T02:30+02:00', '31T02:30+02:00']),
        ('0,30 2 * * *', '03-29', ['29T03:00+02:00', '30T02:00+02:00', '30T02:30+02:00']),
        ('30 * * * *', '03-29', ['29T00:30+01:00', '29T01:30+01:00', '29T03:30+02:00']),
        ('30 2 * * *', '10-25', ['25T02:30+02:00', '26T02:30+01:00', '27T02:30+01:00']),
        ('30 3 * * *', '10-25', ['25T03:30+01:00', '26T03:30+01:00', '27T03:30+01:00']),
        ('0 1-3/2 * * *', '10-25', ['25T01:00+02:00', '25T03:00+01:00', '26T01:00+01:00']),
    ],
)
def test_a_daily_run_comes_once_on_the_days_of_daylight_saving(cron, day, times):
    midnight = datetime.fromisoformat(f'2026-{day}').replace(tzinfo=ZoneInfo('Europe/Berlin'))
    found = parse_schedule(cron, 'Europe/Berlin').next_times(midnight)

    assert [time.isoformat(timespec='minutes')[8:] for time in found] == times


def test_an_hourly_run_comes_in_both_hours_of_the_longer_day():
    found = parse_schedule('30 * * * *', 'Europe/Berlin').next_times(
        datetime(2026, 10, 24, 23, 45, tzinfo=timezone.utc), count=3
    )

    assert [time.isoformat()[11:] for time in found] == [
        '02:30:00+02:00',
        '02:30:00+01:00',
        '03:30:00+01:00',
    ]


def test_in_the_second_of_two_equal_hours_the_next_time_is_not_in_the_first():
    second = datetime(2026, 10, 25, 1, 10, tzinfo=timezone.utc)  # 02:10, for the second time
    following = parse_schedule('30 2 * * *', 'Europe/Berlin').after(second)

    assert following.isoformat() == '2026-10-26T02:30:00+01:00'


@pytest.mark.parametrize(
    ('cron', 'six_fields'),
    [
        ('0 2 * * *', '0 0 2 * * *'),
        ('*/5 * * * *', '0 */5 * * * *'),
        ('0 9-12 * JAN *', '0 0 9,10,11,12 * 1 *'),
        ('*,5 2 * 10-10/2 *', f'0 {",".join(map(str, range(60)))} 2 * 10,12 *'),
        ('0 2 * * 7', '0 0 2 * * 0'),
        ('0 2 * * 5-7', '0 0 2 * * 0,5,6'),
        ('0 2 * * mon-fri', '0 0 2 * * 1,2,3,4,5'),
        ('0 2 * * 3/2', '0 0 2 * * 0,3,5'),
        ('0 2 */2 * MON', '0 0 2 */2 * 1'),
        ('0 2 28,*/9 * MON', '0 0 2 1,10,19,28 * 1'),
    ],
)
def test_kubeflow_gets_seconds_and_its_own_weekdays(cron, six_fields):
    assert parse_schedule(cron).kubeflow() == six_fields


@pytest.mark.parametrize('cron', ['0 2 L * *', '0 2 LW * *', '0 2 * * 5L', '0 2 * * MON#2'])
def test_what_kubeflow_does_not_know_is_refused(cron):
    assert parse_schedule(cron).after(NOON) > NOON

    with pytest.raises(ConfigError, match=r'is not known to Kubeflow; use .* without L, W and #$'):
        parse_schedule(cron).kubeflow()


@pytest.mark.parametrize('cron', ['0 2 *,3 * *', '0 2 * * */2,7'])
def test_a_list_of_days_that_begins_with_a_star_is_refused(cron):
    with pytest.raises(
        ConfigError, match=r'^day of .* is not known to Kubeflow; use a list without'
    ):
        parse_schedule(cron).kubeflow()


def test_a_time_zone_that_is_not_the_clusters_is_refused():
    berlin = parse_schedule('0 2 * * *', 'Europe/Berlin')

    with pytest.raises(ConfigError, match=r'^.0 2 \* \* \*. is meant in Europe/Berlin, but .* UTC'):
        berlin.kubeflow()
    assert berlin.kubeflow('Europe/Berlin') == '0 0 2 * * *'


def test_time_zones_with_equal_clocks_are_the_same():
    assert parse_schedule('0 2 * * *', 'Etc/UTC').kubeflow() == '0 0 2 * * *'
    with pytest.raises(ConfigError, match='is meant in Europe/London'):
        parse_schedule('0 2 * * *', 'Europe/London').kubeflow()


def test_an_hourly_schedule_is_the_same_wherever_the_minutes_are():
    assert parse_schedule('15 * * * *', 'Europe/Berlin').kubeflow() == '0 15 * * * *'
    with pytest.raises(ConfigError, match='is meant in Asia/Kolkata'):
        parse_schedule('15 * * * *', 'Asia/Kolkata').kubeflow()


def test_an_unknown_time_zone_of_the_cluster_is_refused():
    with pytest.raises(ConfigError, match="time zone 'Local' is not known"):
        parse_schedule('0 2 * * *').kubeflow('Local')
