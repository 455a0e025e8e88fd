//! The gateway over real sockets on the loopback address, with small made-up services behind it.

#![allow(clippy::unwrap_used)] // helpers of tests: a panic is a failed test

extern crate lamplighter_gateway as gateway;

mod auth;
mod guards;
mod house;
mod protocol;
mod sign;
mod sites;
mod stream;
