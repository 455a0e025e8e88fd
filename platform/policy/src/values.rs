//! Numbers, dates and addresses as policies write them.
//!
//! Dates are ISO 8601 in the forms of W3C's note, or seconds since 1970; addresses are CIDR blocks of both families.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>.

use std::net::IpAddr;

const DAY_MS: i64 = 86_400_000;

/// A decimal number.
pub(crate) fn number(text: &str) -> Option<f64> {
    let sound = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    text.bytes().all(sound).then(|| text.parse().ok()).flatten().filter(|number: &f64| number.is_finite())
}

/// A date, in milliseconds since 1970.
pub(crate) fn date(text: &str) -> Option<i64> {
    if !text.contains(['T', '-']) && text.len() > 4
        || text.strip_prefix('-').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    {
        let seconds = number(text)?;
        // A cast from a float is bounded.
        return Some((seconds * 1000.0) as i64);
    }
    let (day, time) = match text.split_once('T') {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    let midnight_ms = days(day)?.checked_mul(DAY_MS)?;
    let Some(time) = time else { return Some(midnight_ms) };
    let (clock, offset_min) = zone(time)?;
    Some(midnight_ms + time_of_day_ms(clock)? - offset_min * 60_000)
}

/// Days since 1970 of `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
fn days(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = parts.next().map_or(Some(1), |month| digits(month, 2))?;
    let day = parts.next().map_or(Some(1), |day| digits(day, 2))?;
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    // Counted from 1 March of the year 0, so that a leap day is the last of its year.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400);
    Some(365 * y + leap_days + (153 * m + 2) / 5 + day - 1 - 719_468)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The time without its zone, and how many minutes it is ahead of UTC.
fn zone(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let at = time.rfind(['+', '-'])?;
    let (clock, offset) = time.split_at(at);
    let (hours, minutes) = offset[1..].split_once(':').or_else(|| offset.get(1..3).zip(offset.get(3..)))?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    let ahead = hours * 60 + minutes;
    Some((clock, if offset.starts_with('-') { -ahead } else { ahead }))
}

/// `hh:mm`, `hh:mm:ss` or `hh:mm:ss.f...`.
fn time_of_day_ms(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let (second, fraction) = match parts.next() {
        Some(second) => second.split_once('.').unwrap_or((second, "0")),
        None => ("00", "0"),
    };
    let second = digits(second, 2)?;
    let sound = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 || !sound {
        return None;
    }
    let millis: i64 = format!("{fraction:0<3.3}").parse().ok()?;
    Some(((hour * 60 + minute) * 60 + second) * 1000 + millis)
}

fn digits(text: &str, many: usize) -> Option<i64> {
    (text.len() == many && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// A block of addresses; a lone address is a block of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    address: IpAddr,
    prefix_bits: u32,
}

impl Block {
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            Some(prefix) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => prefix.parse().ok()?,
            Some(_) => return None,
            None => widest,
        };
        (prefix_bits <= widest).then_some(Block { address, prefix_bits })
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(block), IpAddr::V4(address)) => {
                let differ = block.to_bits() ^ address.to_bits();
                differ.checked_shr(32 - self.prefix_bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(block), IpAddr::V6(address)) => {
                let differ = block.to_bits() ^ address.to_bits();
                differ.checked_shr(128 - self.prefix_bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use base::Timestamp;

    use super::*;

    #[test]
    fn dates_are_read_in_all_forms() {
        for (text, ms) in [
            ("1970", 0),
            ("1970-02", 31 * DAY_MS),
            ("2026-11-23", 1_795_392_000_000),
            ("2026-11-23T07:46Z", 1_795_419_960_000),
            ("2026-11-23T07:46:40Z", 1_795_420_000_000),
            ("2026-11-23T07:46:40.123Z", 1_795_420_000_123),
            ("2026-11-23T07:46:40.5Z", 1_795_420_000_500),
            ("2026-11-23T09:46:40+02:00", 1_795_420_000_000),
            ("2026-11-23T03:16:40-0430", 1_795_420_000_000),
            ("1795420000", 1_795_420_000_000),
            ("1795420000.25", 1_795_420_000_250),
            ("2000-02-29", 951_782_400_000),
            ("1969-12-31T23:59:59Z", -1000),
        ] {
            assert_eq!(date(text), Some(ms), "{text}");
        }
        for none in [
            "",
            "today",
            "2026-13",
            "2026-02-29",
            "2026-11-23T07Z",
            "2026-11-23T25:00Z",
            "2026-11-23T07:46",
            "26-1-1",
        ] {
            assert_eq!(date(none), None, "{none}");
        }
        for ms in [0, 951_782_400_000, 1_795_420_000_123, 4_102_444_799_999] {
            assert_eq!(date(&Timestamp(ms).iso8601()), Some(ms));
        }
    }

    #[test]
    fn numbers_are_decimal() {
        assert_eq!((number("10"), number("-0.5"), number("1e3")), (Some(10.0), Some(-0.5), Some(1000.0)));
        for none in ["", "ten", "inf", "NaN", "0x10", "1e999"] {
            assert_eq!(number(none), None, "{none}");
        }
    }

    #[test]
    fn blocks_hold_their_addresses() {
        let holds =
            |block: &str, address: &str| Block::read(block).unwrap().contains(address.parse().unwrap());
        assert!(holds("203.0.113.0/24", "203.0.113.255") && !holds("203.0.113.0/24", "203.0.114.0"));
        assert!(holds("203.0.113.7/24", "203.0.113.255"), "bits beyond the prefix do not count");
        assert!(holds("0.0.0.0/0", "8.8.8.8") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("192.0.2.1", "192.0.2.1") && !holds("192.0.2.1", "192.0.2.2"));
        assert!(holds("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(holds("2001:db8:1234:5678::/64", "2001:db8:1234:5678::9"));
        assert!(!holds("2001:db8:1234:5678::/64", "2001:db8:1234:5679::9") && holds("::/0", "::1"));
        for none in ["", "10.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "::/129", "host"] {
            assert_eq!(Block::read(none), None, "{none}");
        }
    }
}
