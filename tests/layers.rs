//! The layers: which module may import which, checked in the source itself.
//!
//! A file belongs to the module that its path begins with (`src/serve/flv.rs` to `serve`). Whatever it names through
//! `crate::` must be in that module's row; protocol modules must not know of runtime, clock or input and output either.
//! Tests are no part of the layers: what follows `#[cfg(test)]`, and files called `tests.rs`, may name anything.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken expectation is how a test fails")]

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

const MAXIMUM_LINES: usize = 500;

/// What a module may import of the crate, besides itself. An entry may go deeper than a module.
struct Layer {
    module: &'static str,
    may_import: &'static [&'static str],
    /// Paths of other crates that it must not name.
    must_not_name: &'static [&'static str],
}

const INPUT_OUTPUT_AND_CLOCK: &[&str] =
    &["tokio", "std::net", "std::io", "std::time::Instant", "std::time::SystemTime", "std::fs", "std::thread"];

/// `serve` and `pull` stand side by side and never see each other.
const LAYERS: &[Layer] = &[
    Layer { module: "media", may_import: &[], must_not_name: INPUT_OUTPUT_AND_CLOCK },
    Layer { module: "mux", may_import: &["media"], must_not_name: INPUT_OUTPUT_AND_CLOCK },
    Layer { module: "rtmp", may_import: &["media"], must_not_name: INPUT_OUTPUT_AND_CLOCK },
    Layer {
        module: "hub",
        may_import: &["media", "rtmp::chunk_writer", "metrics", "drain::spread"],
        must_not_name: &[],
    },
    Layer { module: "hls", may_import: &["config", "hooks", "hub", "media", "metrics", "mux"], must_not_name: &[] },
    Layer { module: "hooks", may_import: &["config", "media", "metrics", "net", "seldom"], must_not_name: &[] },
    Layer { module: "net", may_import: &["config", "metrics", "media", "seldom"], must_not_name: &[] },
    Layer {
        module: "cluster",
        may_import: &["auth", "config", "hub", "media", "metrics", "net", "rtmp", "seldom"],
        must_not_name: &[],
    },
    Layer {
        module: "serve",
        may_import: &[
            "hub", "rtmp", "media", "net", "auth", "config", "metrics", "cluster", "drain", "hls", "hooks", "seldom",
            "sessions",
        ],
        must_not_name: &[],
    },
    Layer {
        module: "pull",
        may_import: &[
            "hub", "rtmp", "media", "net", "auth", "config", "metrics", "cluster", "hls", "hooks", "seldom", "sessions",
        ],
        must_not_name: &[],
    },
    Layer {
        module: "dvr",
        may_import: &["config", "hooks", "hub", "media", "metrics", "mux"],
        must_not_name: &["std::net"],
    },
    Layer {
        module: "admin",
        may_import: &[
            "auth", "hub", "net", "config", "metrics", "media", "mux", "health", "drain", "dvr", "seldom", "sessions",
        ],
        must_not_name: &[],
    },
    Layer { module: "sessions", may_import: &["hub::Identity", "media", "metrics"], must_not_name: &[] },
    Layer { module: "seldom", may_import: &[], must_not_name: &["tokio"] },
    Layer { module: "logging", may_import: &["config"], must_not_name: &["tokio"] },
    Layer { module: "drain", may_import: &[], must_not_name: &[] },
    Layer { module: "metrics", may_import: &[], must_not_name: &[] },
    Layer { module: "health", may_import: &[], must_not_name: &[] },
    Layer { module: "auth", may_import: &["config", "media"], must_not_name: &[] },
    Layer { module: "config", may_import: &["media"], must_not_name: &["tokio"] },
];

/// Modules that wire the others and may import anything.
const WIRING: [&str; 5] = ["server", "demo", "probe", "sign", "lib"];

/// What the binary may take from the library.
const MAIN_MAY_IMPORT: [&str; 8] = ["server", "config", "demo", "drain", "logging", "probe", "sign", "auth::Action"];

