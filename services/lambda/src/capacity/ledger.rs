//! What is set apart in an account and region, read from the rows of its functions; and whether more can be.
//!
//! It is read within the transaction that changes something, so that two requests never both get the last of it. That
//! costs two short reads for each function that has aspects, which is fine for what people do by hand.

use std::collections::BTreeMap;

use base::AccountId;
use bytes::Bytes;
use store::{Key, Range, value};

use super::{Provisioned, Reserved};
use crate::aspects::Aspect;
use crate::error::LambdaError;
use crate::keys::{self, Space, V1};

/// AWS keeps so much of an account's concurrency for functions without a reservation.
const MIN_UNRESERVED: u32 = 100;

/// What is set apart for one function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SetApart {
    pub(crate) reserved: Option<u32>,
    /// By version or alias.
    pub(crate) provisioned: BTreeMap<String, Provisioned>,
}

impl SetApart {
    /// What all its provisioned concurrency comes to, without the one at `but`.
    fn provisioned_but(&self, but: Option<&str>) -> i64 {
        let others = self.provisioned.iter().filter(|(at, _)| Some(at.as_str()) != but);
        others.map(|(_, provisioned)| i64::from(provisioned.count)).sum()
    }

    /// What it takes out of the part that all functions share.
    fn total(&self) -> i64 {
        self.reserved.map_or_else(|| self.provisioned_but(None), i64::from)
    }
}

/// All functions of an account in a region for which something is set apart, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    functions: BTreeMap<String, SetApart>,
}

/// Reads a range of a transaction or of the store.
type Read<'a, E> = &'a dyn Fn(Range) -> Result<Vec<(Bytes, Bytes)>, E>;

impl Ledger {
    /// Reads the whole account.
    pub(crate) fn read<E: From<store::ValueError>>(space: &Space, read: Read<'_, E>) -> Result<Self, E> {
        let mut ledger = Ledger::default();
        let mut rest = space.all_aspects().range().limit(1);
        // From function to function: what else they have is not read.
        while let Some((key, _)) = read(rest.clone())?.pop() {
            let Some(name) = keys::aspect_owner_of(&key) else { break };
            rest.from = space.aspects(&name).prefix_end();
            let apart = read_one(space, &name, read)?;
            if apart != SetApart::default() {
                ledger.functions.insert(name, apart);
            }
        }
        Ok(ledger)
    }

    /// The names of the functions for which something is set apart.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }

    /// What of `limit` is left for functions for which nothing is set apart.
    pub(crate) fn unreserved(&self, limit: u32) -> u32 {
        let left = self.left(limit, None);
        u32::try_from(left.max(0)).unwrap_or(u32::MAX)
    }

    fn left(&self, limit: u32, but: Option<&str>) -> i64 {
        let others = self.functions.iter().filter(|(name, _)| Some(name.as_str()) != but);
        i64::from(limit) - others.map(|(_, apart)| apart.total()).sum::<i64>()
    }

    /// Whether a function may have `count` reserved.
    ///
    /// # Errors
    /// `InvalidParameterValueException` in AWS's words.
    pub(crate) fn check_reserved(&self, name: &str, count: u32, limit: u32) -> Result<(), LambdaError> {
        let provisioned = self.functions.get(name).map_or(0, |apart| apart.provisioned_but(None));
        if count > 0 && i64::from(count) < provisioned {
            // The blanks are AWS's.
            return Err(LambdaError::InvalidParameter(format!(
                " ReservedConcurrentExecutions  {count} should not be lower than function's total provisioned \
                 concurrency [{provisioned}]."
            )));
        }
        self.check_left(
            "ReservedConcurrentExecutions",
            self.left(limit, Some(name)) - i64::from(count),
            limit,
        )
    }

    /// Whether a version or alias may have `count` provisioned, instead of what it has.
    ///
    /// # Errors
    /// `InvalidParameterValueException` in AWS's words.
    pub(crate) fn check_provisioned(
        &self,
        name: &str,
        at: &str,
        count: u32,
        limit: u32,
    ) -> Result<(), LambdaError> {
        let own = self.functions.get(name).cloned().unwrap_or_default();
        let together = own.provisioned_but(Some(at)) + i64::from(count);
        match own.reserved {
            Some(reserved) if together > i64::from(reserved) => Err(LambdaError::InvalidParameter(
                "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for \
                 function"
                    .to_owned(),
            )),
            Some(_) => Ok(()),
            None if count > limit => Err(LambdaError::InvalidParameter(format!(
                "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency \
                 [{limit}]."
            ))),
            None => self.check_left("ConcurrentExecutions", self.left(limit, Some(name)) - together, limit),
        }
    }

    fn check_left(&self, what: &str, left: i64, limit: u32) -> Result<(), LambdaError> {
        let least = MIN_UNRESERVED.min(limit);
        if left >= i64::from(least) {
            return Ok(());
        }
        Err(LambdaError::InvalidParameter(format!(
            "Specified {what} for function decreases account's UnreservedConcurrentExecution below its minimum value of \
             [{least}]."
        )))
    }
}

