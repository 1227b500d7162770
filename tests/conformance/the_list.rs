//! Every module is tested or out of scope by name.

const LIST: &str = include_str!("README.md");
const TESTS: [&str; 7] = [
    include_str!("backchannel.rs"),
    include_str!("basic.rs"),
    include_str!("claims.rs"),
    include_str!("config.rs"),
    include_str!("fapi2.rs"),
    include_str!("logout.rs"),
    include_str!("refresh.rs"),
];

/// The rows of the list: a module and what is said of it.
fn rows() -> Vec<(&'static str, &'static str)> {
    let rows = LIST.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| ")?.split_once(" | ")?;
        let rest = rest.strip_suffix(" |")?;
        name.contains("-client-test").then_some((name, rest))
    });
    rows.collect()
}

fn tests() -> Vec<String> {
    let lines = TESTS.iter().flat_map(|text| text.lines());
    let tests = lines.filter_map(|line| {
        let name = line.strip_prefix("fn ")?.split_once("()")?.0;
        let is_module = ["oidcc_client_test", "fapi2_security_profile_final"];
        let is_module = is_module.iter().any(|start| name.starts_with(start));
        is_module.then(|| name.to_owned())
    });
    tests.collect()
}

#[test]
fn every_module_of_the_list_is_tested_or_out_of_scope_with_a_reason() {
    let tests = tests();
    for (module, said) in rows() {
        let name = module.replace('-', "_");
        match said.strip_prefix("out: ") {
            Some(reason) => {
                assert!(reason.len() > 10, "{module} has no reason");
                assert!(!tests.contains(&name), "{module} is tested, so it is in");
            }
            None => {
                assert_eq!(said, "tested", "{module}");
                assert!(tests.contains(&name), "{module} has no test");
            }
        }
    }
}

#[test]
fn every_test_stands_in_the_list() {
    let rows = rows();
    let tests = tests();
    for name in &tests {
        let is_it = |known: &&str| known.replace('-', "_") == *name;
        let count = rows.iter().filter(|(known, _)| is_it(known)).count();
        assert_eq!(count, 1, "{name}");
    }
    assert!(tests.len() >= 65, "{}", tests.len());
}

#[test]
fn the_list_has_all_modules_of_the_suite() {
    let count = |prefix: &str| {
        let rows = rows();
        let modules = rows.iter().filter(|(name, _)| name.starts_with(prefix));
        modules.count()
    };
    // As the suite publishes them; of FAPI 1.0 those that differ from the others.
    assert_eq!(count("oidcc-client-test"), 57);
    assert_eq!(count("fapi2-security-profile-final-client-test"), 31);
    assert_eq!(count("fapi2-security-profile-id2-client-test"), 31);
    assert_eq!(count("fapi1-advanced-final-client-test"), 12);
    assert_eq!(count("fapi-ciba-id1-client-test"), 1);
    assert_eq!(count("openid-federation-client-test"), 1);
}
