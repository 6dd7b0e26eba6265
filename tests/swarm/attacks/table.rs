//! The table of attacks in docs/security.md: every row names tests, and they are there.

use std::fs;
use std::path::Path;

/// Whether a test of this name is in the tree: `module::of::tests/swarm`, `src::module`, `sync: module::of::tests/sync`, or a file
/// of `__test__`.
fn is_there(root: &Path, name: &str) -> bool {
    if name.starts_with("__test__/") {
        return root.join(name).is_file();
    }
    let Some((module, test)) = name.rsplit_once("::") else { return false };
    let (folder, module) = match (module.strip_prefix("src::"), module.strip_prefix("sync: ")) {
        (Some(module), _) => ("src", module),
        (_, Some(module)) => ("tests/sync", module),
        _ => ("tests/swarm", module),
    };
    let path = module.replace("::", "/");
    let text = fs::read_to_string(root.join(folder).join(format!("{path}.rs"))).unwrap_or_default();
    text.contains(&format!("fn {test}()"))
}

#[test]
fn every_attack_of_the_guide_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let (_, table) = guide.split_once("| attack | what happens | test |").unwrap();
    let rows: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() >= 15, "{} rows", rows.len());
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        let [attack, _, tests] = cells[..] else { panic!("not three cells: {row}") };
        let tests: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "{attack} names no test");
        for test in tests {
            assert!(is_there(root, test), "{attack}: there is no test {test}");
        }
    }
}
