//! The layers of ARCHITECTURE.md as a test: it reads the paths that the code under `src/` names and fails when a
//! layer reaches upwards, when `unsafe` leaves the SIMD module, or when a file outgrows what one reads in a sitting.

use std::fs;
use std::path::{Path, PathBuf};

/// A part of the crate and what it may know.
struct Layer {
    /// Its module, from the root of the crate.
    module: &'static str,
    /// The other modules of the crate that it may name.
    knows: &'static [&'static str],
    /// Crates and parts of `std` that it must not name.
    without: &'static [&'static str],
}

/// What would make a function more than a function of its arguments.
const IMPURE: &[&str] = &[
    "rayon",
    "tokio",
    "napi",
    "napi_derive",
    "js_sys",
    "wasm_bindgen",
    "web_time",
    "std::thread",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::time",
];

/// The same, and what would make a state machine wait or roll dice.
const PROTOCOL_IMPURE: &[&str] = &[
    "rayon",
    "tokio",
    "quinn",
    "rustls",
    "fastrand",
    "napi",
    "napi_derive",
    "std::thread",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::time",
];

/// The same, and what would make learning depend on more than events. Threads are those of `search`.
const LEARN_IMPURE: &[&str] = PROTOCOL_IMPURE;

/// Lowest first. A new module below `src/` needs a line here, and a line in ARCHITECTURE.md. A module inside a layer
/// may be a layer of its own.
const LAYERS: &[Layer] = &[
    Layer { module: "series", knows: &[], without: IMPURE },
    Layer { module: "kernels", knows: &["series"], without: IMPURE },
    // The only place for files.
    Layer {
        module: "search::library::file",
        knows: &["series", "kernels", "security::keyring"],
        without: &["rayon", "tokio", "napi", "napi_derive", "std::thread", "std::net", "std::time"],
    },
    Layer {
        module: "search",
        knows: &["series", "kernels", "search::library::file"],
        without: &["tokio", "napi", "napi_derive", "std::fs", "std::net", "std::process"],
    },
    // A function of the set of events. What it clusters for distillation, `search` computes.
    Layer { module: "learn", knows: &["series", "kernels", "search"], without: LEARN_IMPURE },
    // State machines: what happens is passed in, and so is the time at which it happens.
    Layer { module: "protocol", knows: &[], without: PROTOCOL_IMPURE },
    // Sealed files know of keys, and of nothing else here.
    Layer {
        module: "security::keyring",
        knows: &["security"],
        without: &["rayon", "tokio", "napi", "napi_derive", "std::net", "std::thread", "quinn", "rustls"],
    },
    Layer {
        module: "security",
        knows: &["security::keyring"],
        without: &["rayon", "napi", "napi_derive", "std::net", "quinn"],
    },
    Layer {
        module: "store",
        knows: &["protocol", "sync", "learn"],
        without: &["rayon", "tokio", "napi", "napi_derive", "std::net", "std::thread"],
    },
    Layer {
        module: "sync",
        knows: &[],
        without: &[
            "rayon",
            "tokio",
            "napi",
            "napi_derive",
            "std::net",
            "std::thread",
            "std::fs",
            "std::time",
            "quinn",
            "rustls",
            "redb",
        ],
    },
    // A learner with its file, on a thread of its own.
    Layer {
        module: "bank",
        knows: &["learn", "store"],
        without: &["rayon", "tokio", "napi", "napi_derive", "std::net", "std::fs"],
    },
    // The only place with sockets. Kernels run through `search`.
    Layer {
        module: "swarm",
        knows: &["series", "kernels", "search", "protocol", "security", "security::keyring", "store", "sync"],
        without: &["rayon", "napi", "napi_derive"],
    },
    // What both surfaces call: no word of either.
    Layer {
        module: "calls",
        knows: &["series", "kernels", "search", "search::library::file"],
        without: &[
            "rayon",
            "tokio",
            "napi",
            "napi_derive",
            "js_sys",
            "wasm_bindgen",
            "std::thread",
            "std::fs",
            "std::net",
            "std::process",
            "std::time::Instant",
            "std::time::SystemTime",
        ],
    },
    // WebAssembly has neither threads nor files, and no clock in `std`.
    Layer {
        module: "web",
        knows: &["kernels", "search", "search::library::file", "calls"],
        without: &[
            "rayon",
            "tokio",
            "napi",
            "napi_derive",
            "std::thread",
            "std::fs",
            "std::net",
            "std::process",
            "std::time::Instant",
            "std::time::SystemTime",
        ],
    },
    // Threads are started through `search` and `swarm`.
    Layer {
        module: "node",
        knows: &[
            "calls",
            "series",
            "kernels",
            "search",
            "search::library::file",
            "protocol",
            "security",
            "security::keyring",
            "swarm",
            "sync",
            "learn",
            "bank",
            "store",
        ],
        without: &["rayon", "js_sys", "wasm_bindgen", "std::thread"],
    },
];

