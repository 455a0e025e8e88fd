//! Patterns: `*` and `?`, and the variables that a request fills in (`${aws:username}`).
//!
//! What a variable stands for is text, never a wildcard.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>.

use std::borrow::Cow;

use crate::context::Request;

/// In a pattern whose variables were filled in, wildcards are bytes that no UTF-8 text has.
const STAR: u8 = 0xff;
const ONE: u8 = 0xfe;

/// `*` is any text, `?` any one character. Linear in both but for the last `*`, which is tried again.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    glob(pattern.as_bytes(), text.as_bytes(), b'*', b'?')
}

fn glob(pattern: &[u8], text: &[u8], many: u8, one: u8) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(byte) if *byte == many => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == one => (p, t) = (p + 1, after_char(text, t)),
            Some(byte) if *byte == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                (p, t) = (at + 1, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == many)
}

/// Where the next character of UTF-8 text begins.
fn after_char(text: &[u8], at: usize) -> usize {
    let follows = text[at + 1..].iter().take_while(|byte| **byte & 0xc0 == 0x80).count();
    at + 1 + follows
}

/// A policy's text with its variables filled in, to be held against a request's.
#[derive(Debug)]
pub(crate) enum Filled<'a> {
    /// There was none.
    AsIs(&'a str),
    /// Wildcards are [`STAR`] and [`ONE`].
    Made(Vec<u8>),
}

impl<'a> Filled<'a> {
    /// Fills in the variables, if the policy's version has any. `None` when a request lacks one of them and there is no
    /// default: such a text is like no other.
    pub(crate) fn of(text: &'a str, request: &Request<'_>, has_variables: bool) -> Option<Self> {
        if !has_variables || !text.contains("${") {
            return Some(Filled::AsIs(text));
        }
        let mut made = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, variable, after)) = next_variable(rest) {
            push_pattern(&mut made, before);
            made.extend_from_slice(value_of(variable, request)?.as_bytes());
            rest = after;
        }
        push_pattern(&mut made, rest);
        Some(Filled::Made(made))
    }

    /// Whether the text is like this one, wildcards considered.
    pub(crate) fn is_like(&self, text: &str) -> bool {
        match self {
            Filled::AsIs(pattern) => matches(pattern, text),
            Filled::Made(pattern) => glob(pattern, text.as_bytes(), STAR, ONE),
        }
    }

    /// The text as it is; a `*` is a `*`.
    pub(crate) fn plain(self) -> Cow<'a, str> {
        match self {
            Filled::AsIs(text) => Cow::Borrowed(text),
            Filled::Made(mut bytes) => {
                for byte in &mut bytes {
                    match *byte {
                        STAR => *byte = b'*',
                        ONE => *byte = b'?',
                        _ => {}
                    }
                }
                Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
            }
        }
    }

    /// Whether an ARN is like this one: the six fields are compared apart, so that a `*` does not reach over a colon of
    /// the first five. A lone `*` is any.
    pub(crate) fn is_like_arn(&self, arn: &str) -> bool {
        let (bytes, many, one) = match self {
            Filled::AsIs(text) => (text.as_bytes(), b'*', b'?'),
            Filled::Made(bytes) => (bytes.as_slice(), STAR, ONE),
        };
        let fields = |text: &'_ [u8]| -> usize { text.splitn(6, |byte| *byte == b':').count() };
        if bytes == [many] {
            return true;
        }
        fields(bytes) == fields(arn.as_bytes())
            && bytes
                .splitn(6, |byte| *byte == b':')
                .zip(arn.as_bytes().splitn(6, |byte| *byte == b':'))
                .all(|(pattern, field)| glob(pattern, field, many, one))
    }

    /// Whether a resource's ARN is like this one. Fields that the pattern lacks are as if they were `*`.
    pub(crate) fn is_like_resource(&self, arn: &str) -> bool {
        if self.is_like(arn) {
            return true;
        }
        let (bytes, many, one) = match self {
            Filled::AsIs(text) => (text.as_bytes(), b'*', b'?'),
            Filled::Made(bytes) => (bytes.as_slice(), STAR, ONE),
        };
        if !bytes.starts_with(b"arn:") || bytes.iter().filter(|byte| **byte == b':').count() >= 5 {
            return false;
        }
        let completed = [bytes, b":", &[many]].concat();
        glob(&completed, arn.as_bytes(), many, one)
    }
}

/// The text before the first variable, the variable without its brackets, and what follows.
fn next_variable(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("${")?;
    let (variable, after) = rest.split_once('}')?;
    Some((before, variable, after))
}

