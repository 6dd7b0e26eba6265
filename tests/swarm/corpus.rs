//! What coverage-guided fuzzing has kept, played again: a sample of the inputs that each went another way through a parser.
//! `npm run fuzz` adds to it. An input that made one fail gets a test of its own.

#[path = "../../fuzz/src/targets.rs"]
pub(crate) mod targets;

use std::fs;
use std::path::Path;

#[test]
fn every_input_of_the_corpus_is_taken_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(corpus.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")) {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "{} fails", path.display());
            inputs += 1;
        }
        assert!(inputs > 0, "{name} has no inputs");
    }
}

#[test]
fn every_folder_of_the_corpus_has_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for entry in fs::read_dir(corpus).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            targets::find(&name).is_some(),
            "no target {name}; there are {:?}",
            targets::names_of_targets()
        );
    }
}

#[test]
fn all_kinds_of_frames_are_read_by_the_targets() {
    let (_, messages) = targets::TARGETS.iter().find(|(name, _)| *name == "messages").unwrap();
    for kind in 0..=u8::MAX {
        messages(&[kind]);
    }
}