/// The only place for `unsafe`.
const UNSAFE_HOME: &str = "src/kernels/simd/";

/// Lines of one file.
const LONGEST_FILE: usize = 600;

// -------------------------------------------------------------------------------------------- reading the code

/// Words (identifiers and numbers), `::`, and every other mark of its own. Comments and literals are gone.
fn tokens(source: &str) -> Vec<String> {
    let text: Vec<char> = source.chars().collect();
    let at = |i: usize| text.get(i).copied().unwrap_or('\0');
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut found, mut i) = (Vec::new(), 0);
    while i < text.len() {
        let raw_hashes = (at(i) == 'r').then(|| (i + 1..).take_while(|&k| at(k) == '#').count());
        if at(i) == '/' && at(i + 1) == '/' {
            i += (i..text.len()).take_while(|&k| at(k) != '\n').count();
        } else if at(i) == '/' && at(i + 1) == '*' {
            let mut depth = 1;
            i += 2;
            while depth > 0 && i < text.len() {
                match (at(i), at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
            }
        } else if let Some(hashes) = raw_hashes.filter(|hashes| at(i + 1 + hashes) == '"') {
            i += hashes + 2;
            let closes = |k: usize| at(k) == '"' && (1..=hashes).all(|h| at(k + h) == '#');
            i += (i..text.len()).take_while(|&k| !closes(k)).count() + 1 + hashes;
        } else if at(i) == '"' {
            i += 1;
            while i < text.len() && at(i) != '"' {
                i += if at(i) == '\\' { 2 } else { 1 };
            }
            i += 1;
        } else if at(i) == '\'' && at(i + 1) == '\\' {
            i += 3 + (i + 3..text.len()).take_while(|&k| at(k) != '\'').count() + 1;
        } else if at(i) == '\'' && at(i + 2) == '\'' {
            i += 3;
        } else if word(at(i)) {
            let length = (i..text.len()).take_while(|&k| word(at(k))).count();
            found.push(text[i..i + length].iter().collect());
            i += length;
        } else if at(i) == ':' && at(i + 1) == ':' {
            found.push("::".to_owned());
            i += 2;
        } else {
            if !at(i).is_whitespace() {
                found.push(at(i).to_string());
            }
            i += 1;
        }
    }
    found
}

/// Every path of the code, those of `use` trees spelled out: `use std::{fs, io::Read};` gives `std::fs` and
/// `std::io::Read`. A path that is not in a `use` counts as well: `std::thread::spawn(f)` needs no import.
fn paths(tokens: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    // The paths that lead to the open braces of a `use` tree, and whether we are in one.
    let (mut prefixes, mut in_use): (Vec<Vec<String>>, bool) = (Vec::new(), false);
    let mut path: Vec<String> = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let is_word = token.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let continues = i > 0 && tokens[i - 1] == "::";
        if is_word && token != "use" && (continues || path.is_empty()) {
            path.push(token.clone());
        } else if token == "::" {
        } else {
            let whole: Vec<String> = prefixes.iter().flatten().cloned().chain(path.drain(..)).collect();
            match token.as_str() {
                "use" => in_use = true,
                "{" if in_use => {
                    let known: usize = prefixes.iter().map(Vec::len).sum();
                    prefixes.push(whole[known..].to_vec());
                    continue;
                }
                "}" if in_use => drop(prefixes.pop()),
                ";" => in_use = false,
                _ => {}
            }
            if whole.len() > 1 || in_use && !whole.is_empty() {
                found.push(whole);
            }
            if is_word && token != "use" {
                path.push(token.clone());
            }
        }
    }
    found
}

