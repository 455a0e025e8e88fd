//! Moments as ISO 8601 texts in UTC, as replay policies have them.

use base::Timestamp;

/// Reads `2026-11-23T08:05:09Z`, with or without a fraction of a second.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix('Z').unwrap_or(text).split_once('T')?;
    let [year, month, day] = numbers(date.split('-'))?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(clock.split(':'))?;
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let digits: i64 = fraction.parse().ok().filter(|digits| *digits >= 0)?;
    let scale = 10_i64.pow(u32::try_from(fraction.len()).ok()?);
    let ms = digits * 1000 / scale;
    Some(Timestamp(
        (((days_since_epoch(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000 + ms,
    ))
}

fn numbers<'a>(mut parts: impl Iterator<Item = &'a str>) -> Option<[i64; 3]> {
    let mut next = || -> Option<i64> {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 4 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        part.parse().ok()
    };
    let all = [next()?, next()?, next()?];
    parts.next().is_none().then_some(all)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Counted in years that begin with March, so that the leap day is a year's last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_clock_writes_is_read_back() {
        for moment in [0, 951_782_400_000, 1_795_420_000_123, 1_709_164_799_999] {
            assert_eq!(parse(&Timestamp(moment).iso8601()), Some(Timestamp(moment)));
        }
        assert_eq!(parse("1970-01-01T00:00:01Z"), Some(Timestamp(1000)));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in
            ["", "x", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-01-01", "2026-01-01T24:00:00Z"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
