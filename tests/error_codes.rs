//! The list of error codes that TypeScript promises is the core's own.

#![allow(clippy::unwrap_used)] // Its helpers stand outside of test functions.

use std::collections::BTreeSet;

use gatepass::ErrorKind;
use gatepass::error::Phase;

const TYPES: &str = include_str!("../npm/lib/errors.ts");

/// The members of a union type.
fn union(name: &str) -> BTreeSet<&'static str> {
    let (_, rest) = TYPES.split_once(&format!("export type {name} =")).unwrap();
    let (body, _) = rest.split_once(';').unwrap();
    body.split('"').skip(1).step_by(2).collect()
}

#[test]
fn the_codes_of_the_types_are_those_of_the_core() {
    let core: BTreeSet<_> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
    assert!(core.len() > 40);
    assert_eq!(union("ErrorCode"), core);
}

#[test]
fn the_phases_of_the_types_are_those_of_the_core() {
    let core: BTreeSet<_> = Phase::ALL.iter().map(|phase| phase.name()).collect();
    assert_eq!(union("Phase"), core);
}

#[test]
fn the_facade_repeats_the_hint_of_the_core_where_the_core_cannot_run() {
    assert!(TYPES.contains(ErrorKind::Internal.hint()));
}