/// The tokens before the unit tests, which stand last in a file and may use more than the code.
fn without_tests(tokens: &[String]) -> &[String] {
    let marker = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let end = tokens.windows(marker.len()).position(|window| window == marker);
    &tokens[..end.unwrap_or(tokens.len())]
}

/// `path` from the root of the crate, when it leads into the crate: `super::dtw` in `kernels::lcs` is `kernels::dtw`.
fn inside_crate(path: &[String], module: &[&str]) -> Option<Vec<String>> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    match path.first()?.as_str() {
        "crate" | "midstreamer" => Some(path[1..].to_vec()),
        "super" => {
            let above = module[..module.len().checked_sub(supers)?].iter().map(|part| (*part).to_owned());
            Some(above.chain(path[supers..].iter().cloned()).collect())
        }
        _ => None,
    }
}

/// The innermost layer that a path from the root of the crate leads into.
fn layer_of<S: AsRef<str>>(path: &[S]) -> Option<&'static Layer> {
    let leads_into = |layer: &&Layer| {
        let parts: Vec<&str> = layer.module.split("::").collect();
        path.len() >= parts.len() && path.iter().zip(&parts).all(|(a, b)| a.as_ref() == *b)
    };
    LAYERS.iter().filter(leads_into).max_by_key(|layer| layer.module.len())
}

/// What is wrong with the paths of one file, in words.
fn violations(layer: &Layer, module: &[&str], source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    for path in paths(without_tests(&tokens)) {
        let name = path.join("::");
        if let Some(inside) = inside_crate(&path, module) {
            let other = layer_of(&inside).map_or(layer.module, |other| other.module);
            if other != layer.module && !layer.knows.contains(&other) {
                found.push(format!("{name} reaches from {} into {other}", layer.module));
            }
        }
        let names = |banned: &&&str| name == **banned || name.starts_with(&format!("{banned}::"));
        if let Some(banned) = layer.without.iter().find(names) {
            found.push(format!("{name}: {} does without {banned}", layer.module));
        }
    }
    found
}

// ----------------------------------------------------------------------------------------------- the checkout

/// The Rust files below a folder of the checkout, as (path from the root, content).
fn rust_files(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(&root.join(folder), &mut files);
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
    files.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// `src/kernels/dtw/mod.rs` is `[kernels, dtw]`.
fn module_of(file: &str) -> Vec<&str> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').collect()
}

