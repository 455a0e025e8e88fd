//! The dates of SigV4: ISO 8601 basic format, and the HTTP `Date` form that may stand in for it.

use base::Timestamp;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `20150830T123600Z`.
pub(super) fn basic(moment: Timestamp) -> String {
    let (year, month, day, hour, minute, second, _) = moment.civil();
    let Some(year) = u16::try_from(year).ok().filter(|year| *year < 10_000) else {
        return format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z");
    };
    // Every signed request comes here: the formatting machinery would be a good part of the check.
    let mut text = String::with_capacity(16);
    push_two(&mut text, u8::try_from(year / 100).unwrap_or(0));
    push_two(&mut text, u8::try_from(year % 100).unwrap_or(0));
    push_two(&mut text, month);
    push_two(&mut text, day);
    text.push('T');
    [hour, minute, second].into_iter().for_each(|part| push_two(&mut text, part));
    text.push('Z');
    text
}

/// A number below 100 in two digits.
fn push_two(text: &mut String, number: u8) {
    text.push(char::from(b'0' + number / 10));
    text.push(char::from(b'0' + number % 10));
}

/// Reads `20150830T123600Z`.
pub(super) fn parse_basic(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    moment(
        digits(&bytes[0..4])?,
        digits(&bytes[4..6])?,
        digits(&bytes[6..8])?,
        [digits(&bytes[9..11])?, digits(&bytes[11..13])?, digits(&bytes[13..15])?],
    )
}

/// Reads `Mon, 09 Sep 2011 23:36:00 GMT`.
pub(super) fn parse_http(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if bytes.len() != 29 || &bytes[3..5] != b", " || &bytes[25..29] != b" GMT" {
        return None;
    }
    let month = MONTHS.iter().position(|name| name.as_bytes() == &bytes[8..11])?;
    moment(
        digits(&bytes[12..16])?,
        i64::try_from(month).ok()? + 1,
        digits(&bytes[5..7])?,
        [digits(&bytes[17..19])?, digits(&bytes[20..22])?, digits(&bytes[23..25])?],
    )
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0_i64, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
}

fn moment(year: i64, month: i64, day: i64, [hour, minute, second]: [i64; 3]) -> Option<Timestamp> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970-01-01 by years that start on 1 March (see `Timestamp::civil`).
    let shifted_year = year - i64::from(month <= 2);
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(Timestamp((days * 86_400 + hour * 3600 + minute * 60 + second) * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_the_same_moment() {
        let moment = parse_basic("20110909T233600Z").unwrap();
        assert_eq!(moment.iso8601(), "2011-09-09T23:36:00.000Z");
        assert_eq!(parse_http("Fri, 09 Sep 2011 23:36:00 GMT"), Some(moment));
        assert_eq!(basic(moment), "20110909T233600Z");
        assert_eq!(parse_basic("20000229T000000Z").unwrap().iso8601(), "2000-02-29T00:00:00.000Z");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "20110909",
            "20111309T233600Z",
            "20110909T243600Z",
            "2011-09-09T23:36:00Z",
            "2011090xT233600Z",
        ] {
            assert_eq!(parse_basic(text), None, "{text}");
        }
        assert_eq!(parse_http("Fri, 09 Xxx 2011 23:36:00 GMT"), None);
    }
}
