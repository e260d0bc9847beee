//! Runs a target over its corpus and over mutations of it.
//!
//! Owns how often, from which seed, and what is left behind of a failure: in a process that ends by a signal (a stack that
//! overflows) no test can say anything, so what is running stands in a file.

use std::collections::HashSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::mutation::Random;

/// How often a target is executed where no time is given: seconds on a slow machine.
const EXECUTIONS: u64 = 2_000;
/// The seed where none is given: the same executions for everybody.
const SEED: u64 = 0x5eed;
/// How long one input may take: far beyond what any does that is not stuck.
const STUCK_AFTER: Duration = Duration::from_secs(20);
/// The most inputs that are kept to be mutated further.
const MAX_POOL: usize = 4_096;
/// The longest input, in bytes.
const MAX_INPUT_BYTES: usize = 64 << 10;

/// Where corpus and programs are.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The corpus of a target, in the order of its names.
pub fn corpus(target: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(root().join("corpus").join(target)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    if target == "config" {
        // The manual of every key.
        paths.extend(["origin.toml", "edge.toml"].map(|name| root().join("../conf").join(name)));
    }
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A target: takes anything, and tells by a number what came of it. Inputs with a new number are mutated further.
pub type Target = fn(&[u8]) -> u64;

/// Runs `target` over its corpus and mutations of it.
pub fn run(name: &str, target: Target) {
    let seconds = number("FUZZ_SECONDS");
    let seed = number("FUZZ_SEED").unwrap_or_else(|| match seconds {
        None => SEED,
        Some(_) => UNIX_EPOCH.elapsed().expect("it is after 1970").as_nanos() as u64,
    });
    let trace = Trace::new(name, seed);
    let mut seen = HashSet::new();
    let mut pool = corpus(name);
    for input in &pool {
        seen.insert(trace.execute(target, input, 0));
    }
    let known = pool.len();
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut random = Random::new(seed);
    let mut executions = 0;
    while end.map_or(executions < EXECUTIONS, |end| Instant::now() < end) {
        executions += 1;
        let mut input = random.mutate(&pool);
        input.truncate(MAX_INPUT_BYTES);
        if seen.insert(trace.execute(target, &input, executions)) && pool.len() < MAX_POOL {
            pool.push(input);
        }
    }
    let total = executions + known as u64;
    println!("| {name} | {total} | {} | {seed:#x} |", pool.len() - known);
    trace.clear();
}

/// What is being executed, for whoever finds the process dead.
struct Trace {
    name: String,
    seed: u64,
    directory: PathBuf,
}

impl Trace {
    fn new(name: &str, seed: u64) -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join("results").join("fuzz");
        fs::create_dir_all(&directory).unwrap();
        let trace = Self { name: name.to_owned(), seed, directory };
        fs::write(trace.running(), format!("target {name}, FUZZ_SEED={seed}\n")).unwrap();
        trace
    }

    fn running(&self) -> PathBuf {
        self.directory.join(format!("{}.running", self.name))
    }

    /// Runs the target once; a panic is passed on, after what is needed to see it again has been said.
    fn execute(&self, target: Target, input: &[u8], execution: u64) -> u64 {
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
        let is_stuck = began.elapsed() > STUCK_AFTER;
        let outcome = match outcome {
            Ok(outcome) if !is_stuck => return outcome,
            Ok(_) => None,
            Err(panic) => Some(panic),
        };
        let path = self.directory.join(format!("{}.failed", self.name));
        fs::write(&path, input).unwrap();
        let what = if is_stuck { "takes too long" } else { "panics" };
        println!(
            "{} {what} at execution {execution} with FUZZ_SEED={}; the input is in {}: {}",
            self.name,
            self.seed,
            path.display(),
            input[..input.len().min(256)].escape_ascii(),
        );
        match outcome {
            Some(panic) => resume_unwind(panic),
            None => panic!("{} takes {:?}", self.name, began.elapsed()),
        }
    }

    fn clear(&self) {
        fs::remove_file(self.running()).unwrap();
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    let digits = text.strip_prefix("0x");
    let parsed = digits.map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16));
    Some(parsed.unwrap_or_else(|_| panic!("{variable} is a number, and not {text:?}")))
}