/// What is set apart for one function.
pub(crate) fn read_one<E: From<store::ValueError>>(
    space: &Space,
    name: &str,
    read: Read<'_, E>,
) -> Result<SetApart, E> {
    let mut apart = SetApart::default();
    for (_, row) in read(space.aspects_of_kind(name, Reserved::KIND).range().limit(1))? {
        let Reserved(reserved) = value::decode(V1, &row)?;
        apart.reserved = Some(reserved);
    }
    for (key, row) in read(space.aspects_of_kind(name, Provisioned::KIND).range())? {
        if let Some(at) = keys::qualifier_of(&key) {
            apart.provisioned.insert(at, value::decode(V1, &row)?);
        }
    }
    Ok(apart)
}

/// Every account and region that has functions' rows. Jumps from one to the next.
pub(crate) fn spaces<E>(read: Read<'_, E>) -> Result<Vec<Space>, E> {
    let mut rest = Key::new("lambda").range().limit(1);
    let mut spaces = Vec::new();
    while let Some((key, _)) = read(rest.clone())?.pop() {
        // Other rows than those of accounts lie behind all of them: their first element begins with a letter.
        let Some((account, region)) = keys::space_of_key(&key) else { break };
        let Ok(account) = account.parse::<AccountId>() else { break };
        let Ok(region) = region.parse() else { break };
        let space = Space::new(account, &region);
        rest.from = space.all().prefix_end();
        spaces.push(space);
    }
    Ok(spaces)
}

#[cfg(test)]
mod tests {
    use base::Timestamp;

    use super::*;

    /// Name, reserved, provisioned by qualifier.
    type Row<'a> = (&'a str, Option<u32>, &'a [(&'a str, u32)]);

    fn ledger(functions: &[Row<'_>]) -> Ledger {
        let apart = |reserved: &Option<u32>, provisioned: &[(&str, u32)]| SetApart {
            reserved: *reserved,
            provisioned: provisioned
                .iter()
                .map(|(at, count)| {
                    ((*at).to_owned(), Provisioned { count: *count, modified_at: Timestamp(0) })
                })
                .collect(),
        };
        let functions = functions
            .iter()
            .map(|(name, reserved, provisioned)| ((*name).to_owned(), apart(reserved, provisioned)));
        Ledger { functions: functions.collect() }
    }

    #[test]
    fn a_hundred_stay_unreserved() {
        let ledger = ledger(&[("a", Some(300), &[("1", 200)]), ("b", None, &[("1", 50), ("live", 50)])]);
        assert_eq!(ledger.unreserved(1000), 600);
        assert!(ledger.check_reserved("c", 500, 1000).is_ok());
        assert_eq!(
            ledger.check_reserved("c", 501, 1000).unwrap_err().to_string(),
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution \
             below its minimum value of [100]."
        );
        assert!(ledger.check_reserved("a", 800, 1000).is_ok(), "what it has does not count twice");
        assert!(ledger.check_reserved("a", 801, 1000).is_err());
        assert!(ledger.check_reserved("b", 600, 1000).is_ok());
        assert!(ledger.check_reserved("b", 601, 1000).is_err());
        assert!(ledger.check_provisioned("c", "1", 500, 1000).is_ok());
        assert_eq!(
            ledger.check_provisioned("c", "1", 501, 1000).unwrap_err().to_string(),
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its \
             minimum value of [100]."
        );
        assert!(ledger.check_provisioned("b", "1", 550, 1000).is_ok());
        assert!(ledger.check_provisioned("b", "1", 551, 1000).is_err());
        let beyond = ledger.check_provisioned("c", "1", 1001, 1000).unwrap_err().to_string();
        assert!(beyond.ends_with("is greater than account's unreserved concurrency [1000]."), "{beyond}");
    }

    #[test]
    fn a_small_account_keeps_all_it_has() {
        let ledger = ledger(&[]);
        assert!(ledger.check_reserved("a", 0, 10).is_ok());
        let refusal = ledger.check_reserved("a", 1, 10).unwrap_err().to_string();
        assert!(refusal.ends_with("minimum value of [10]."), "{refusal}");
    }

    #[test]
    fn what_is_provisioned_is_a_part_of_what_is_reserved() {
        let ledger = ledger(&[("a", Some(10), &[("1", 4), ("2", 2)])]);
        assert!(ledger.check_provisioned("a", "1", 8, 1000).is_ok());
        assert_eq!(
            ledger.check_provisioned("a", "1", 9, 1000).unwrap_err().to_string(),
            "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
        );
        assert!(ledger.check_reserved("a", 6, 1000).is_ok());
        assert_eq!(
            ledger.check_reserved("a", 5, 1000).unwrap_err().to_string(),
            " ReservedConcurrentExecutions  5 should not be lower than function's total provisioned concurrency [6]."
        );
        assert!(ledger.check_reserved("a", 0, 1000).is_ok(), "0 closes it all the same");
    }
}
