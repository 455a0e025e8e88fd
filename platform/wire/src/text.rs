//! Simple values as text: in paths, query strings, headers, forms and XML. Timestamp formats and percent-decoding.
//!
//! Formats: <https://smithy.io/2.0/spec/protocol-traits.html#timestampformat-trait>.

use std::borrow::Cow;

use base::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use model::{Kind, Shape, TimeFormat};
use percent_encoding::percent_decode_str;

use crate::Doc;

/// A text that is no value of its member's type. The message is what the client reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadText(pub(crate) String);

/// Reads a simple value.
pub(crate) fn parse(shape: &Shape, text: &str, format: TimeFormat) -> Result<Doc, BadText> {
    let bad = |article: &str| BadText(format!("STRING_VALUE can not be converted to {article}"));
    let trimmed = text.trim();
    Ok(match shape.kind {
        Kind::String => Doc::Str(text.to_owned()),
        Kind::Boolean => match trimmed {
            "true" | "True" | "TRUE" | "1" => Doc::Bool(true),
            "false" | "False" | "FALSE" | "0" => Doc::Bool(false),
            _ => return Err(bad("a Boolean")),
        },
        Kind::Integer => Doc::Int(trimmed.parse::<i32>().map_err(|_| bad("an Integer"))?.into()),
        Kind::Long => Doc::Int(trimmed.parse().map_err(|_| bad("a Long"))?),
        Kind::Float => Doc::Float(trimmed.parse().map_err(|_| bad("a Double"))?),
        Kind::Timestamp => {
            let format = shape.time_format.unwrap_or(format);
            Doc::Time(parse_time(trimmed, format).ok_or_else(|| bad("a Timestamp"))?)
        }
        Kind::Blob => Doc::Blob(decode_base64(trimmed)?),
        Kind::Structure | Kind::Union | Kind::List | Kind::Map | Kind::Document => {
            return Err(BadText(
                "a simple value was found where a structure, list or map is expected".into(),
            ));
        }
    })
}

/// Writes a simple value; containers have no text.
pub(crate) fn write(shape: &Shape, value: &Doc, format: TimeFormat) -> Option<String> {
    Some(match value {
        Doc::Bool(value) => value.to_string(),
        Doc::Int(number) => itoa::Buffer::new().format(*number).to_owned(),
        Doc::Float(number) => float(*number),
        Doc::Str(text) => text.clone(),
        Doc::Blob(bytes) => BASE64.encode(bytes),
        Doc::Time(moment) => write_time(*moment, shape.time_format.unwrap_or(format)),
        Doc::Null | Doc::List(_) | Doc::Map(_) => return None,
    })
}

/// A number with a fraction, as the protocols write it.
pub(crate) fn float(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        ryu::Buffer::new().format_finite(number).to_owned()
    }
}

/// Base64 with or without padding.
pub(crate) fn decode_base64(text: &str) -> Result<Bytes, BadText> {
    use base64::engine::DecodePaddingMode;
    use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let decoded = LENIENT.decode(text).or_else(|error| {
        // Line breaks are allowed between the characters; they are rare, so they cost only those who send them.
        if !text.contains(['\n', '\r']) {
            return Err(error);
        }
        LENIENT.decode(text.replace(['\n', '\r'], ""))
    });
    decoded.map(Bytes::from).map_err(|_| BadText("the value is not valid base64".to_owned()))
}

/// Decodes `%41`. The text must be UTF-8 in the end.
pub(crate) fn decode_percent(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

/// Decodes a part of a form or query string, where `+` is a space.
pub(crate) fn decode_form(text: &str) -> Option<String> {
    if text.contains('+') { decode_percent(&text.replace('+', " ")) } else { decode_percent(text) }
}

/// The decoded pairs of a form or query string; `None` when one is not UTF-8.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = Option<(String, String)>> + '_ {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode_form(name)?, decode_form(value)?))
    })
}

/// Writes a moment.
pub(crate) fn write_time(moment: Timestamp, format: TimeFormat) -> String {
    match format {
        TimeFormat::EpochSeconds => epoch(moment),
        TimeFormat::DateTime => {
            let text = moment.iso8601();
            match text.strip_suffix(".000Z") {
                Some(whole) => format!("{whole}Z"),
                None => text,
            }
        }
        TimeFormat::HttpDate => http_date(moment),
    }
}

