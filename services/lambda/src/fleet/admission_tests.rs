//! Limits, just inside and just outside.

use super::*;

fn region() -> Region {
    Region::default()
}

fn owner<'a>(region: &'a Region, arn: &'a str) -> Owner<'a> {
    Owner { account: AccountId::DEFAULT, region, arn }
}

const NOW: Timestamp = Timestamp(1_795_420_000_000);

#[test]
fn an_account_has_its_own_limit_in_each_region() {
    let (here, elsewhere): (Region, Region) = (region(), "eu-central-1".parse().unwrap());
    let mut admission = Admission::new(2);
    assert!(admission.enter(owner(&here, "a")).is_ok() && admission.enter(owner(&here, "b")).is_ok());
    assert_eq!(admission.enter(owner(&here, "c")), Err(Throttle::ConcurrentInvocationLimitExceeded));
    assert!(admission.enter(owner(&elsewhere, "d")).is_ok());
    admission.leave(owner(&here, "a"));
    assert!(admission.enter(owner(&here, "c")).is_ok());
}

#[test]
fn a_reservation_is_the_function_s_alone() {
    let here = region();
    let mut admission = Admission::new(5);
    let (reserved, other) = (owner(&here, "reserved"), owner(&here, "other"));
    admission.reserve(reserved, Some(2));
    for _ in 0..3 {
        admission.enter(other).unwrap();
    }
    assert_eq!(admission.enter(other), Err(Throttle::ConcurrentInvocationLimitExceeded));
    admission.enter(reserved).unwrap();
    admission.enter(reserved).unwrap();
    assert_eq!(admission.enter(reserved), Err(Throttle::ReservedFunctionConcurrentInvocationLimitExceeded));
    admission.leave(reserved);
    admission.enter(reserved).unwrap();
}

#[test]
fn a_reservation_that_comes_or_goes_while_it_runs_leaks_nothing() {
    let here = region();
    let mut admission = Admission::new(10);
    let function = owner(&here, "f");
    admission.enter(function).unwrap();
    admission.enter(function).unwrap();
    assert_eq!(admission.running(function), (2, 2));
    admission.reserve(function, Some(3));
    assert_eq!(admission.running(function), (2, 0));
    admission.enter(function).unwrap();
    assert!(admission.enter(function).is_err());
    admission.leave(function);
    admission.reserve(function, None);
    assert_eq!(admission.running(function), (2, 2));
    admission.leave(function);
    admission.leave(function);
    assert_eq!(admission.running(function), (0, 0));
    admission.tidy(NOW);
    assert!(admission.functions.is_empty());
}

#[test]
fn a_reservation_of_none_closes_a_function() {
    let here = region();
    let mut admission = Admission::new(10);
    let function = owner(&here, "f");
    admission.reserve(function, Some(0));
    let closed = Err(Throttle::ReservedFunctionConcurrentInvocationLimitExceeded);
    assert_eq!(admission.request(function, false, NOW), closed);
    assert_eq!(admission.enter(function), closed);
    admission.reserve(function, None);
    assert!(admission.request(function, true, NOW).is_ok() && admission.enter(function).is_ok());
}

#[test]
fn provisioned_environments_are_set_apart_too() {
    let here = region();
    let mut admission = Admission::new(5);
    let (provisioned, other) = (owner(&here, "p"), owner(&here, "o"));
    admission.provision(provisioned, 3);
    admission.enter(other).unwrap();
    admission.enter(provisioned).unwrap();
    assert_eq!(admission.enter(other), Err(Throttle::ConcurrentInvocationLimitExceeded));
    // Within a reservation they are a part of it.
    admission.reserve(provisioned, Some(3));
    assert_eq!(
        admission.enter(provisioned),
        Err(Throttle::ReservedFunctionConcurrentInvocationLimitExceeded),
        "all of it is provisioned"
    );
    admission.enter(other).unwrap();
    admission.provision(provisioned, -3);
    admission.reserve(provisioned, None);
    admission.leave(provisioned);
    admission.leave(other);
    admission.leave(other);
    assert_eq!(
        admission.accounts.values().map(|account| (account.running, account.set_apart)).max(),
        Some((0, 0))
    );
}

#[test]
fn ten_requests_a_second_for_each_unit_of_concurrency() {
    let here = region();
    let mut admission = Admission::new(3);
    let (reserved, other) = (owner(&here, "reserved"), owner(&here, "other"));
    admission.reserve(reserved, Some(1));
    for _ in 0..10 {
        admission.request(reserved, true, NOW).unwrap();
    }
    let beyond = admission.request(reserved, true, NOW);
    assert_eq!(beyond, Err(Throttle::ReservedFunctionInvocationRateLimitExceeded));
    admission.request(reserved, false, NOW).unwrap();
    admission.request(reserved, true, Timestamp(NOW.0 + 100)).unwrap();
    assert!(admission.request(reserved, true, Timestamp(NOW.0 + 150)).is_err());
    for _ in 0..30 {
        admission.request(other, true, NOW).unwrap();
    }
    let beyond = admission.request(other, true, NOW);
    assert_eq!(beyond, Err(Throttle::FunctionInvocationRateLimitExceeded));
    assert!(admission.request(other, true, Timestamp(NOW.0 + 1000)).is_ok());
}

#[test]
fn a_thousand_environments_at_once_and_a_hundred_a_second() {
    let here = region();
    let mut admission = Admission::new(5000);
    let function = owner(&here, "f");
    for _ in 0..1000 {
        admission.launch(function, false, NOW).unwrap();
    }
    assert_eq!(admission.launch(function, false, NOW), Err(Throttle::ConcurrentInvocationLimitExceeded));
    assert!(admission.launch(owner(&here, "other"), false, NOW).is_ok(), "each function has its own pace");
    let later = Timestamp(NOW.0 + 10);
    assert!(admission.launch(function, false, later).is_ok());
    assert!(admission.launch(function, false, later).is_err());
    let ten_seconds = Timestamp(NOW.0 + 10_010);
    let more = (0..2000).filter(|_| admission.launch(function, false, ten_seconds).is_ok()).count();
    assert_eq!(more, 1000);
    admission.tidy(ten_seconds);
    assert!(!admission.functions.is_empty(), "its pace is not forgotten");
    admission.tidy(Timestamp(NOW.0 + 20_020));
    assert!(admission.functions.is_empty());
}

#[test]
fn tenants_have_two_and_a_half_environments_for_each_unit_of_concurrency() {
    let here = region();
    let mut admission = Admission::new(1000);
    let function = owner(&here, "f");
    admission.reserve(function, Some(2));
    for _ in 0..5 {
        admission.launch(function, true, NOW).unwrap();
    }
    assert!(admission.launch(function, true, NOW).is_err());
    admission.tenant_gone(function);
    assert!(admission.launch(function, true, NOW).is_ok());
}