#[test]
fn no_layer_reaches_upwards() {
    let mut found = Vec::new();
    for (file, source) in rust_files("src") {
        let module = module_of(&file);
        // A kernel has no thread, but its tests may.
        if module == ["lib"] || module.last() == Some(&"tests") {
            continue;
        }
        match layer_of(&module) {
            Some(layer) => {
                found
                    .extend(violations(layer, &module, &source).iter().map(|what| format!("{file}: {what}")));
            }
            None => found.push(format!("{file}: {} is no layer; give it a line in LAYERS", module[0])),
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_layer_exists() {
    let files = rust_files("src");
    for layer in LAYERS {
        let its_own =
            |file: &str| layer_of(&module_of(file)).is_some_and(|found| found.module == layer.module);
        let there = files.iter().any(|(file, _)| its_own(file));
        assert!(there, "no file belongs to the layer {}", layer.module);
    }
}

#[test]
fn unsafe_code_stays_in_the_simd_module() {
    let users: Vec<String> = (rust_files("src").into_iter())
        .filter(|(_, source)| tokens(source).iter().any(|token| token == "unsafe"))
        .map(|(file, _)| file)
        .collect();
    assert!(users.iter().all(|file| file.starts_with(UNSAFE_HOME)), "{users:?}");
}

#[test]
fn files_are_short_and_ascii() {
    for (file, source) in ["src", "tests"].into_iter().flat_map(rust_files) {
        let lines = source.lines().count();
        assert!(lines <= LONGEST_FILE, "{file} has {lines} lines, more than {LONGEST_FILE}: split it");
        let position = source.chars().position(|c| !c.is_ascii());
        assert_eq!(position, None, "{file} holds a character that is not ASCII; write it as an escape");
    }
}

// ------------------------------------------------------------------------------------------ the reader itself

fn found_in(module: &str, source: &str) -> Vec<String> {
    let parts = module_of(module);
    violations(layer_of(&parts).unwrap(), &parts, source)
}

#[test]
fn the_reader_sees_every_way_to_reach_upwards() {
    for source in [
        "use crate::search::Job;",
        "pub(crate) use crate::search::{self, Job};",
        "use crate::{series::Series, search::Job};",
        "use super::super::search;",
        "fn f() { crate::search::spawn(|| ()) }",
        "use rayon::prelude::*;",
        "use std::{sync::Arc, thread};",
        "use std::{io::{Read, Write}, sync::Arc};",
        "fn now() -> std::time::Instant { std::time::Instant::now() }",
        "#[napi_derive::napi] fn f() {}",
        "/* a /* nested */ comment */ use tokio::sync::oneshot;",
        "const QUOTE: char = '\"'; use std::fs;",
    ] {
        assert_eq!(found_in("src/kernels/dtw/mod.rs", source).len().min(1), 1, "{source}");
    }
    assert_eq!(found_in("src/search/pairs.rs", "use crate::node::errors::Code;").len(), 1);
    assert_eq!(found_in("src/search/library/mod.rs", "use std::fs;").len(), 1);
    assert_eq!(found_in("src/search/library/file/mod.rs", "use super::super::Job;").len(), 1);
    assert_eq!(found_in("src/search/library/file/mod.rs", "use rayon::prelude::*;").len(), 1);
    assert_eq!(found_in("src/node/dtw.rs", "fn f() { rayon::spawn(|| ()) }").len(), 1);
    assert_eq!(found_in("src/calls/dtw.rs", "use crate::node::task::Job;").len(), 1);
    assert_eq!(found_in("src/calls/dtw.rs", "use wasm_bindgen::JsValue;").len(), 1);
    assert_eq!(found_in("src/web/library.rs", "use std::fs;").len(), 1);
    assert_eq!(found_in("src/series.rs", "use crate::kernels::KernelError;").len(), 1);
}

#[test]
fn the_reader_leaves_everything_else_alone() {
    for source in [
        "use crate::series::Series; use super::band::Band; use crate::kernels::simd::{Level, Vector};",
        "use std::{ops::Range, sync::atomic::{AtomicBool, Ordering}};",
        "// use rayon::prelude::*;\nfn f() {}",
        "const TEXT: &str = \"use std::fs;\"; const RAW: &str = r#\"use \"tokio::x\"\"#;",
        "fn longest<'a>(a: &'a str) -> &'a str { a } const NEWLINE: char = '\\n';",
        "fn f() {}\n#[cfg(test)]\nmod tests { use std::thread; }",
        "fn searching() { let rayon = 1; let search = rayon; }",
    ] {
        assert_eq!(found_in("src/kernels/dtw/mod.rs", source), Vec::<String>::new(), "{source}");
    }
    for (file, source) in [
        ("src/search/pairs.rs", "use rayon::prelude::*;"),
        ("src/search/library/mod.rs", "use file::Saved; use crate::search::library::file::Saved;"),
        ("src/search/library/file/decode.rs", "use std::fs; use super::format::Header; use super::Saved;"),
    ] {
        assert_eq!(found_in(file, source), Vec::<String>::new(), "{source}");
    }
}