/// Seconds with the milliseconds as a fraction, where there are any.
pub(crate) fn epoch(moment: Timestamp) -> String {
    let (seconds, millis) = (moment.0.div_euclid(1000), moment.0.rem_euclid(1000));
    if millis == 0 {
        return seconds.to_string();
    }
    if seconds < 0 {
        // -0.5 s is stored as second -1 and millisecond 500.
        return float(moment.as_secs_f64());
    }
    format!("{seconds}.{millis:03}")
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn http_date(moment: Timestamp) -> String {
    let (year, month, day, hour, minute, second, _) = moment.civil();
    let weekday = moment.0.div_euclid(86_400_000).rem_euclid(7);
    let weekday = usize::try_from(weekday).ok().and_then(|at| DAYS.get(at)).unwrap_or(&"");
    let month = MONTHS.get(usize::from(month).saturating_sub(1)).unwrap_or(&"");
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Reads a moment; the other formats are tried when the expected one does not fit, as AWS does.
pub(crate) fn parse_time(text: &str, format: TimeFormat) -> Option<Timestamp> {
    let read = |format| match format {
        TimeFormat::EpochSeconds => text.parse::<f64>().ok().and_then(from_epoch),
        TimeFormat::DateTime => parse_date_time(text),
        TimeFormat::HttpDate => parse_http_date(text),
    };
    let others = [TimeFormat::DateTime, TimeFormat::EpochSeconds, TimeFormat::HttpDate];
    read(format).or_else(|| others.into_iter().filter(|other| *other != format).find_map(read))
}

/// Seconds to a moment, rounded to the millisecond.
pub(crate) fn from_epoch(seconds: f64) -> Option<Timestamp> {
    let millis = (seconds * 1000.0).round();
    // Up to the year 9999 and as far back: beyond, no format of ours can write it.
    if !(-377_705_116_800_000.0..=253_402_300_799_999.0).contains(&millis) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation)] // the range is checked above
    let millis = millis as i64;
    Some(Timestamp(millis))
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar; `None` for a date that does not exist.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) || !(0..=9999).contains(&year) {
        return None;
    }
    // Years start in March here, so that the leap day is the last one.
    let shifted_year = year - i64::from(month <= 2);
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn moment(date: (i64, i64, i64), time: &str, offset_min: i64) -> Option<Timestamp> {
    let mut parts = time.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let seconds = parts.next()?;
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let second = digits(whole, 2)?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut millis = 0;
    for place in 0..3 {
        let digit = fraction
            .as_bytes()
            .get(place)
            .map_or(Some(0), |b| b.is_ascii_digit().then(|| i64::from(b - b'0')))?;
        millis = millis * 10 + digit;
    }
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let days = days_from_civil(date.0, date.1, date.2)?;
    Some(Timestamp(((days * 24 + hour) * 60 + minute - offset_min) * 60_000 + second * 1000 + millis))
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let good = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    if good { text.parse().ok() } else { None }
}

fn parse_date_time(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00:00:00Z"));
    let mut parts = date.splitn(3, '-');
    let date = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if let Some(utc) = time.strip_suffix(['Z', 'z']) {
        return moment(date, utc, 0);
    }
    let Some(at) = time.rfind(['+', '-']) else { return moment(date, time, 0) };
    let (clock, zone) = time.split_at(at);
    let (hours, minutes) = zone[1..].split_once(':').or_else(|| zone[1..].split_at_checked(2))?;
    let offset = digits(hours, 2)? * 60 + digits(minutes, 2)?;
    moment(date, clock, if zone.starts_with('-') { -offset } else { offset })
}

fn parse_http_date(text: &str) -> Option<Timestamp> {
    let rest = text.split_once(", ").map_or(text, |(_, rest)| rest);
    let mut parts = rest.split_ascii_whitespace();
    let day = digits(parts.next()?, 2)?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| *month == name)?;
    let year = digits(parts.next()?, 4)?;
    moment((year, i64::try_from(month).ok()? + 1, day), parts.next()?, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_every_format() {
        for millis in [0, 951_782_400_000, 1_795_420_000_000, -86_400_000, 1_795_420_000_123] {
            for format in [TimeFormat::EpochSeconds, TimeFormat::DateTime, TimeFormat::HttpDate] {
                let text = write_time(Timestamp(millis), format);
                let back = parse_time(&text, format).unwrap();
                let lost = if format == TimeFormat::HttpDate { millis.rem_euclid(1000) } else { 0 };
                assert_eq!(back.0, millis - lost, "{text}");
            }
        }
        assert_eq!(
            write_time(Timestamp(1_795_420_000_000), TimeFormat::HttpDate),
            "Mon, 23 Nov 2026 07:46:40 GMT"
        );
        assert_eq!(write_time(Timestamp(1_795_420_000_120), TimeFormat::EpochSeconds), "1795420000.120");
    }

    #[test]
    fn zones_and_nonsense() {
        let time = |text| parse_time(text, TimeFormat::DateTime).map(|t| t.0);
        assert_eq!(time("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(time("1970-01-01T00:00:00.5Z"), Some(500));
        for nonsense in ["2026-02-30T00:00:00Z", "yesterday", "2026-11-23T25:00:00Z", "1e400", "NaN", ""] {
            assert_eq!(time(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn forms_decode_plus_and_percent() {
        let decoded: Vec<_> = pairs("a=1+2&b=%2B&&c").map(Option::unwrap).collect();
        let expected = [("a", "1 2"), ("b", "+"), ("c", "")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(decoded, expected);
        assert_eq!(pairs("a=%FF").next(), Some(None));
    }
}