#[derive(Debug, PartialEq)]
struct Violation {
    file: PathBuf,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

#[test]
fn every_module_imports_only_what_its_layer_allows() {
    let violations: Vec<String> = sources()
        .iter()
        .flat_map(|(file, text)| check_imports(file, text))
        .map(|violation| violation.to_string())
        .collect();
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn no_file_is_longer_than_the_limit_without_its_tests() {
    let violations: Vec<String> =
        sources().iter().filter_map(|(file, text)| check_length(file, text)).map(|one| one.to_string()).collect();
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn no_module_lives_in_a_file_called_mod() {
    let found: Vec<PathBuf> =
        sources().into_iter().map(|(file, _)| file).filter(|file| file.ends_with("mod.rs")).collect();
    assert_eq!(found, Vec::<PathBuf>::new());
}

/// All files of `src`, relative to it, with their text.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push((path.strip_prefix(&root).unwrap().to_owned(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!files.is_empty(), "no source file was found");
    files.sort();
    files
}

/// The module that a file, relative to `src`, belongs to.
fn module_of(file: &Path) -> String {
    let first = file.iter().next().expect("a path has a part");
    Path::new(first).file_stem().expect("a file has a name").to_str().expect("names are ASCII").to_owned()
}

fn check_imports(file: &Path, text: &str) -> Vec<Violation> {
    let module = module_of(file);
    let mut violations = Vec::new();
    let mut report = |line: usize, what: String| violations.push(Violation { file: file.to_owned(), line, what });
    let code = without_comments(product_code(file, text));
    if module == "main" {
        for (line, path) in paths_after(&code, "rillcast::") {
            if !is_covered(&path, &MAIN_MAY_IMPORT) {
                report(line, format!("main must not import rillcast::{path}"));
            }
        }
        return violations;
    }
    if WIRING.contains(&module.as_str()) {
        return violations;
    }
    let Some(layer) = LAYERS.iter().find(|layer| layer.module == module) else {
        report(1, format!("{module} is in no layer"));
        return violations;
    };
    for (line, path) in paths_after(&code, "crate::") {
        if !is_covered(&path, &[layer.module]) && !is_covered(&path, layer.may_import) {
            report(line, format!("{module} must not import crate::{path}"));
        }
    }
    for forbidden in layer.must_not_name {
        for line in lines_naming(&code, forbidden) {
            report(line, format!("{module} must not name {forbidden}"));
        }
    }
    violations
}

fn check_length(file: &Path, text: &str) -> Option<Violation> {
    let lines = product_code(file, text).lines().count();
    (lines > MAXIMUM_LINES).then(|| Violation {
        file: file.to_owned(),
        line: MAXIMUM_LINES + 1,
        what: format!("{lines} lines, and {MAXIMUM_LINES} are the limit"),
    })
}

/// The part of a file that is no test.
fn product_code<'a>(file: &Path, text: &'a str) -> &'a str {
    if file.file_stem().is_some_and(|stem| stem == "tests") {
        return "";
    }
    text.find("#[cfg(test)]\nmod ").map_or(text, |at| &text[..at])
}

/// The text with line comments blanked, so that what documentation names is no import.
fn without_comments(text: &str) -> String {
    let strip = |line: &str| line.find("//").map_or(line, |at| &line[..at]).to_owned();
    text.lines().map(strip).collect::<Vec<_>>().join("\n")
}

/// Whether a path is one of the allowed ones or lies below one.
fn is_covered(path: &str, allowed: &[&str]) -> bool {
    allowed
        .iter()
        .any(|allowed| path == *allowed || path.strip_prefix(allowed).is_some_and(|rest| rest.starts_with("::")))
}

/// Every path that follows a prefix such as `crate::`, with its line; groups in braces are opened.
fn paths_after(code: &str, prefix: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(is_identifier_character) {
            continue;
        }
        expand(code, at + prefix.len(), "", &mut found);
    }
    found.into_iter().map(|(at, path)| (line_of(code, at), path)).collect()
}

/// Reads one path from an offset on, and gives the offset behind it.
fn expand(code: &str, start: usize, parent: &str, found: &mut Vec<(usize, String)>) -> usize {
    let rest = &code[start..];
    if rest.starts_with('{') {
        let mut at = start + 1;
        loop {
            at += code[at..].find(|character: char| !character.is_whitespace() && character != ',').unwrap_or(0);
            match code[at..].chars().next() {
                Some('}') => return at + 1,
                Some(character) if is_identifier_character(character) || character == '{' => {
                    at = expand(code, at, parent, found);
                    // `as name` says nothing about the layer.
                    at += code[at..].find([',', '}', '{']).unwrap_or(code.len() - at);
                }
                Some(character) => at += character.len_utf8(),
                None => return at,
            }
        }
    }
    let length = rest.find(|character: char| !is_identifier_character(character)).unwrap_or(rest.len());
    let path = if parent.is_empty() { rest[..length].to_owned() } else { format!("{parent}::{}", &rest[..length]) };
    let end = start + length;
    if code[end..].starts_with("::") && !code[end + 2..].starts_with('<') {
        return expand(code, end + 2, &path, found);
    }
    found.push((start, path));
    end
}

