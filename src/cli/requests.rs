//! What the requests of a run and of the month come to, and whether that is within a budget.
//!
//! Counts of the month lie in `C.requests` beside the connection file `C`, months being those of UTC. A count that cannot
//! be kept is a warning and nothing else.

use super::Result;
use super::context::Context;
use super::exit::Failure;
use packhorse::blob::RequestCounts;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

/// What the file's name has behind that of the connection file.
pub(super) const EXTENSION: &str = "requests";
/// The file is always this long, so that one write replaces all of it.
const FILE_BYTES: usize = 128;
/// From so many percent of the budget on there is a warning.
const WARN_PERCENT: u64 = 80;

/// Requests of a month.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Used {
    month: String,
    class_a: u64,
    class_b: u64,
}

/// Requests that a month may have.
#[derive(Debug, Clone, Copy)]
struct Budget {
    class_a: Option<u64>,
    class_b: Option<u64>,
}

impl Budget {
    fn of(ctx: &Context) -> Self {
        let (globals, environment) = (ctx.globals(), ctx.environment());
        Self {
            class_a: globals.request_budget_class_a.or(environment.request_budget_class_a),
            class_b: globals.request_budget_class_b.or(environment.request_budget_class_b),
        }
    }

    fn is_any(self) -> bool {
        self.class_a.is_some() || self.class_b.is_some()
    }

    /// What there is to say about the classes of which at least so many percent are used.
    fn beyond(self, percent: u64, month: &Used) -> Vec<String> {
        let classes = [("A", self.class_a, month.class_a), ("B", self.class_b, month.class_b)];
        let used = classes.into_iter().filter_map(|(class, budget, used)| {
            let budget = budget?;
            let is_beyond = u128::from(used) * 100 >= u128::from(budget) * u128::from(percent);
            is_beyond.then(|| format!("{used} of the month's {budget} requests of class {class} are used"))
        });
        used.collect()
    }
}

/// Warns before a run that goes beyond the budget, or refuses it if that is wanted.
pub(super) fn check(ctx: &Context) -> Result<()> {
    let budget = Budget::of(ctx);
    if !budget.is_any() {
        return Ok(());
    }
    let Some(month) = count(ctx, RequestCounts::default()) else { return Ok(()) };
    let said = budget.beyond(100, &month);
    let enforced = ctx.globals().request_budget_enforce || ctx.environment().request_budget_enforce;
    if said.is_empty() {
        return Ok(());
    }
    if enforced {
        return Err(Failure::new(said.join(", "))
            .with_hint("raise --request-budget-class-a or -b, or leave out --request-budget-enforce"));
    }
    ctx.talk().warning(format_args!("{}; going on all the same", said.join(", ")));
    Ok(())
}

/// Ends a run: counts it, says what it came to, and warns when the budget is nearly used up.
pub(super) fn report(ctx: &Context, counts: RequestCounts, is_remote: bool) {
    let budget = Budget::of(ctx);
    if counts == RequestCounts::default() {
        return;
    }
    if (is_remote || ctx.globals().request_counts) && !ctx.globals().progress_json {
        ctx.talk().line(describe(ctx, counts));
    }
    if (is_remote || budget.is_any())
        && let Some(month) = count(ctx, counts)
    {
        for said in budget.beyond(WARN_PERCENT, &month) {
            ctx.talk().warning(said);
        }
    }
}

fn describe(ctx: &Context, counts: RequestCounts) -> String {
    let (sizes, class_a, class_b) = (ctx.sizes(), counts.class_a(), counts.class_b());
    let (up, down) = (sizes.format(counts.uploaded_bytes), sizes.format(counts.downloaded_bytes));
    let deletes = counts.deletes;
    format!("Requests: {class_a} of class A, {class_b} of class B, {deletes} deletes; {up} up, {down} down")
}

/// Adds to the month's counts. None, with a warning, if that is not possible.
fn count(ctx: &Context, counts: RequestCounts) -> Option<Used> {
    let path = path(ctx).ok()?;
    let month = ctx.clock().now().to_string().get(..7).unwrap_or_default().to_owned();
    let added = open(&path).and_then(|file| add(&file, month, counts));
    added
        .inspect_err(|error| {
            ctx.talk()
                .warning(format_args!("cannot count the month's requests in {}: {error}", path.display()));
        })
        .ok()
}

fn path(ctx: &Context) -> Result<PathBuf> {
    let mut path = ctx.config_path()?.into_os_string();
    path.push(".");
    path.push(EXTENSION);
    Ok(path.into())
}

/// The file, which nobody else has until it is closed.
fn open(path: &std::path::Path) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

fn add(file: &File, month: String, counts: RequestCounts) -> io::Result<Used> {
    let mut text = Vec::new();
    file.take(FILE_BYTES as u64).read_to_end(&mut text)?;
    // Whatever else stands there is not worth a run.
    let known: Used = serde_json::from_slice(&text).unwrap_or_default();
    let before = if known.month == month { known } else { Used { month, ..Used::default() } };
    let after = Used {
        class_a: before.class_a.saturating_add(counts.class_a()),
        class_b: before.class_b.saturating_add(counts.class_b()),
        month: before.month,
    };
    let mut text = serde_json::to_vec(&after)?;
    text.resize(FILE_BYTES - 1, b' ');
    text.push(b'\n');
    file.write_all_at(&text, 0)?;
    Ok(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_a_month_add_up_and_a_new_month_begins_at_zero() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("repository.config.requests");
        let counts = RequestCounts { puts: 2, lists: 1, gets: 4, heads: 1, deletes: 9, ..Default::default() };
        let add = |month: &str| {
            let month = add(&open(&path).unwrap(), month.to_owned(), counts).unwrap();
            (month.class_a, month.class_b)
        };
        assert_eq!([add("2026-11"), add("2026-11"), add("2026-12")], [(3, 5), (6, 10), (3, 5)]);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), FILE_BYTES as u64);
        packhorse::base::file::replace(&path, b"{\"month\":", 0o600).unwrap();
        assert_eq!(add("2026-12"), (3, 5), "what cannot be read counts as nothing");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        add("2027-01");
                    }
                });
            }
        });
        assert_eq!(add("2027-01"), (243, 405));
    }

    #[test]
    fn a_budget_speaks_up_from_the_percentage_on() {
        let budget = Budget { class_a: Some(100), class_b: None };
        let month = |class_a| Used { class_a, class_b: u64::MAX, ..Used::default() };
        assert!(budget.beyond(80, &month(79)).is_empty());
        assert_eq!(budget.beyond(80, &month(80)), ["80 of the month's 100 requests of class A are used"]);
        assert!(budget.beyond(100, &month(99)).is_empty());
        assert_eq!(budget.beyond(100, &month(u64::MAX)).len(), 1);
    }
}
