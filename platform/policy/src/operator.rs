//! Conditions: the operators, and whether they hold for a request.
//!
//! A key that a request does not have makes a comparison false and its negation true; `..IfExists` makes both true.
//! `ForAllValues:` and `ForAnyValue:` are for keys with several values: the first holds when there is none, the second
//! does not.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>,
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html>.

use std::cmp::Ordering;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::check::Flaw;
use crate::context::{Request, Values};
use crate::document::{Conditions, OneOrMany, Pairs, Scalar};
use crate::values::{Block, date, number};
use crate::wildcard::Filled;

/// What an operator compares, without its prefix and suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equals,
    EqualsIgnoringCase,
    Like,
    Number(Order),
    Date(Order),
    Bool,
    Binary,
    Address,
    Arn,
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    /// `Equals`, `NotEquals`, `LessThan` ...: the order, and whether it is negated.
    fn read(name: &str) -> Option<(Self, bool)> {
        Some(match name {
            "Equals" => (Order::Equal, false),
            "NotEquals" => (Order::Equal, true),
            "LessThan" => (Order::Less, false),
            "LessThanEquals" => (Order::LessOrEqual, false),
            "GreaterThan" => (Order::Greater, false),
            "GreaterThanEquals" => (Order::GreaterOrEqual, false),
            _ => return None,
        })
    }

    /// Whether what was found stands so to what is wanted.
    fn holds(self, found: Option<Ordering>) -> bool {
        match self {
            Order::Equal => found == Some(Ordering::Equal),
            Order::Less => found == Some(Ordering::Less),
            Order::LessOrEqual => matches!(found, Some(Ordering::Less | Ordering::Equal)),
            Order::Greater => found == Some(Ordering::Greater),
            Order::GreaterOrEqual => matches!(found, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

/// How a key with several values is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    /// Without a prefix: meant for keys of one value.
    One,
    /// `ForAllValues:`.
    All,
    /// `ForAnyValue:`.
    Any,
}

#[derive(Clone, Copy, Debug)]
struct Operator {
    set: Set,
    comparison: Comparison,
    negated: bool,
    /// `..IfExists`.
    if_exists: bool,
}

impl Operator {
    fn read(name: &str) -> Option<Self> {
        let (set, name) = match name.split_once(':') {
            Some(("ForAllValues", name)) => (Set::All, name),
            Some(("ForAnyValue", name)) => (Set::Any, name),
            Some(_) => return None,
            None => (Set::One, name),
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (comparison, negated) = match name {
            "StringEquals" => (Comparison::Equals, false),
            "StringNotEquals" => (Comparison::Equals, true),
            "StringEqualsIgnoreCase" => (Comparison::EqualsIgnoringCase, false),
            "StringNotEqualsIgnoreCase" => (Comparison::EqualsIgnoringCase, true),
            "StringLike" => (Comparison::Like, false),
            "StringNotLike" => (Comparison::Like, true),
            "ArnEquals" | "ArnLike" => (Comparison::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Comparison::Arn, true),
            "Bool" => (Comparison::Bool, false),
            "BinaryEquals" => (Comparison::Binary, false),
            "IpAddress" => (Comparison::Address, false),
            "NotIpAddress" => (Comparison::Address, true),
            "Null" if !if_exists => (Comparison::Null, false),
            _ => {
                if let Some(order) = name.strip_prefix("Numeric") {
                    let (order, negated) = Order::read(order)?;
                    (Comparison::Number(order), negated)
                } else {
                    let (order, negated) = Order::read(name.strip_prefix("Date")?)?;
                    (Comparison::Date(order), negated)
                }
            }
        };
        Some(Operator { set, comparison, negated, if_exists })
    }

    fn holds(self, wanted: &Wanted<'_>, found: Option<&Values<'_>>) -> bool {
        let found = found.map(Values::items).filter(|found| !found.is_empty());
        if self.comparison == Comparison::Null {
            return wanted
                .any(|wanted| wanted.eq_ignore_ascii_case(if found.is_none() { "true" } else { "false" }));
        }
        let Some(found) = found else {
            return self.if_exists || self.set == Set::All || (self.negated && self.set == Set::One);
        };
        let is_wanted = |found: &str| wanted.matches(self.comparison, found);
        match self.set {
            Set::One => found.iter().any(|found| is_wanted(found)) != self.negated,
            Set::All => found.iter().all(|found| is_wanted(found) != self.negated),
            Set::Any => found.iter().any(|found| is_wanted(found) != self.negated),
        }
    }
}

impl Comparison {
    /// Whether a policy may have this value.
    fn takes(self, wanted: &str) -> bool {
        match self {
            Comparison::Equals | Comparison::EqualsIgnoringCase | Comparison::Like | Comparison::Arn => true,
            Comparison::Number(_) => number(wanted).is_some(),
            Comparison::Date(_) => date(wanted).is_some(),
            Comparison::Bool | Comparison::Null => {
                ["true", "false"].iter().any(|truth| wanted.eq_ignore_ascii_case(truth))
            }
            Comparison::Binary => STANDARD.decode(wanted).is_ok(),
            Comparison::Address => Block::read(wanted).is_some(),
        }
    }
}

/// The values of a policy for one key.
struct Wanted<'a> {
    values: &'a [Scalar],
    request: &'a Request<'a>,
    has_variables: bool,
}

impl Wanted<'_> {
    fn any(&self, is: impl Fn(&str) -> bool) -> bool {
        self.values.iter().any(|wanted| is(&wanted.text()))
    }

    /// Any value, its variables filled in; one that cannot be is like nothing.
    fn any_filled(&self, is: impl Fn(Filled<'_>) -> bool) -> bool {
        self.any(|wanted| Filled::of(wanted, self.request, self.has_variables).is_some_and(&is))
    }

    fn matches(&self, comparison: Comparison, found: &str) -> bool {
        match comparison {
            Comparison::Equals => self.any_filled(|wanted| wanted.plain() == found),
            Comparison::EqualsIgnoringCase => self.any_filled(|wanted| same_letters(&wanted.plain(), found)),
            Comparison::Like => self.any_filled(|wanted| wanted.is_like(found)),
            Comparison::Arn => self.any_filled(|wanted| wanted.is_like_arn(found)),
            Comparison::Bool => self.any(|wanted| wanted.eq_ignore_ascii_case(found)),
            Comparison::Number(order) => {
                let found = number(found);
                self.any(|wanted| order.holds(found.zip(number(wanted)).and_then(|(f, w)| f.partial_cmp(&w))))
            }
            Comparison::Date(order) => {
                let found = date(found);
                self.any(|wanted| {
                    order.holds(found.zip(date(wanted)).map(|(found, wanted)| found.cmp(&wanted)))
                })
            }
            Comparison::Binary => {
                let found = STANDARD.decode(found).ok();
                found
                    .is_some_and(|found| self.any(|wanted| STANDARD.decode(wanted).is_ok_and(|w| w == found)))
            }
            Comparison::Address => {
                let found = found.parse::<IpAddr>().ok();
                found.is_some_and(|found| {
                    self.any(|wanted| Block::read(wanted).is_some_and(|block| block.contains(found)))
                })
            }
            // It looks at whether there is a value, not at the value.
            Comparison::Null => false,
        }
    }
}

fn same_letters(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || one.to_lowercase() == other.to_lowercase()
}

/// Refuses what could not be evaluated.
pub(crate) fn check(operator: &str, keys: &Pairs<OneOrMany<Scalar>>) -> Result<(), Flaw> {
    let Some(read) = Operator::read(operator) else { return Err(Flaw::Operator(operator.to_owned())) };
    for (key, wanted) in &keys.0 {
        if !key.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty()) {
            return Err(Flaw::Key(key.clone()));
        }
        if let Some(value) = wanted.items().iter().find(|value| !read.comparison.takes(&value.text())) {
            let value = value.text().into_owned();
            return Err(Flaw::Value { operator: operator.to_owned(), value });
        }
    }
    Ok(())
}

/// Whether every condition holds. What cannot be evaluated (it cannot have been stored) holds for nobody.
pub(crate) fn all_hold(conditions: &Conditions, request: &Request<'_>, has_variables: bool) -> bool {
    conditions.0.iter().all(|(operator, keys)| {
        let Some(operator) = Operator::read(operator) else { return false };
        keys.0.iter().all(|(key, wanted)| {
            let wanted = Wanted { values: wanted.items(), request, has_variables };
            operator.holds(&wanted, request.values(key).as_ref())
        })
    })
}