/// The lines that name a path of another crate, directly or through a group such as `std::{io, net}`.
fn lines_naming(code: &str, forbidden: &str) -> Vec<usize> {
    let Some((root, rest)) = forbidden.split_once("::") else {
        let names = code.match_indices(forbidden).filter(|(at, _)| {
            let after = &code[at + forbidden.len()..];
            !code[..*at].ends_with(is_identifier_character) && (after.starts_with("::") || after.starts_with(';'))
        });
        return names.map(|(at, _)| line_of(code, at)).collect();
    };
    let paths = paths_after(code, &format!("{root}::")).into_iter();
    paths.filter(|(_, path)| is_covered(path, &[rest])).map(|(line, _)| line).collect()
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

fn is_identifier_character(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, text: &str) -> Vec<String> {
        check_imports(Path::new(file), text).into_iter().map(|violation| violation.to_string()).collect()
    }

    #[test]
    fn an_import_beyond_the_layer_is_found_with_file_and_line() {
        let text = "//! Head.\n\nuse crate::hub::Stream;\nuse crate::pull::Pull;\n";
        assert_eq!(
            found("serve/flv.rs", text),
            ["serve/flv.rs:4: serve must not import crate::pull"].map(|line| format!("{line}::Pull"))
        );
    }

    #[test]
    fn every_violation_of_a_group_is_found() {
        let text = "use crate::{\n    hub::Stream,\n    media::{Kind, Tag},\n    pull::{self, Pull},\n};\n";
        assert_eq!(
            found("serve.rs", text),
            [
                "serve.rs:4: serve must not import crate::pull::self",
                "serve.rs:4: serve must not import crate::pull::Pull"
            ]
        );
    }

    #[test]
    fn a_path_inside_an_expression_is_an_import_too() {
        assert_eq!(
            found("media.rs", "fn f() { crate::hub::f() }"),
            ["media.rs:1: media must not import crate::hub::f"]
        );
    }

    #[test]
    fn an_allowed_part_of_a_module_does_not_open_the_rest_of_it() {
        let text = "use crate::rtmp::chunk_writer::write_media;\nuse crate::rtmp::ServerSession;\n";
        assert_eq!(found("hub/block.rs", text), ["hub/block.rs:2: hub must not import crate::rtmp::ServerSession"]);
    }

    #[test]
    fn protocol_modules_name_no_runtime_clock_or_socket() {
        let text =
            "use std::{fmt, io::Read};\nuse std::time::{Duration, Instant};\nasync fn f() { tokio::time::f() }\n";
        assert_eq!(
            found("rtmp/server.rs", text),
            [
                "rtmp/server.rs:3: rtmp must not name tokio",
                "rtmp/server.rs:1: rtmp must not name std::io",
                "rtmp/server.rs:2: rtmp must not name std::time::Instant",
            ]
        );
    }

    #[test]
    fn what_only_a_comment_names_is_no_import() {
        assert_eq!(found("media.rs", "//! See [`crate::hub`].\nfn f() {} // crate::pull\n"), Vec::<String>::new());
    }

    #[test]
    fn tests_may_import_anything() {
        let text = "use crate::pull::Pull;\n";
        assert_eq!(found("media/tests.rs", text), Vec::<String>::new());
        assert_eq!(found("media.rs", &format!("#[cfg(test)]\nmod tests {{ {text} }}\n")), Vec::<String>::new());
    }

    #[test]
    fn the_binary_takes_only_what_it_may() {
        let text = "use rillcast::{config, hub};\nfn main() { rillcast::server::run() }\n";
        assert_eq!(found("main.rs", text), ["main.rs:1: main must not import rillcast::hub"]);
    }

    #[test]
    fn a_module_in_no_layer_is_found() {
        assert_eq!(found("news.rs", ""), ["news.rs:1: news is in no layer"]);
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_are_not_counted() {
        let long = "x\n".repeat(MAXIMUM_LINES + 1);
        assert!(check_length(Path::new("hub.rs"), &long).is_some());
        assert!(check_length(Path::new("hub/tests.rs"), &long).is_none());
        let with_tests = format!("{}#[cfg(test)]\nmod tests {{}}\n{long}", "x\n".repeat(MAXIMUM_LINES));
        assert!(check_length(Path::new("hub.rs"), &with_tests).is_none());
    }
}