fn push_pattern(made: &mut Vec<u8>, text: &str) {
    made.extend(text.bytes().map(|byte| match byte {
        b'*' => STAR,
        b'?' => ONE,
        byte => byte,
    }));
}

/// `aws:username`, or `aws:username, 'nobody'`; `*`, `?` and `$` stand for themselves.
fn value_of<'r>(variable: &'r str, request: &'r Request<'_>) -> Option<Cow<'r, str>> {
    if matches!(variable, "*" | "?" | "$") {
        return Some(Cow::Borrowed(variable));
    }
    let (key, default) = match variable.split_once(',') {
        Some((key, default)) => (key.trim(), Some(default.trim())),
        None => (variable.trim(), None),
    };
    let quoted = |text: &'r str| text.strip_prefix('\'')?.strip_suffix('\'');
    let default = || default.and_then(quoted).map(Cow::Borrowed);
    match request.single(key) {
        Some(value) => Some(value),
        None => default(),
    }
}

#[cfg(test)]
mod tests {
    use base::Principal;

    use super::*;

    #[test]
    fn wildcards_match_as_iam_says() {
        for (pattern, text) in
            [("*", ""), ("a*c", "abbc"), ("a?c", "abc"), ("*:x*y", "a:xx:y"), ("", ""), ("a?b", "aéb")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("a", "b"), ("a*c", "abd"), ("a?", "a"), ("", "a"), ("*b", "a"), ("a??b", "aéb")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        let long = format!("{}b", "a*".repeat(50));
        assert!(!matches(&long, &"a".repeat(2000)), "not exponential");
    }

    fn filled(text: &str) -> Option<String> {
        let ann = Principal::User { account: "111122223333".parse().unwrap(), name: "ann*".into() };
        let request = Request::new("sqs:SendMessage", &ann, "arn");
        Filled::of(text, &request, true).map(|filled| filled.plain().into_owned())
    }

    #[test]
    fn variables_are_filled_in() {
        assert_eq!(filled("a/${aws:username}/${AWS:PrincipalAccount}").unwrap(), "a/ann*/111122223333");
        assert_eq!(filled("${aws:PrincipalTag/team, 'all'}/x").unwrap(), "all/x");
        assert_eq!(filled("${aws:username,'all'}").unwrap(), "ann*");
        assert_eq!(filled("${aws:PrincipalTag/team}"), None);
        assert_eq!(filled("${$}{${*}${?}").unwrap(), "${*?");
        assert_eq!(filled("${open").unwrap(), "${open");
    }

    #[test]
    fn a_variables_value_is_no_pattern() {
        let ann = Principal::User { account: "111122223333".parse().unwrap(), name: "a*".into() };
        let request = Request::new("sqs:SendMessage", &ann, "arn");
        let filled = Filled::of("${aws:username}-*", &request, true).unwrap();
        assert!(filled.is_like("a*-queue") && !filled.is_like("ab-queue"));
        let literal = Filled::of("${*}-*", &request, true).unwrap();
        assert!(literal.is_like("*-x") && !literal.is_like("y-x"));
        let old = Filled::of("${aws:username}", &request, false).unwrap();
        assert!(old.is_like("${aws:username}"), "the version of 2008 has none");
    }

    #[test]
    fn arns_are_compared_field_by_field() {
        let topic = "arn:aws:sns:us-east-1:111122223333:topic";
        let like = |pattern: &str, arn: &str| Filled::AsIs(pattern).is_like_arn(arn);
        assert!(like(topic, topic) && like("*", topic));
        assert!(like("arn:aws:sns:*:111122223333:t?pic", topic));
        assert!(like("arn:aws:sns:us-east-1:111122223333:*", "arn:aws:sns:us-east-1:111122223333:a:b"));
        assert!(!like("arn:aws:*:topic", topic));
        assert!(!like("arn:aws:sns:us-east-1:111122223333:topi", topic));
        assert!(like("arn:aws:s3:::bucket", "arn:aws:s3:::bucket"));
    }

    #[test]
    fn an_arn_that_is_cut_short_is_completed() {
        let queue = "arn:aws:sqs:us-east-1:111122223333:queue";
        let like = |pattern: &str| Filled::AsIs(pattern).is_like_resource(queue);
        assert!(like("*") && like(queue) && like("arn:aws:sqs:*:*:que*"));
        assert!(like("arn:aws:sqs") && like("arn:aws:sqs:us-east-1") && like("arn:aws:sqs:*:111122223333"));
        assert!(!like("arn:aws:sns") && !like("arn:aws:sqs:us-east-1:111122223333:que"));
    }
}
