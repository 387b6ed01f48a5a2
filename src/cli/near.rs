//! Guesses what a user meant who typed a name that does not exist.

use super::split::NoCommand;
use super::table::{JOBS, Job, OPTIONS};
use super::values::shown;

/// `job` has no option that is written so: says which jobs have one, or which name is nearest.
pub fn no_option(job: &Job, written: &str) -> NoCommand {
    let call = job.call();
    let near_own = || nearest(written, job.options().map(|option| option.long()));
    let near_any = || nearest(written, OPTIONS.iter().map(|option| option.long()));
    let saves = job.options().any(|option| option.long() == "--dir");
    let advice = if let Some(others) = who_has(written) {
        match written {
            // Other programs call the place to save in like this.
            "-o" | "--output" if saves => format!("{others}; -d names the folder to save in"),
            _ => others,
        }
    } else if let Some(name) = near_own() {
        format!("did you mean {name}? see `{call} --help`")
    } else if let Some((name, others)) = near_any().and_then(|it| Some((it, who_has(it)?))) {
        format!("did you mean {name}? {others}")
    } else {
        format!("see `{call} --help`")
    };
    let written = shown(written);
    NoCommand::Mistake(format!("`{call}` has no option {written}: {advice}"))
}

/// Says which jobs have the option, if any.
fn who_has(written: &str) -> Option<String> {
    let is_it = |form: &str| {
        form.trim_end_matches("...")
            .split([',', ' '])
            .any(|it| it == written)
    };
    let has_it = |job: &&Job| job.options().any(|option| is_it(option.form));
    let jobs: Vec<_> = JOBS.iter().filter(has_it).map(called).collect();
    Some(match jobs.split_last()? {
        (only, []) => format!("{only} has it"),
        (last, others) => format!("{} and {last} have it", others.join(", ")),
    })
}

/// How to call a job, in backquotes. The plain form gets a SOURCE, or it would look like the
/// program.
fn called(job: &Job) -> String {
    match job.name {
        "" => "`storrent SOURCE`".to_string(),
        _ => format!("`{}`", job.call()),
    }
}

/// The command that is one letter from `word`, if one is.
pub fn command(word: &str) -> Option<&'static str> {
    let names = JOBS[1..].iter().map(|job| job.name);
    names.into_iter().find(|name| distance(word, name) == 1)
}

/// Returns the first of the names most like `word`. A name that begins with the word is best, then
/// one that needs at most a third of its letters changed, then one that contains the word.
pub fn nearest(word: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let bare = word.trim_start_matches('-');
    let is_part = |name: &str| bare.len() > 2 && name.contains(bare);
    let is_start = |name: &str| bare.len() > 2 && name.starts_with(word);
    let likely = names.filter_map(|name| match distance(word, name) {
        _ if is_start(name) => Some((0, name)),
        steps if steps <= bare.chars().count().div_ceil(3) => Some((steps, name)),
        _ if is_part(name) => Some((bare.len(), name)),
        _ => None,
    });
    likely.min_by_key(|(steps, _)| *steps).map(|(_, name)| name)
}

/// How many letters to add, leave out, replace or swap with the next, to make `b` of `a`. A word of
/// more than 64 letters is far from everything.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(65).collect(), b.chars().collect());
    // Row i: from the first i letters of a to the first letters of b.
    let mut before = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i];
        for j in 1..=b.len() {
            let same = a[i - 1] == b[j - 1];
            let mut steps = (row[j] + 1).min(next[j - 1] + 1);
            steps = steps.min(row[j - 1] + usize::from(!same));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                let swapped: &Vec<usize> = &before;
                steps = steps.min(swapped[j - 2] + 1);
            }
            next.push(steps);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_between_words() {
        let cases = [
            ("", "", 0),
            ("", "abc", 3),
            ("sed", "seed", 1),
            ("sede", "seed", 1),
            ("chek", "check", 1),
            ("show", "check", 4),
            ("ça", "ca", 1),
        ];
        for (a, b, steps) in cases {
            assert_eq!((distance(a, b), distance(b, a)), (steps, steps), "{a} {b}");
        }
        assert!(distance(&"x".repeat(1 << 20), "seed") > 60);
    }

    #[test]
    fn what_was_meant() {
        let option = |word| nearest(word, JOBS[0].options().map(|option| option.long()));
        for (word, meant) in [
            ("--sed", Some("--seed")),
            ("--output-limit", None),
            ("--upload-limt", Some("--upload-limit")),
            ("--timeout", Some("--stall-timeout")),
            ("--webseeds", Some("--no-webseeds")),
            ("--max", Some("--max-peers")),
            ("--nonsense", None),
            ("--x", None),
        ] {
            assert_eq!(option(word), meant, "{word}");
        }
        for (word, meant) in [("shwo", Some("show")), ("show", None), ("movie", None)] {
            assert_eq!(command(word), meant, "{word}");
        }
    }
}
